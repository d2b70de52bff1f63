// llama.cpp died in the third slice of a picture of 400 x 800 pixels (13827, with Llama 4).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp13827, EveryShapeIsAnswered) {
  const auto engine = SmallGguf().Load();
  for (const auto& [width, height] :
       {std::pair{400, 800}, {800, 400}, {1, 1}, {1, 500}, {500, 1}, {64, 65}, {999, 998}}) {
    const Answer answer = Ask(engine, {Plain(width, height), "Hi"}, {.max_tokens = 2, .ignore_end = true});
    const PictureCost& picture = answer.ledger.pictures().at(0);
    EXPECT_EQ(answer.tiles, picture.rows * picture.cols + 1) << width << " x " << height;
    EXPECT_EQ(answer.visual_tokens, answer.tiles * 4) << width << " x " << height;
    EXPECT_EQ(answer.completion_tokens, 2);
  }
}

}  // namespace
}  // namespace eyeshot::testing
