#include "cli/tile_picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace eyeshot::cli {
namespace {

using Colour = std::array<uint8_t, 3>;
constexpr Colour kPaper = {255, 255, 255};
constexpr Colour kLine = {230, 0, 120};  // a colour that few pictures have
constexpr Colour kLabel = {255, 255, 255};

constexpr int kGlyphWidth = 5;
constexpr int kGlyphHeight = 7;

struct Glyph {
  char letter;
  std::array<uint8_t, kGlyphHeight> rows;  // bit 4 is the left pixel
};

// Only what labels need.
constexpr Glyph kGlyphs[] = {
    {'0', {0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E}}, {'1', {0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E}},
    {'2', {0x0E, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1F}}, {'3', {0x0E, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0E}},
    {'4', {0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02}}, {'5', {0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E}},
    {'6', {0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E}}, {'7', {0x1F, 0x01, 0x02, 0x04, 0x04, 0x08, 0x08}},
    {'8', {0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E}}, {'9', {0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C}},
    {'#', {0x0A, 0x0A, 0x1F, 0x0A, 0x1F, 0x0A, 0x0A}}, {'r', {0x00, 0x00, 0x16, 0x19, 0x10, 0x10, 0x10}},
    {'c', {0x00, 0x00, 0x0E, 0x11, 0x10, 0x11, 0x0E}}, {'g', {0x00, 0x00, 0x0F, 0x11, 0x0F, 0x01, 0x0E}},
    {'l', {0x0C, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0E}}, {'o', {0x00, 0x00, 0x0E, 0x11, 0x11, 0x11, 0x0E}},
    {'b', {0x10, 0x10, 0x1E, 0x11, 0x11, 0x11, 0x1E}}, {'a', {0x00, 0x00, 0x0E, 0x01, 0x0F, 0x11, 0x0F}},
};

// A picture that shapes are drawn into; what lies outside is left out.
class Canvas {
 public:
  Canvas(int width, int height) {
    image_.width = width;
    image_.height = height;
    image_.rgb.resize(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
    Fill(0, 0, width, height, kPaper);
  }

  void Fill(int left, int top, int width, int height, Colour colour) {
    for (int y = std::max(top, 0); y < std::min(top + height, image_.height); ++y) {
      for (int x = std::max(left, 0); x < std::min(left + width, image_.width); ++x) {
        std::memcpy(At(x, y), colour.data(), colour.size());
      }
    }
  }

  // A square picture whose sides are inside the canvas.
  void Copy(const uint8_t* rgb, int side, int left, int top) {
    const size_t row = static_cast<size_t>(side) * 3;
    for (int y = 0; y < side; ++y) std::memcpy(At(left, top + y), rgb + static_cast<size_t>(y) * row, row);
  }

  // `text` with a margin of a pixel of its glyphs, each of which is `scale` pixels wide.
  void Label(std::string_view text, int left, int top, int scale) {
    const int advance = (kGlyphWidth + 1) * scale;
    for (size_t i = 0; i < text.size(); ++i) {
      Draw(text[i], left + static_cast<int>(i) * advance + scale, top + scale, scale);
    }
  }

  Image Release() { return std::move(image_); }

 private:
  uint8_t* At(int x, int y) {
    return image_.rgb.data() +
           (static_cast<size_t>(y) * static_cast<size_t>(image_.width) + static_cast<size_t>(x)) * 3;
  }

  void Draw(char letter, int left, int top, int scale) {
    const auto* glyph =
        std::find_if(std::begin(kGlyphs), std::end(kGlyphs), [&](const Glyph& g) { return g.letter == letter; });
    if (glyph == std::end(kGlyphs)) return;
    for (int y = 0; y < kGlyphHeight; ++y) {
      for (int x = 0; x < kGlyphWidth; ++x) {
        const bool ink = (glyph->rows[static_cast<size_t>(y)] >> (kGlyphWidth - 1 - x) & 1) != 0;
        if (ink) Fill(left + x * scale, top + y * scale, scale, scale, kLabel);
      }
    }
  }

  Image image_;
};

}  // namespace

Image DrawTiles(const Tiles& tiles) {
  const TileGrid& grid = tiles.grids.front();
  const int side = tiles.side;
  const int scale = std::max(1, side / 128);
  const int line = scale;
  const int strip = (kGlyphHeight + 2) * scale;  // above each tile, for its label
  const int step_x = side + line;
  const int step_y = strip + side + line;
  const int grid_width = grid.cols * step_x + line;
  const int global_left = grid.rows > 0 ? grid_width + side / 8 : 0;
  Canvas canvas(global_left + side + 2 * line, std::max(grid.rows, 1) * step_y + line);

  const size_t bytes = static_cast<size_t>(side) * static_cast<size_t>(side) * 3;
  const auto draw = [&](int index, int left, int top, const std::string& label) {
    canvas.Fill(left, top, side + 2 * line, strip + side + 2 * line, kLine);
    canvas.Label(label, left, top + line, scale);
    canvas.Copy(tiles.rgb.data() + static_cast<size_t>(index) * bytes, side, left + line, top + strip + line);
  };
  for (int row = 0; row < grid.rows; ++row) {
    for (int col = 0; col < grid.cols; ++col) {
      const int index = row * grid.cols + col;
      draw(index, col * step_x, row * step_y, fmt::format("r{}c{} #{}", row + 1, col + 1, index));
    }
  }
  const int global = grid.rows * grid.cols;
  draw(global, global_left, 0, fmt::format("global #{}", global));
  return canvas.Release();
}

}  // namespace eyeshot::cli
