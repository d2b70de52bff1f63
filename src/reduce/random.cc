// random: tokens drawn by a seed. A control: what a method doesn't beat, it needn't compute.
#include <algorithm>
#include <numeric>
#include <utility>

#include "base/splitmix64.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

// Number `draw` of a tile's sequence, below `end`. Its bias is below end / 2^53.
int64_t Draw(uint64_t seed, int64_t tile, int64_t draw, int64_t end) {
  const uint64_t sequence = SplitMix64(seed ^ SplitMix64(static_cast<uint64_t>(tile)));
  const uint64_t bits = SplitMix64(sequence + static_cast<uint64_t>(draw) * kSplitMix64Step);
  return static_cast<int64_t>(UnitOfBits(bits) * static_cast<double>(end));
}

// The first steps of a Fisher-Yates shuffle of each tile.
Reduced Random(const ReduceInput& input, ThreadPool&) {
  Reduced reduced;
  std::vector<int32_t> tokens(static_cast<size_t>(input.per_tile()));
  for (int64_t tile = 0; tile < input.tiles; ++tile) {
    std::iota(tokens.begin(), tokens.end(), static_cast<int32_t>(tile * input.per_tile()));
    const int64_t keep = input.keep[static_cast<size_t>(tile)];
    for (int64_t i = 0; i < keep; ++i) {
      const int64_t other = i + Draw(input.seed, tile, i, input.per_tile() - i);
      std::swap(tokens[static_cast<size_t>(i)], tokens[static_cast<size_t>(other)]);
    }
    std::sort(tokens.begin(), tokens.begin() + keep);
    reduced.slots.insert(reduced.slots.end(), tokens.begin(), tokens.begin() + keep);
  }
  return reduced;
}

}  // namespace

constinit const Reducer kRandom = {.name = "random", .source = "control", .reduce = &Random};

}  // namespace eyeshot
