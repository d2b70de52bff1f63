// GIF by giflib: the first frame on its canvas.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "media/decoders.h"

namespace eyeshot::media {
namespace {

Status Damaged(std::string found) {
  return CorruptError(std::move(found), "the file is damaged; save or download it again");
}

std::string Reason(int code) {
  const char* text = GifErrorString(code);
  return text == nullptr ? fmt::format("giflib's error {}", code) : text;
}

struct Cursor {
  std::span<const uint8_t> rest;
};

int ReadBytes(GifFileType* gif, GifByteType* out, int count) {
  auto* cursor = static_cast<Cursor*>(gif->UserData);
  const size_t taken = std::min(static_cast<size_t>(count), cursor->rest.size());
  std::copy_n(cursor->rest.begin(), taken, out);
  cursor->rest = cursor->rest.subspan(taken);
  return static_cast<int>(taken);
}

struct GifCloser {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};
using Gif = std::unique_ptr<GifFileType, GifCloser>;

// Walks to the first picture. `transparent` becomes its transparent palette index, -1 if it has none.
Status FindPicture(GifFileType* gif, int& transparent) {
  while (true) {
    GifRecordType type;
    if (DGifGetRecordType(gif, &type) == GIF_ERROR) return Damaged(fmt::format("GIF: {}", Reason(gif->Error)));
    if (type == IMAGE_DESC_RECORD_TYPE) return Status::Ok();
    if (type == TERMINATE_RECORD_TYPE) return Damaged("a GIF without a picture");
    if (type != EXTENSION_RECORD_TYPE) continue;
    int function;
    GifByteType* block;
    int code = DGifGetExtension(gif, &function, &block);
    while (code != GIF_ERROR && block != nullptr) {
      GraphicsControlBlock control;
      if (function == GRAPHICS_EXT_FUNC_CODE && DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK) {
        transparent = control.TransparentColor;
      }
      code = DGifGetExtensionNext(gif, &block);
    }
    if (code == GIF_ERROR) return Damaged(fmt::format("GIF extension: {}", Reason(gif->Error)));
  }
}

// The colours of all 256 indices. A picture without any palette is grey; an index beyond one is black.
std::array<GifColorType, 256> Palette(const GifFileType& gif) {
  std::array<GifColorType, 256> colors = {};
  const ColorMapObject* map = gif.Image.ColorMap != nullptr ? gif.Image.ColorMap : gif.SColorMap;
  if (map != nullptr) {
    std::copy_n(map->Colors, std::min(map->ColorCount, 256), colors.begin());
    return colors;
  }
  for (size_t i = 0; i < 256; ++i) {
    const auto grey = static_cast<GifByteType>(i);
    colors[i] = {grey, grey, grey};
  }
  return colors;
}

// The rows of a picture in the order in which they are stored: four passes if it is interlaced.
std::vector<int> RowOrder(int height, bool interlaced) {
  constexpr std::array<std::array<int, 2>, 4> kPasses = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};  // first row, step
  std::vector<int> rows;
  if (!interlaced) {
    for (int y = 0; y < height; ++y) rows.push_back(y);
    return rows;
  }
  for (const auto& [first, step] : kPasses) {
    for (int y = first; y < height; y += step) rows.push_back(y);
  }
  return rows;
}

void Paint(const std::vector<GifByteType>& indices, const std::array<GifColorType, 256>& colors, uint8_t* rgb) {
  for (size_t x = 0; x < indices.size(); ++x) {
    const GifColorType& color = colors[indices[x]];
    rgb[3 * x] = color.Red;
    rgb[3 * x + 1] = color.Green;
    rgb[3 * x + 2] = color.Blue;
  }
}

// Transparent pixels keep their palette colour, and so does the canvas around the frame: Pillow fills it
// with the transparent index, or with index 0.
Result<Image> ReadPicture(GifFileType* gif, int transparent, uint64_t width, uint64_t height) {
  const auto colors = Palette(*gif);
  const auto background = static_cast<GifByteType>(std::max(transparent, 0));
  Image image = BlackImage(width, height);
  const std::vector<GifByteType> empty_row(width, background);
  for (uint64_t y = 0; y < height; ++y) Paint(empty_row, colors, &image.rgb[y * width * 3]);
  const GifImageDesc& frame = gif->Image;
  std::vector<GifByteType> row(static_cast<size_t>(frame.Width));
  for (const int y : RowOrder(frame.Height, frame.Interlace)) {
    std::fill(row.begin(), row.end(), background);
    const int code = DGifGetLine(gif, row.data(), frame.Width);
    if (code == GIF_ERROR && gif->Error != D_GIF_ERR_EOF_TOO_SOON) {
      return Damaged(
          fmt::format("GIF data can't be read beyond row {} of {}: {}", y, frame.Height, Reason(gif->Error)));
    }
    const size_t at = static_cast<size_t>(frame.Top + y) * width + static_cast<size_t>(frame.Left);
    Paint(row, colors, &image.rgb[at * 3]);
    if (code == GIF_ERROR) break;  // an end code before the last row: the rest stays background, as in Pillow
  }
  return image;
}

}  // namespace

bool HasSecondFrame(std::span<const uint8_t> bytes) {
  Cursor cursor{bytes};
  const Gif gif(DGifOpen(&cursor, ReadBytes, nullptr));
  int transparent = NO_TRANSPARENT_COLOR;
  if (gif == nullptr || !FindPicture(gif.get(), transparent).ok()) return false;
  if (DGifGetImageDesc(gif.get()) == GIF_ERROR) return false;
  int code_size = 0;
  GifByteType* block = nullptr;
  int code = DGifGetCode(gif.get(), &code_size, &block);
  while (code != GIF_ERROR && block != nullptr) code = DGifGetCodeNext(gif.get(), &block);
  return code != GIF_ERROR && FindPicture(gif.get(), transparent).ok();
}

Result<Decoded> DecodeGif(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  Cursor cursor{bytes};
  int error = 0;
  const Gif gif(DGifOpen(&cursor, ReadBytes, &error));
  if (gif == nullptr) return Damaged(fmt::format("not a readable GIF: {}", Reason(error)));
  // A frame may enlarge a canvas without a size, but not make a bomb harmless.
  EYESHOT_RETURN_IF_ERROR(CheckSize(static_cast<uint64_t>(std::max(gif->SWidth, 1)),
                                    static_cast<uint64_t>(std::max(gif->SHeight, 1)), limits));
  int transparent = NO_TRANSPARENT_COLOR;
  EYESHOT_RETURN_IF_ERROR(FindPicture(gif.get(), transparent));
  if (DGifGetImageDesc(gif.get()) == GIF_ERROR) return Damaged(fmt::format("GIF picture: {}", Reason(gif->Error)));
  const GifImageDesc& frame = gif->Image;
  if (frame.Width <= 0 || frame.Height <= 0) {
    return Damaged(fmt::format("the first frame's size is {} x {} pixels", frame.Width, frame.Height));
  }
  // A frame that reaches beyond the canvas enlarges it, as in Pillow.
  const auto width = static_cast<uint64_t>(std::max(gif->SWidth, frame.Left + frame.Width));
  const auto height = static_cast<uint64_t>(std::max(gif->SHeight, frame.Top + frame.Height));
  EYESHOT_RETURN_IF_ERROR(CheckSize(width, height, limits));
  EYESHOT_ASSIGN_OR_RETURN(Image image, ReadPicture(gif.get(), transparent, width, height));
  return Decoded{std::move(image), 1};
}

}  // namespace eyeshot::media
