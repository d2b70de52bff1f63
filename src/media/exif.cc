#include "media/exif.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>

#include "base/check.h"

namespace eyeshot::media {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;
constexpr size_t kEntryBytes = 12;  // tag 2, type 2, count 4, value 4

// Reads the numbers of a TIFF structure; reading past the end gives nothing.
class TiffReader {
 public:
  TiffReader(std::span<const uint8_t> bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}

  std::optional<uint32_t> Read(size_t offset, size_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t shift = 8 * (big_endian_ ? size - 1 - i : i);
      value |= uint32_t{bytes_[offset + i]} << shift;
    }
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
  bool big_endian_;
};

std::span<const uint8_t> WithoutExifPrefix(std::span<const uint8_t> exif) {
  constexpr std::array<uint8_t, 6> kPrefix = {'E', 'x', 'i', 'f', 0, 0};
  const bool has = exif.size() >= kPrefix.size() && std::equal(kPrefix.begin(), kPrefix.end(), exif.begin());
  return has ? exif.subspan(kPrefix.size()) : exif;
}

// The value of a directory entry of type BYTE (1), SHORT (3) or LONG (4); others don't hold an orientation.
int EntryValue(const TiffReader& tiff, size_t entry) {
  const uint32_t type = tiff.Read(entry + 2, 2).value_or(0);
  const size_t size = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
  if (size == 0) return 0;
  const uint32_t value = tiff.Read(entry + 8, size).value_or(0);
  return value <= 8 ? static_cast<int>(value) : 0;
}

// Where an upright picture's pixels are in the stored one: pixel (x, y) is number base + x * dx + y * dy.
struct Walk {
  ptrdiff_t base, dx, dy;
};

Walk WalkOf(int orientation, ptrdiff_t width, ptrdiff_t height) {
  const ptrdiff_t last = width * height - 1, last_row = width * (height - 1), right = width - 1;
  const std::array<Walk, 8> walks = {{{0, 1, width},
                                      {right, -1, width},
                                      {last, -1, -width},
                                      {last_row, 1, -width},
                                      {0, width, 1},
                                      {last_row, -width, 1},
                                      {last, -width, -1},
                                      {right, width, -1}}};
  return walks[static_cast<size_t>(orientation - 1)];
}

}  // namespace

int ExifOrientation(std::span<const uint8_t> exif) {
  const std::span<const uint8_t> bytes = WithoutExifPrefix(exif);
  if (bytes.size() < 8 || bytes[0] != bytes[1] || (bytes[0] != 'I' && bytes[0] != 'M')) return 0;
  const TiffReader tiff(bytes, bytes[0] == 'M');
  if (tiff.Read(2, 2) != 42u) return 0;
  const size_t directory = *tiff.Read(4, 4);
  const size_t entries = tiff.Read(directory, 2).value_or(0);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + i * kEntryBytes;
    const std::optional<uint32_t> tag = tiff.Read(entry, 2);
    if (!tag) return 0;
    if (*tag == kOrientationTag) return EntryValue(tiff, entry);
  }
  return 0;
}

int XmpOrientation(std::string_view xmp) {
  constexpr std::string_view kKey = "tiff:Orientation";
  for (size_t at = xmp.find(kKey); at != std::string_view::npos; at = xmp.find(kKey, at + 1)) {
    const std::string_view rest = xmp.substr(at + kKey.size());
    const size_t skip = rest.starts_with("=\"") ? 2 : rest.starts_with(">") ? 1 : 0;
    if (skip != 0 && rest.size() > skip && rest[skip] >= '0' && rest[skip] <= '9') return rest[skip] - '0';
  }
  return 0;
}

int ChooseOrientation(int exif, int xmp) {
  const int stated = exif != 0 ? exif : xmp;
  return stated >= 1 && stated <= 8 ? stated : 1;
}

Image Orient(Image image, int orientation) {
  EYESHOT_CHECK(orientation >= 1 && orientation <= 8);
  if (orientation == 1) return image;
  const Walk walk = WalkOf(orientation, image.width, image.height);
  Image upright;
  upright.width = orientation >= 5 ? image.height : image.width;
  upright.height = orientation >= 5 ? image.width : image.height;
  upright.full_width = orientation >= 5 ? image.full_height : image.full_width;
  upright.full_height = orientation >= 5 ? image.full_width : image.full_height;
  upright.rgb.resize(image.rgb.size());
  // Bands of rows, so that a turned picture's reads and writes both stay within a few cache lines.
  constexpr int kBand = 16;
  for (int top = 0; top < upright.height; top += kBand) {
    const int bottom = std::min(top + kBand, upright.height);
    for (int x = 0; x < upright.width; ++x) {
      for (int y = top; y < bottom; ++y) {
        const uint8_t* from = &image.rgb[static_cast<size_t>(walk.base + x * walk.dx + y * walk.dy) * 3];
        uint8_t* to =
            &upright.rgb[(static_cast<size_t>(y) * static_cast<size_t>(upright.width) + static_cast<size_t>(x)) * 3];
        std::copy_n(from, 3, to);
      }
    }
  }
  return upright;
}

}  // namespace eyeshot::media
