// The fixed-point weights of one pass of a resize.
#ifndef EYESHOT_VISION_RESAMPLE_WEIGHTS_H_
#define EYESHOT_VISION_RESAMPLE_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "vision/resample.h"

namespace eyeshot {

// Target pixel i is the sum over t in [0, count[i]) of source pixel first[i] + t times weights[i * stride + t],
// an integer with `precision` fractional bits. first and first + count never decrease.
struct ResampleWeights {
  int stride = 0;  // a multiple of 4; weights from count[i] on are 0
  int precision = 0;
  std::vector<int32_t> first;
  std::vector<int32_t> count;
  std::vector<int32_t> weights;
};

// For `from` source and `to` target pixels, both at least 1.
ResampleWeights ComputeWeights(int from, int to, ResampleFilter filter, ResampleArithmetic arithmetic);

}  // namespace eyeshot

#endif  // EYESHOT_VISION_RESAMPLE_WEIGHTS_H_
