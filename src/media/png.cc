// PNG by libspng: every colour type and depth, interlaced or not; the first (default) picture of an animation.
//
// Samples are taken as stored and widened here, since Pillow neither applies gamma nor composes alpha:
// 16-bit colour keeps its high byte; alpha and tRNS are dropped.
#include <spng.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "media/decoders.h"
#include "media/exif.h"

namespace eyeshot::media {
namespace {

// Deflate makes at most 1,032 bytes of one.
constexpr uint64_t kMaxDeflateRatio = 1032;

struct ContextDeleter {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};
using Context = std::unique_ptr<spng_ctx, ContextDeleter>;

Status Damaged(std::string found) {
  return CorruptError(std::move(found), "the file is damaged; save or download it again");
}

Status ChunkError(int code) {
  if (code == SPNG_ECHUNK_LIMITS) {
    return LimitError(
        fmt::format("PNG metadata of no sensible size; the limit for a chunk is {} bytes (kMaxPngChunkBytes)",
                    limits::kMaxPngChunkBytes),
        "save the picture without metadata");
  }
  return Damaged(fmt::format("not a readable PNG: {}", spng_strerror(code)));
}

// Turns rows of samples as stored (host byte order) into RGB.
class RowConverter {
 public:
  RowConverter(const spng_ihdr& header, const spng_plte& palette) : header_(header), palette_(palette) {}

  void Convert(const uint8_t* row, uint8_t* rgb) const {
    switch (header_.color_type) {
      case SPNG_COLOR_TYPE_INDEXED: return ConvertIndexed(row, rgb);
      case SPNG_COLOR_TYPE_GRAYSCALE: return header_.bit_depth == 16 ? ConvertGrey16(row, rgb) : ConvertGrey(row, rgb);
      case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA: return ConvertWide(row, 2, {0, 0, 0}, rgb);
      case SPNG_COLOR_TYPE_TRUECOLOR: return ConvertWide(row, 3, {0, 1, 2}, rgb);
      default: return ConvertWide(row, 4, {0, 1, 2}, rgb);
    }
  }

 private:
  // Sample x of a row of 1, 2, 4 or 8 bits a sample, the leftmost in the highest bits.
  uint32_t Sample(const uint8_t* row, size_t x) const {
    const size_t depth = header_.bit_depth, bit = x * depth;
    return row[bit / 8] >> (8 - depth - bit % 8) & ((1u << depth) - 1);
  }

  // An index beyond the palette is black, as in Pillow.
  void ConvertIndexed(const uint8_t* row, uint8_t* rgb) const {
    for (size_t x = 0; x < header_.width; ++x) {
      const uint32_t index = Sample(row, x);
      const spng_plte_entry entry = index < palette_.n_entries ? palette_.entries[index] : spng_plte_entry{};
      rgb[3 * x] = entry.red;
      rgb[3 * x + 1] = entry.green;
      rgb[3 * x + 2] = entry.blue;
    }
  }

  void ConvertGrey(const uint8_t* row, uint8_t* rgb) const {
    const uint32_t scale = 255 / ((1u << header_.bit_depth) - 1);
    for (size_t x = 0; x < header_.width; ++x) {
      const auto grey = static_cast<uint8_t>(Sample(row, x) * scale);
      rgb[3 * x] = rgb[3 * x + 1] = rgb[3 * x + 2] = grey;
    }
  }

  // 65535 to 255, rounded to nearest. Pillow clips at 255 instead, which leaves nearly all white (docs/deviations.md).
  void ConvertGrey16(const uint8_t* row, uint8_t* rgb) const {
    for (size_t x = 0; x < header_.width; ++x) {
      const uint32_t value = Load16(row, x);
      const auto grey = static_cast<uint8_t>((value * 255 + 32895) >> 16);
      rgb[3 * x] = rgb[3 * x + 1] = rgb[3 * x + 2] = grey;
    }
  }

  // Whole bytes: `channels` samples a pixel, of which `pick` are red, green and blue.
  void ConvertWide(const uint8_t* row, size_t channels, std::array<size_t, 3> pick, uint8_t* rgb) const {
    for (size_t x = 0; x < header_.width; ++x) {
      for (size_t c = 0; c < 3; ++c) {
        const size_t sample = x * channels + pick[c];
        rgb[3 * x + c] = header_.bit_depth == 16 ? static_cast<uint8_t>(Load16(row, sample) >> 8) : row[sample];
      }
    }
  }

  static uint32_t Load16(const uint8_t* row, size_t sample) {
    uint16_t value;
    std::memcpy(&value, row + 2 * sample, 2);
    return value;
  }

