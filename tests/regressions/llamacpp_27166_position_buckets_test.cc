// llama.cpp wrote the buckets of positions into arrays of 1,024 on the stack, as many as the mmproj file's image_size
// and patch_size ask for (issue 27166).
#include "small_gguf.h"
#include "vision/vision_tower.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp27166, SidesOfMoreThan1024PatchesAreWhole) {
  const std::vector<int32_t> table = PositionBuckets(1500, 1500, 1500);
  EXPECT_EQ(table.size(), 1500u * 1500);
  EXPECT_EQ(table.back(), 1500 * 1500 - 1);
  EXPECT_EQ(PositionBuckets(1, 5000, 70).back(), 69);
}

TEST(LlamaCpp27166, AFileWithMorePatchesThanPositionsIsRefused) {
  const auto status = [](uint32_t image_size, uint32_t patch_size) {
    const Keys lie = {{"clip.vision.image_size", image_size}, {"clip.vision.patch_size", patch_size}};
    return SmallGguf({.tower = lie}).Load().status();
  };
  EXPECT_TRUE(status(32, 8).ok());
  ExpectError(status(1024, 8), StatusCode::kCorrupt, {"position_embedding", "16384"});
  EXPECT_FALSE(status(4096, 2).ok());
}

}  // namespace
}  // namespace eyeshot::testing
