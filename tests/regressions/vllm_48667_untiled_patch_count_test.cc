// vLLM counted the patches of an untiled Idefics3 picture as if it were tiled (issue 48667). The plan, the tiles and
// the prompt must agree on one tile.
#include <gtest/gtest.h>

#include "vision/image_processor.h"

namespace eyeshot {
namespace {

TEST(Vllm48667, OneTileWithoutSplitting) {
  ImageProcessorConfig config;
  config.longest_edge = 2048;
  config.max_image_edge = 512;
  const auto processor = ImageProcessor::Create(config);
  ASSERT_TRUE(processor.ok()) << processor.status().message();
  const Image image{.width = 300, .height = 200, .rgb = std::vector<uint8_t>(300 * 200 * 3, 7)};
  const TileGrid grid = processor->Plan(300, 200, false);
  EXPECT_EQ(grid.rows, 0);
  EXPECT_EQ(grid.cols, 0);
  EXPECT_EQ(grid.tiles(), 1);
  ThreadPool pool(1);
  Tiles tiles;
  ASSERT_TRUE(processor->Append(image, false, pool, tiles).ok());
  EXPECT_EQ(tiles.count(), 1);
  EXPECT_EQ(tiles.rgb.size(), 512u * 512 * 3);
}

}  // namespace
}  // namespace eyeshot
