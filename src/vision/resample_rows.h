// Rows of either pass, in the best instruction set that this machine has.
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

// How target pixels are made of a source row.
struct AcrossPlan {
  size_t width;             // target pixels
  const int32_t* first;     // [width] source pixels where the windows begin
  const int32_t* count;     // [width] taps of the windows
  const int32_t* weights4;  // [width, stride, 4], each weight four times, 0 from count on
  size_t stride;
  int precision;            // fractional bits of the weights
};

// rgbx: [rows] made by SpreadRow, rgbx_stride bytes apart. out: [rows] of [width, 3], out_stride bytes apart. Four
// rows at a time share the loads of the weights.
void ResampleAcross(const AcrossPlan& plan, const uint8_t* rgbx, size_t rgbx_stride, size_t rows, uint8_t* out,
                    size_t out_stride);

// The weighted sum of `taps` rows of `bytes` bytes, `row_stride` bytes apart. out: [bytes].
void ResampleDown(const uint8_t* rows, size_t row_stride, const int32_t* weights, size_t taps, int precision,
                  size_t bytes, uint8_t* out);

}  // namespace eyeshot

#endif  // EYESHOT_VISION_RESAMPLE_ROWS_H_
