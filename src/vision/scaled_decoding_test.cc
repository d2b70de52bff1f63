// What decoding JPEGs at a part of their size does to the tiles (docs/deviations.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "eyeshot/media.h"
#include "vision/image_processor.h"

namespace eyeshot {
namespace {

// How far bytes are off those of the exact path.
struct Deviation {
  int64_t bytes = 0;
  double absolute = 0;
  double squared = 0;
  int most = 0;

  void Add(const Tiles& exact, const Tiles& tiles) {
    ASSERT_EQ(tiles.rgb.size(), exact.rgb.size());
    for (size_t i = 0; i < tiles.rgb.size(); ++i) {
      const int off = std::abs(tiles.rgb[i] - exact.rgb[i]);
      absolute += off;
      squared += off * off;
      most = std::max(most, off);
    }
    bytes += static_cast<int64_t>(tiles.rgb.size());
  }
  double mean() const { return absolute / static_cast<double>(bytes); }
  double psnr() const { return 10 * std::log10(255.0 * 255.0 * static_cast<double>(bytes) / squared); }
};

std::vector<std::string> Jpegs() {
  std::vector<std::string> files;
  for (const char* folder : {"exif", "formats", "generated", "photos"}) {
    for (const auto& entry :
         std::filesystem::directory_iterator(std::string(EYESHOT_SOURCE_DIR "/tests/data/media/") + folder)) {
      if (entry.path().extension() == ".jpg") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The tiles of a picture for a model of which one tile's side is a quarter of the longer side, as SmolVLM's.
Tiles Cut(const Image& image, int longest_edge) {
  const auto processor =
      ImageProcessor::Create({.longest_edge = longest_edge, .max_image_edge = std::max(1, longest_edge / 4)});
  ThreadPool pool(1);
  Tiles tiles;
  EXPECT_TRUE(processor.ok());
  EXPECT_TRUE(processor->Append(image, /*split=*/true, pool, tiles).ok());
  return tiles;
}

class ScaledTiles : public ::testing::TestWithParam<int> {};

// Each picture with the largest longest_edge for which it is decoded at 1 / shrink: there the resize that follows
// smooths least.
TEST_P(ScaledTiles, StayCloseToTheExactOnes) {
  const int shrink = GetParam();
  Deviation all;
  int pictures = 0;
  for (const std::string& file : Jpegs()) {
    const auto exact = LoadImage(file);
    ASSERT_TRUE(exact.ok()) << exact.status().message();
    DecodeOptions options;
    options.jpeg_long_side = (std::max(exact->width, exact->height) + shrink - 1) / shrink;
    if (options.jpeg_long_side < 64) continue;  // thumbnails, which no model reduces
    const auto scaled = LoadImage(file, options);
    ASSERT_TRUE(scaled.ok());
    ASSERT_EQ(std::max(scaled->width, scaled->height), options.jpeg_long_side) << file;
    all.Add(Cut(*exact, options.jpeg_long_side), Cut(*scaled, options.jpeg_long_side));
    ++pictures;
  }
  std::printf("decoded at 1/%d: %d pictures, mean difference %.3f, largest %d, PSNR %.2f dB\n", shrink, pictures,
              all.mean(), all.most, all.psnr());
  EXPECT_GE(pictures, 2);
  EXPECT_LT(all.mean(), 3.0);
  EXPECT_GT(all.psnr(), 30.0);
}

INSTANTIATE_TEST_SUITE_P(Shrinks, ScaledTiles, ::testing::Values(2, 4, 8),
                         [](const auto& shrink) { return std::to_string(shrink.param); });

}  // namespace
}  // namespace eyeshot
