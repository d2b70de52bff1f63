// Any bytes as a picture: an error or a picture, no crash, no hang, no large allocation.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "eyeshot/media.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  eyeshot::ImageLimits limits;
  limits.max_bytes = 1 << 20;
  limits.max_pixels = 1 << 20;  // keeps one input below a few milliseconds
  limits.max_side = 4096;
  const auto image = eyeshot::DecodeImage({data, size}, "fuzz", limits);
  if (!image.ok()) return 0;
  const auto width = static_cast<size_t>(image->width), height = static_cast<size_t>(image->height);
  if (width * height == 0 || width * height > limits.max_pixels || image->rgb.size() != width * height * 3) {
    std::abort();
  }
  return 0;
}
