// Parts of the program that can be tested without running it; tests/e2e runs it.
#include <gtest/gtest.h>

#include <vector>

#include "cli/png_writer.h"
#include "cli/tile_picture.h"

namespace eyeshot::cli {
namespace {

Tiles SmallTiles(int rows, int cols, int side) {
  Tiles tiles;
  tiles.side = side;
  tiles.grids.push_back({.width = 10, .height = 10, .rows = rows, .cols = cols});
  tiles.rgb.assign(static_cast<size_t>(tiles.grids[0].tiles()) * static_cast<size_t>(side * side * 3), 7);
  return tiles;
}

// How many pixels have all three bytes 7: those of tiles.
int64_t TilePixels(const Image& image) {
  int64_t count = 0;
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    count += image.rgb[i] == 7 && image.rgb[i + 1] == 7 && image.rgb[i + 2] == 7 ? 1 : 0;
  }
  return count;
}

TEST(TilePictureTest, EveryPixelOfEveryTileIsThere) {
  for (const auto& [rows, cols] : {std::pair{2, 3}, {1, 2}, {0, 0}}) {
    const Image image = DrawTiles(SmallTiles(rows, cols, 128));
    EXPECT_EQ(image.rgb.size(), static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
    EXPECT_EQ(TilePixels(image), int64_t{rows * cols + 1} * 128 * 128);
  }
}

TEST(PngWriterTest, DecodesToTheSamePixels) {
  Image image{3, 2, {}};
  for (uint8_t i = 0; i < 18; ++i) image.rgb.push_back(static_cast<uint8_t>(13 * i));
  const Result<std::vector<uint8_t>> png = EncodePng(image);
  ASSERT_TRUE(png.ok()) << png.status().message();
  const Result<Image> decoded = DecodeImage(*png, "test.png");
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(decoded->width, 3);
  EXPECT_EQ(decoded->height, 2);
  EXPECT_EQ(decoded->rgb, image.rgb);
}

}  // namespace
}  // namespace eyeshot::cli
