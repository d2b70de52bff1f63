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

// llama.cpp cuts such a picture all the same, and shows it twice: as row 1 column 1 and as global view.
TEST(Vllm48667, APictureOfOneTileIsShownOnce) {
  ImageProcessorConfig config;
  config.longest_edge = 512;
  config.max_image_edge = 512;
  const auto processor = ImageProcessor::Create(config).value();
  ThreadPool pool(1);
  for (const int height : {512, 300, 1}) {
    Tiles tiles;
    const Image image{512, height, std::vector<uint8_t>(static_cast<size_t>(512 * height * 3), 7), 0, 0};
    ASSERT_TRUE(processor.Append(image, true, pool, tiles).ok());
    EXPECT_EQ(tiles.count(), 1) << height;
  }
}

}  // namespace
}  // namespace eyeshot
