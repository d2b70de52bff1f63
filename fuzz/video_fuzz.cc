// Any bytes as a video: an error or frames, no crash, no hang, no large allocation.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "eyeshot/media.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)eyeshot::DetectMedia({data, size});
  eyeshot::VideoOptions options;
  options.limits.max_bytes = 1 << 20;
  options.limits.max_pixels = 1 << 18;  // keeps one input below a few milliseconds
  options.limits.max_frames = 300;
  options.fps = 5;
  options.max_frames = 8;
  options.sampling = size % 2 == 0 ? eyeshot::FrameSampling::kUniform : eyeshot::FrameSampling::kScene;
  if (size % 3 == 0) options.from_s = 0.5;
  const auto frames = eyeshot::DecodeVideo({data, size}, "fuzz", options);
  if (!frames.ok()) return 0;
  if (frames->images.empty() || frames->images.size() > 8 || frames->images.size() != frames->timestamps_s.size() ||
      frames->images.size() != frames->indices.size()) {
    std::abort();
  }
  for (size_t i = 0; i < frames->images.size(); ++i) {
    const eyeshot::Image& image = frames->images[i];
    const auto width = static_cast<size_t>(image.width), height = static_cast<size_t>(image.height);
    if (width * height == 0 || width * height > options.limits.max_pixels || image.rgb.size() != width * height * 3) {
      std::abort();
    }
    if (i > 0 && frames->indices[i] <= frames->indices[i - 1]) std::abort();
    if (frames->indices[i] >= frames->source.frames || !(frames->timestamps_s[i] >= 0)) std::abort();
  }
  return 0;
}
