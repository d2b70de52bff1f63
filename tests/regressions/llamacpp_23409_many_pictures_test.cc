// llama.cpp's server died of an assertion where pictures have more tokens than a batch: "non-causal attention requires
// n_ubatch >= n_tokens" (23409).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp23409, PicturesOfMoreTokensThanAStepAreAnswered) {
  std::vector<ContentPart> parts = {"Which one?"};
  for (int i = 0; i < 20; ++i) parts.emplace_back(Plain(200 + i, 200));
  const auto engine = SmallGguf({.integers = {{"llama.context_length", 16384}}}).Load();
  const Answer answer = Ask(engine, parts, {.max_tokens = 2, .detail = {PictureDetail::Kind::kTiles, 6}});
  EXPECT_EQ(answer.visual_tokens, 20 * 37 * 4);  // a step takes 512 tokens at most
}

}  // namespace
}  // namespace eyeshot::testing
