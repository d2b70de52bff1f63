// Pictures and clips of frames.
#ifndef EYESHOT_MEDIA_H_
#define EYESHOT_MEDIA_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/export.h"
#include "eyeshot/status.h"

namespace eyeshot {

// A decoded picture: 8-bit RGB, row-major, channels last, orientation applied.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // height * width * 3
  // The size in the file, upright, where the picture was decoded smaller (DecodeOptions); else 0. A picture is cut
  // into the tiles of this size.
  int full_width = 0;
  int full_height = 0;
};

// The frames of a video that a model is to see, in order.
struct Frames {
  std::vector<Image> images;
  std::vector<double> timestamps_s;  // one for each image, from the start of the video
  double duration_s = 0;             // of the whole video
};

// Limits on a picture, checked from its header before anything is decoded.
struct EYESHOT_EXPORT ImageLimits {
  uint64_t max_bytes;   // of the encoded file
  uint64_t max_pixels;  // width * height
  uint32_t max_side;
  ImageLimits();  // the values of docs/limits.md
};

// How to decode, where there is a choice. The defaults give what the reference gives.
struct EYESHOT_EXPORT DecodeOptions {
  ImageLimits limits;  // on the size in the file
  // More than 0: a JPEG is decoded at 1/8, 1/4 or 1/2 of its size, at the smallest of these whose longer side has at
  // least so many pixels, and its shorter one jpeg_short_side. That is faster and other pixels than the reference's;
  // docs/deviations.md says by how much. Engine::ScaledDecoding() knows what a model needs.
  int jpeg_long_side = 0;
  int jpeg_short_side = 0;
};

// JPEG, PNG, WebP or GIF (first frame) to RGB: the pixels that Pillow's
// `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives, but for the deviations listed in
// docs/deviations.md. The kind is told by content, not by name; `name` is used in errors.
// Errors: kUnsupported (no known kind), kCorrupt, kLimitExceeded. Thread-safe.
EYESHOT_EXPORT Result<Image> DecodeImage(std::span<const uint8_t> bytes, std::string_view name,
                                         const ImageLimits& limits = ImageLimits());
EYESHOT_EXPORT Result<Image> DecodeImage(std::span<const uint8_t> bytes, std::string_view name,
                                         const DecodeOptions& options);

// DecodeImage of a file's content.
EYESHOT_EXPORT Result<Image> LoadImage(const std::string& path, const ImageLimits& limits = ImageLimits());
EYESHOT_EXPORT Result<Image> LoadImage(const std::string& path, const DecodeOptions& options);

// Takes pictures as the frames of a video at `fps` frames a second: timestamps i / fps, duration n / fps.
// Errors: no picture, fps not positive, more than limits::kMaxFramesPerPrompt.
EYESHOT_EXPORT Result<Frames> FramesFromImages(std::vector<Image> images, double fps);

}  // namespace eyeshot

#endif  // EYESHOT_MEDIA_H_
