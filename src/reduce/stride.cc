// stride: tokens that stand evenly apart. A control that published methods often don't beat.
#include "reduce/even_grid.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

Reduced Stride(const ReduceInput& input, ThreadPool&) {
  Reduced reduced;
  for (int64_t tile = 0; tile < input.tiles; ++tile) {
    const int64_t keep = input.keep[static_cast<size_t>(tile)];
    if (keep == 0) continue;
    const EvenGrid grid(input.side, keep);
    for (int64_t i = 0; i < keep; ++i) {
      reduced.slots.push_back(static_cast<int32_t>(tile * input.per_tile() + grid.Middle(i)));
    }
  }
  return reduced;
}

}  // namespace

constinit const Reducer kStride = {.name = "stride", .source = "control", .reduce = &Stride};

}  // namespace eyeshot
