// llama.cpp cut every picture, one that fills a single tile too, and showed it twice: as row 1 column 1 and as global
// view. The reference shows such a picture once.
#include "small_gguf.h"
#include "vision/image_processor.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCppOneTileSplit, APictureOfOneTileIsShownOnce) {
  ImageProcessorConfig config;
  config.longest_edge = 512;
  config.max_image_edge = 512;
  const auto processor = ImageProcessor::Create(config).value();
  ThreadPool pool(1);
  for (const int height : {512, 300, 1}) {
    Tiles tiles;
    ASSERT_TRUE(processor.Append(*Plain(512, height), true, pool, tiles).ok());
    EXPECT_EQ(tiles.count(), 1) << height;
    EXPECT_EQ(tiles.grids.at(0).rows, 0);
  }
  config.longest_edge = 1024;
  EXPECT_EQ(ImageProcessor::Create(config)->Plan(512, 300, true).tiles(), 2 * 2 + 1);
}

}  // namespace
}  // namespace eyeshot::testing
