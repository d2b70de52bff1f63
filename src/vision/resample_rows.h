// One row of either pass, in the best instruction set that this machine has.
#ifndef EYESHOT_VISION_RESAMPLE_ROWS_H_
#define EYESHOT_VISION_RESAMPLE_ROWS_H_

#include <cstddef>
#include <cstdint>

namespace eyeshot {

// A source row for ResampleAcross: 4 bytes a pixel, the fourth ignored, and room behind the last pixel for
// the taps that a full vector reads in vain.
inline constexpr size_t kSparePixels = 16;

// rgb: [width, 3] to rgbx: [width + kSparePixels, 4].
void SpreadRow(const uint8_t* rgb, size_t width, uint8_t* rgbx);

// rgbx: a row made by SpreadRow. weights4: [width, stride, 4], each weight four times, 0 from count on.
// out: [width, 3], where width is the number of target pixels.
void ResampleAcross(const uint8_t* rgbx, const int32_t* first, const int32_t* count, const int32_t* weights4,
                    size_t stride, int precision, size_t width, uint8_t* out);

// The weighted sum of `taps` rows of `bytes` bytes, `row_stride` bytes apart. out: [bytes].
void ResampleDown(const uint8_t* rows, size_t row_stride, const int32_t* weights, size_t taps, int precision,
                  size_t bytes, uint8_t* out);

}  // namespace eyeshot

#endif  // EYESHOT_VISION_RESAMPLE_ROWS_H_
