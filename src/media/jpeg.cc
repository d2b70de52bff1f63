// JPEG by libjpeg-turbo: baseline, extended and progressive; grey, YCbCr, RGB, CMYK and YCCK.
//
// Inverse DCT and upsampling are the library's defaults (accurate integer, "fancy"), which are also
// Pillow's; with DecodeOptions::jpeg_long_side the inverse DCT of fewer coefficients gives a smaller picture. The
// source manager never invents data: where a file ends too early the decoder suspends, and that is reported. Warnings
// (a bad code in the middle of the data) are ignored, as Pillow does.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

// clang-format off: jpeglib.h needs size_t and FILE from those above.
#include <jpeglib.h>
// clang-format on

#include "base/error.h"
#include "base/limits.h"
#include "media/decoders.h"
#include "media/exif.h"

namespace eyeshot::media {
namespace {

constexpr std::string_view kDamaged = "the file is damaged; save or download it again";

// libjpeg's C error handling: errors jump back to the method that called the library.
struct ErrorManager {
  jpeg_error_mgr base;  // first, so that cinfo->err can be cast
  std::jmp_buf back;
  char message[JMSG_LENGTH_MAX];
  bool too_many_scans;
};

[[noreturn]] void OnError(j_common_ptr cinfo) {
  auto* manager = reinterpret_cast<ErrorManager*>(cinfo->err);
  cinfo->err->format_message(cinfo, manager->message);
  std::longjmp(manager->back, 1);
}

void OnMessage(j_common_ptr) {}

// A crafted file of a few kilobytes may hold thousands of scans, each a walk over all coefficients.
void OnProgress(j_common_ptr cinfo) {
  const auto* decoder = reinterpret_cast<jpeg_decompress_struct*>(cinfo);
  if (decoder->input_scan_number <= limits::kMaxJpegScans) return;
  auto* manager = reinterpret_cast<ErrorManager*>(cinfo->err);
  manager->too_many_scans = true;
  std::longjmp(manager->back, 1);
}

void OnSource(j_decompress_ptr) {}
boolean NoMoreData(j_decompress_ptr) { return FALSE; }
void SkipData(j_decompress_ptr cinfo, long count) {
  if (count <= 0) return;
  const size_t skipped = std::min(static_cast<size_t>(count), cinfo->src->bytes_in_buffer);
  cinfo->src->next_input_byte += skipped;
  cinfo->src->bytes_in_buffer -= skipped;
}

// Wraps the library so that no C++ object is alive in a frame that it may jump out of. Each bool method
// returns false after an error, whose text is then in message().
class JpegDecoder {
 public:
  explicit JpegDecoder(std::span<const uint8_t> bytes) {
    std::memset(&cinfo_, 0, sizeof(cinfo_));
    cinfo_.err = jpeg_std_error(&error_.base);
    error_.base.error_exit = OnError;
    error_.base.output_message = OnMessage;
    error_.message[0] = '\0';
    error_.too_many_scans = false;
    source_.init_source = OnSource;
    source_.fill_input_buffer = NoMoreData;
    source_.skip_input_data = SkipData;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = OnSource;
    source_.next_input_byte = bytes.data();
    source_.bytes_in_buffer = bytes.size();
    progress_.progress_monitor = OnProgress;
  }
  ~JpegDecoder() { jpeg_destroy_decompress(&cinfo_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  bool ReadHeader() {
    if (setjmp(error_.back) != 0) return false;
    jpeg_create_decompress(&cinfo_);
    cinfo_.src = &source_;
    cinfo_.progress = &progress_;
    jpeg_save_markers(&cinfo_, JPEG_APP0 + 1, 0xffff);
    if (jpeg_read_header(&cinfo_, TRUE) == JPEG_HEADER_OK) return true;
    std::strcpy(error_.message, "it ends within its header");
    return false;
  }

  // Reads a progressive file whole, a baseline one up to its first row. The picture is decoded at 1 / `shrink` of its
  // size: 1, 2, 4 or 8.
  bool Start(J_COLOR_SPACE color, unsigned shrink) {
    if (setjmp(error_.back) != 0) return false;
    cinfo_.out_color_space = color;
    cinfo_.scale_num = 1;
    cinfo_.scale_denom = shrink;
    if (jpeg_start_decompress(&cinfo_)) return true;
    std::strcpy(error_.message, "it ends before its last scan is complete");
    return false;
  }

  // The next row, [width, components].
  bool ReadRow(uint8_t* row) {
    if (setjmp(error_.back) != 0) return false;
    if (jpeg_read_scanlines(&cinfo_, &row, 1) == 1) return true;
    std::strcpy(error_.message, "it ends too early");
    return false;
  }

  const jpeg_decompress_struct& info() const { return cinfo_; }
  std::string message() const { return error_.message; }
  bool too_many_scans() const { return error_.too_many_scans; }

 private:
  jpeg_decompress_struct cinfo_;
  ErrorManager error_;
  jpeg_source_mgr source_ = {};
  jpeg_progress_mgr progress_ = {};
};

Status Damaged(std::string found) { return CorruptError(std::move(found), std::string(kDamaged)); }

// A Huffman code is at least one bit long, and every block has at least one: a few bytes can't be a large
// picture, and memory need not be taken to find that out. Arithmetic coding has no such bound.
Status CheckPlausible(const jpeg_decompress_struct& info, size_t bytes) {
  const uint64_t blocks = ((uint64_t{info.image_width} + 7) / 8) * ((uint64_t{info.image_height} + 7) / 8);
  if (info.arith_code || blocks <= uint64_t{bytes} * 8) return Status::Ok();
  return Damaged(fmt::format("the header states {} x {} pixels, more than the file's {} bytes can hold",
                             info.image_width, info.image_height, bytes));
}

Result<J_COLOR_SPACE> OutputColor(const jpeg_decompress_struct& info) {
  if (info.num_components == 1) return JCS_GRAYSCALE;
  if (info.num_components == 3) return JCS_RGB;
  if (info.num_components == 4) return JCS_CMYK;
  return UnsupportedError(fmt::format("a JPEG of {} colour components; 1, 3 and 4 are supported", info.num_components),
                          "convert it to RGB");
}

// a * b / 255, rounded to nearest, for bytes.
uint8_t MultiplyBytes(uint32_t a, uint32_t b) {
  const uint32_t product = a * b + 128;
  return static_cast<uint8_t>(((product >> 8) + product) >> 8);
}

// CMYK as Adobe writes it, inverted: 255 is no ink. `inks` is [count, 4], `rgb` [count, 3]. In plain CMYK terms
// Pillow computes white - black - ink * (white - black) with the product rounded.
void AdobeCmykToRgb(const uint8_t* inks, size_t count, uint8_t* rgb) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t light = inks[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const uint32_t ink = 255u - inks[4 * i + c];
      rgb[3 * i + c] = static_cast<uint8_t>(light - MultiplyBytes(ink, light));
    }
  }
}

Status StartError(const JpegDecoder& decoder) {
  if (!decoder.too_many_scans()) return Damaged(fmt::format("JPEG data can't be read: {}", decoder.message()));
  return LimitError(fmt::format("a JPEG of more than {} scans (kMaxJpegScans)", limits::kMaxJpegScans),
                    "save it again as an ordinary JPEG");
}

Result<Image> ReadPixels(JpegDecoder& decoder) {
  const jpeg_decompress_struct& info = decoder.info();
  const size_t width = info.output_width, height = info.output_height;
  Image image = BlackImage(width, height);
  std::vector<uint8_t> row(info.num_components == 3 ? 0 : width * static_cast<size_t>(info.num_components));
  for (size_t y = 0; y < height; ++y) {
    uint8_t* rgb = &image.rgb[y * width * 3];
    if (!decoder.ReadRow(row.empty() ? rgb : row.data())) {
      return Damaged(fmt::format("JPEG data can't be read beyond row {} of {}: {}", y, height, decoder.message()));
    }
    if (info.num_components == 1) GreyToRgb(row.data(), width, rgb);
    if (info.num_components == 4) AdobeCmykToRgb(row.data(), width, rgb);
  }
  return image;
}

// What to divide the size by. The library can do other eighths as well, but more slowly than the whole picture.
unsigned Shrink(const jpeg_decompress_struct& info, const DecodeOptions& options) {
  if (options.jpeg_long_side <= 0) return 1;
  const auto longer = static_cast<int64_t>(std::max(info.image_width, info.image_height));
  const auto shorter = static_cast<int64_t>(std::min(info.image_width, info.image_height));
  for (const unsigned shrink : {8u, 4u, 2u}) {
    const auto shrunk = [shrink](int64_t side) { return (side + shrink - 1) / shrink; };
    if (shrunk(longer) >= options.jpeg_long_side && shrunk(shorter) >= options.jpeg_short_side) return shrink;
  }
  return 1;
}

int Orientation(const jpeg_decompress_struct& info) {
  constexpr std::string_view kExif("Exif\0\0", 6), kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  int exif = 0, xmp = 0;
  for (const jpeg_marker_struct* marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view text(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (exif == 0 && text.starts_with(kExif)) exif = ExifOrientation({marker->data, marker->data_length});
    if (xmp == 0 && text.starts_with(kXmp)) xmp = XmpOrientation(text);
  }
  return ChooseOrientation(exif, xmp);
}

}  // namespace

Result<Decoded> DecodeJpeg(std::span<const uint8_t> bytes, const DecodeOptions& options) {
  JpegDecoder decoder(bytes);
  if (!decoder.ReadHeader()) return Damaged(fmt::format("not a readable JPEG: {}", decoder.message()));
  const jpeg_decompress_struct& info = decoder.info();
  EYESHOT_RETURN_IF_ERROR(CheckSize(info.image_width, info.image_height, options.limits));
  EYESHOT_RETURN_IF_ERROR(CheckPlausible(info, bytes.size()));
  EYESHOT_ASSIGN_OR_RETURN(const J_COLOR_SPACE color, OutputColor(info));
  const int orientation = Orientation(info);
  const unsigned shrink = Shrink(info, options);
  if (!decoder.Start(color, shrink)) return StartError(decoder);
  EYESHOT_ASSIGN_OR_RETURN(Image image, ReadPixels(decoder));
  if (shrink > 1) {
    image.full_width = static_cast<int>(info.image_width);
    image.full_height = static_cast<int>(info.image_height);
  }
  return Decoded{std::move(image), orientation};
}

}  // namespace eyeshot::media
