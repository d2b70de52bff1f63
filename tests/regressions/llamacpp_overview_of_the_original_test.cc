// llama.cpp resized a picture once where the reference does it twice, made the global view of the picture itself and
// not of what was resized, and scaled down without smoothing, so that fine lines came and went (27594).
#include "small_gguf.h"
#include "vision/image_processor.h"

namespace eyeshot::testing {
namespace {

constexpr int kSide = 64;

Image Scaled(const Image& image, int width, int height, ThreadPool& pool) {
  Image out = *Plain(width, height);
  Resize({image.rgb.data(), image.width, image.height}, width, height, ResampleFilter::kLanczos,
         ResampleArithmetic::kPillow, pool, out.rgb.data());
  return out;
}

Tiles TilesOf(const Image& image, ThreadPool& pool) {
  ImageProcessorConfig config;
  config.longest_edge = 4 * kSide;
  config.max_image_edge = kSide;
  Tiles tiles;
  EXPECT_TRUE(ImageProcessor::Create(config)->Append(image, true, pool, tiles).ok());
  return tiles;
}

std::vector<uint8_t> GlobalView(const Tiles& tiles) { return {tiles.rgb.end() - kSide * kSide * 3, tiles.rgb.end()}; }

TEST(LlamaCppOverviewOfTheOriginal, TheGlobalViewIsTheThirdResize) {
  ThreadPool pool(1);
  const Image picture = *Noise(300, 170);
  const Image fitted = Scaled(picture, 256, 146, pool);   // the longer side 256, the other int(145.07) made even
  const Image refined = Scaled(fitted, 256, 192, pool);  // whole tiles
  const Tiles tiles = TilesOf(picture, pool);
  ASSERT_EQ(tiles.count(), 4 * 3 + 1);
  EXPECT_EQ(GlobalView(tiles), Scaled(refined, kSide, kSide, pool).rgb);
  EXPECT_NE(GlobalView(tiles), Scaled(picture, kSide, kSide, pool).rgb);
  // The first row of the first tile.
  EXPECT_TRUE(std::equal(tiles.rgb.begin(), tiles.rgb.begin() + kSide * 3, refined.rgb.begin()));
  EXPECT_NE(Scaled(picture, 256, 192, pool).rgb, refined.rgb);
}

TEST(LlamaCpp27594, FineLinesBecomeGrey) {
  Image lines = *Plain(1024, 1024);
  for (size_t i = 0; i < lines.rgb.size(); ++i) lines.rgb[i] = i / 3 % 2 == 0 ? 0 : 255;
  ThreadPool pool(1);
  const std::vector<uint8_t> view = GlobalView(TilesOf(lines, pool));
  for (size_t i = 4 * 3; i < (kSide - 4) * 3; ++i) ASSERT_NEAR(view[i], 128, 8) << i;
}

}  // namespace
}  // namespace eyeshot::testing
