// The decoders behind DecodeImage, one a format, and what they share.
#ifndef EYESHOT_MEDIA_DECODERS_H_
#define EYESHOT_MEDIA_DECODERS_H_

#include <cstdint>
#include <span>

#include "eyeshot/media.h"

namespace eyeshot::media {

// A picture as stored, and how it is to be turned.
struct Decoded {
  Image image;
  int orientation = 1;  // EXIF tag 0x0112, 1 to 8
};

// Each takes a whole file whose first bytes are its format's signature, checks the size that the header
// states against the limits before it takes memory for pixels, and reports errors without the file's name.
// Errors: kCorrupt, kUnsupported, kLimitExceeded.
Result<Decoded> DecodeJpeg(std::span<const uint8_t> bytes, const DecodeOptions& options);
Result<Decoded> DecodePng(std::span<const uint8_t> bytes, const ImageLimits& limits);
Result<Decoded> DecodeWebp(std::span<const uint8_t> bytes, const ImageLimits& limits);
Result<Decoded> DecodeGif(std::span<const uint8_t> bytes, const ImageLimits& limits);

// Whether a GIF holds more than one picture; a damaged one holds those before the damage.
bool HasSecondFrame(std::span<const uint8_t> gif);

// kLimitExceeded if a picture of this size is not allowed, kCorrupt if a side is 0.
Status CheckSize(uint64_t width, uint64_t height, const ImageLimits& limits);

// An Image of that size, all black. REQUIRES: CheckSize() was ok.
Image BlackImage(uint64_t width, uint64_t height);

// 8-bit grey [count] to RGB [count, 3].
void GreyToRgb(const uint8_t* grey, size_t count, uint8_t* rgb);

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_DECODERS_H_
