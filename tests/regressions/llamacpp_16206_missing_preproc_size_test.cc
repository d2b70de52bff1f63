// mmproj files made before September 2025 do not say how large a picture is made before it is cut (16206); llama.cpp
// then rounds its own sides up, which is another grid than the model was trained on. Ours is the published models'.
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp16206, OldFilesHaveThePublishedGridAndSaySo) {
  const auto engine = SmallGguf({.tower = {{"clip.vision.preproc_image_size", 0}}}).Load();
  EXPECT_EQ(Ask(engine, {Plain(33, 33), "Hi"}, {.max_tokens = 1}).tiles, 4 * 4 + 1);  // rounded up: 2 * 2 + 1
  EXPECT_TRUE(HasNote(engine, "preproc_image_size"));
}

}  // namespace
}  // namespace eyeshot::testing
