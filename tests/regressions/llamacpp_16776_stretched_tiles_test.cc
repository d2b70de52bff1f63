// llama.cpp fits a 16:9 picture into its tiles with black bars (a quarter of the pixels); the reference stretches it to
// whole tiles (issue 16776 and its kin). A white picture must give white tiles.
#include <gtest/gtest.h>

#include <algorithm>

#include "vision/image_processor.h"

namespace eyeshot {
namespace {

TEST(LlamaCpp16776, NoBarsAroundWidePictures) {
  ImageProcessorConfig config;
  config.longest_edge = 2048;
  config.max_image_edge = 512;
  const auto processor = ImageProcessor::Create(config);
  ASSERT_TRUE(processor.ok()) << processor.status().message();
  Image image{.width = 1920, .height = 1080, .rgb = {}};
  image.rgb.assign(1920 * 1080 * 3, 255);
  ThreadPool pool(2);
  Tiles tiles;
  ASSERT_TRUE(processor->Append(image, true, pool, tiles).ok());
  EXPECT_EQ(tiles.count(), 13);
  EXPECT_EQ(std::count(tiles.rgb.begin(), tiles.rgb.end(), 255), static_cast<std::ptrdiff_t>(tiles.rgb.size()));
}

}  // namespace
}  // namespace eyeshot
