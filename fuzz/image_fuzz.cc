// Any bytes as a picture: an error or a picture, no crash, no hang, no large allocation.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "eyeshot/media.h"

namespace {

void Decode(const uint8_t* data, size_t size, const eyeshot::DecodeOptions& options) {
  const auto image = eyeshot::DecodeImage({data, size}, "fuzz", options);
  if (!image.ok()) return;
  const auto width = static_cast<size_t>(image->width), height = static_cast<size_t>(image->height);
  if (width * height == 0 || width * height > options.limits.max_pixels || image->rgb.size() != width * height * 3) {
    std::abort();
  }
  const bool scaled = image->full_width != 0;
  if (scaled && (image->full_width < image->width || image->full_height < image->height)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  eyeshot::DecodeOptions options;
  options.limits.max_bytes = 1 << 20;
  options.limits.max_pixels = 1 << 20;  // keeps one input below a few milliseconds
  options.limits.max_side = 4096;
  Decode(data, size, options);
  options.jpeg_long_side = 1 + static_cast<int>(size % 64);
  Decode(data, size, options);
  return 0;
}
