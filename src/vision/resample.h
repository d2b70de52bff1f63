// Antialiased resizing of 8-bit RGB pictures, to the byte as the reference processors do it.
//
// Two passes, across and down, each a weighted sum of source pixels around the target pixel's centre,
// in fixed-point numbers, rounded and clamped to 8 bits. The filter is stretched by the ratio when scaling
// down. The arithmetics differ in how precise the weights are, and in the order of the passes:
//   kPillow:   Image.resize of Pillow until 12 (pictures): 22 fractional bits; across first;
//   kPillow13: of Pillow from 13 on: the same, but down first where the height shrinks by much more than the width;
//   kTorch:    torch's antialiased interpolate of 8-bit tensors on a CPU (video frames): 16-bit weights with as
//            many fractional bits as the largest weight of that pass allows; across first.
#ifndef EYESHOT_VISION_RESAMPLE_H_
#define EYESHOT_VISION_RESAMPLE_H_

#include <cstdint>

#include "base/threads.h"

namespace eyeshot {

enum class ResampleFilter { kBilinear, kBicubic, kLanczos };  // a = -0.5 and three lobes
enum class ResampleArithmetic { kPillow, kPillow13, kTorch };

// 8-bit RGB, row-major, channels last: [height, width, 3]. Not owned.
struct RgbView {
  const uint8_t* data;
  int width;
  int height;
};

// Writes `source` resized to `width` x `height` to out: [height, width, 3], which may not overlap it.
// Results do not depend on the number of threads or on the instruction set. Besides the output it takes
// a few hundred kilobytes for each thread, more when scaling down from pictures of tens of megapixels.
// REQUIRES: all four sides are at least 1.
void Resize(const RgbView& source, int width, int height, ResampleFilter filter, ResampleArithmetic arithmetic,
            ThreadPool& pool, uint8_t* out);

}  // namespace eyeshot

#endif  // EYESHOT_VISION_RESAMPLE_H_