  const spng_ihdr& header_;
  const spng_plte& palette_;
};

Result<Context> Open(std::span<const uint8_t> bytes) {
  Context context(spng_ctx_new(0));
  if (context == nullptr) return OutOfMemoryError("no memory for a PNG decoder", "free some memory");
  // Damaged metadata is skipped, damaged image data is an error.
  int code = spng_set_crc_action(context.get(), SPNG_CRC_ERROR, SPNG_CRC_DISCARD);
  if (code == 0) {
    code = spng_set_chunk_limits(context.get(), limits::kMaxPngChunkBytes, limits::kMaxPngChunkBytes);
  }
  if (code == 0) code = spng_set_png_buffer(context.get(), bytes.data(), bytes.size());
  if (code != 0) return ChunkError(code);
  return context;
}

Status CheckPlausible(const spng_ihdr& header, size_t bytes, uint64_t raw_bytes) {
  if (raw_bytes <= uint64_t{bytes} * kMaxDeflateRatio) return Status::Ok();
  return Damaged(fmt::format("the header states {} x {} pixels, more than the file's {} bytes can hold", header.width,
                             header.height, bytes));
}

Status RowError(int code, uint32_t row, uint32_t height) {
  return Damaged(fmt::format("PNG data can't be read beyond row {} of {}: {}", row, height, spng_strerror(code)));
}

// Interlaced pictures come in seven passes and need all samples at once; others need one row.
Status ReadInterlaced(spng_ctx* context, const RowConverter& converter, size_t raw_bytes, Image& image) {
  std::vector<uint8_t> raw(raw_bytes);
  const int code = spng_decode_image(context, raw.data(), raw.size(), SPNG_FMT_PNG, 0);
  if (code != 0) return Damaged(fmt::format("interlaced PNG data can't be read: {}", spng_strerror(code)));
  const size_t height = static_cast<size_t>(image.height), width = static_cast<size_t>(image.width);
  for (size_t y = 0; y < height; ++y) converter.Convert(&raw[y * (raw_bytes / height)], &image.rgb[y * width * 3]);
  return Status::Ok();
}

Status ReadRows(spng_ctx* context, const RowConverter& converter, size_t raw_bytes, Image& image) {
  const auto height = static_cast<uint32_t>(image.height);
  const size_t width = static_cast<size_t>(image.width);
  const int start = spng_decode_image(context, nullptr, 0, SPNG_FMT_PNG, SPNG_DECODE_PROGRESSIVE);
  if (start != 0) return RowError(start, 0, height);
  std::vector<uint8_t> row(raw_bytes / height);
  for (uint32_t y = 0; y < height; ++y) {
    const int code = spng_decode_row(context, row.data(), row.size());
    if (code != 0 && code != SPNG_EOI) return RowError(code, y, height);
    converter.Convert(row.data(), &image.rgb[y * width * 3]);
  }
  return Status::Ok();
}

// ImageMagick's way to keep EXIF in a text chunk: a line feed, a name, a length, then hexadecimal digits in lines.
std::vector<uint8_t> RawProfile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  std::vector<uint8_t> bytes;
  int high = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) continue;
    if (high >= 0) bytes.push_back(static_cast<uint8_t>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

// Reads what follows the pixels, for the checksum of their last chunk and for metadata. Other damage there is let
// pass: the picture is complete.
Status ReadTrailer(spng_ctx* context) {
  if (spng_decode_chunks(context) != SPNG_ECHUNK_CRC) return Status::Ok();
  return Damaged("the checksum of the PNG's pixel data is wrong");
}

// From the eXIf chunk, else from the text chunks. Unreadable metadata states nothing.
int Orientation(spng_ctx* context) {
  spng_exif block = {};
  int exif = 0, xmp = 0;
  if (spng_get_exif(context, &block) == 0) {
    exif = ExifOrientation({reinterpret_cast<const uint8_t*>(block.data), block.length});
  }
  uint32_t count = 0;
  if (spng_get_text(context, nullptr, &count) != 0) return ChooseOrientation(exif, 0);
  std::vector<spng_text> texts(count);
  if (spng_get_text(context, texts.data(), &count) != 0) return ChooseOrientation(exif, 0);
  for (const spng_text& text : texts) {
    const std::string_view keyword(text.keyword), value(text.text, text.length);
    if (exif == 0 && keyword == "Raw profile type exif") exif = ExifOrientation(RawProfile(value));
    if (xmp == 0 && keyword == "XML:com.adobe.xmp") xmp = XmpOrientation(value);
  }
  return ChooseOrientation(exif, xmp);
}

}  // namespace

Result<Decoded> DecodePng(std::span<const uint8_t> bytes, const ImageLimits& limits) {
  EYESHOT_ASSIGN_OR_RETURN(const Context context, Open(bytes));
  spng_ihdr header = {};
  if (const int code = spng_get_ihdr(context.get(), &header); code != 0) return ChunkError(code);
  EYESHOT_RETURN_IF_ERROR(CheckSize(header.width, header.height, limits));
  size_t raw_bytes = 0;
  if (const int code = spng_decoded_image_size(context.get(), SPNG_FMT_PNG, &raw_bytes); code != 0) {
    return ChunkError(code);
  }
  EYESHOT_RETURN_IF_ERROR(CheckPlausible(header, bytes.size(), raw_bytes));
  spng_plte palette = {};
  if (header.color_type == SPNG_COLOR_TYPE_INDEXED) {
    if (const int code = spng_get_plte(context.get(), &palette); code != 0) return ChunkError(code);
  }

  const RowConverter converter(header, palette);
  Image image = BlackImage(header.width, header.height);
  EYESHOT_RETURN_IF_ERROR(header.interlace_method == SPNG_INTERLACE_ADAM7
                              ? ReadInterlaced(context.get(), converter, raw_bytes, image)
                              : ReadRows(context.get(), converter, raw_bytes, image));
  EYESHOT_RETURN_IF_ERROR(ReadTrailer(context.get()));
  return Decoded{std::move(image), Orientation(context.get())};
}

}  // namespace eyeshot::media
