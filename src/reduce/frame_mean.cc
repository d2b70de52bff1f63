// frame-mean: the mean of frames that follow each other, in the place of the first of them. A control that is known to
// hurt (SmolVLM, arXiv 2504.05299, finding on frame averaging).
#include <algorithm>

#include "reduce/reducers.h"

namespace eyeshot {
namespace {

// Frames of a group, such that whole frames are about as many tokens as were asked for.
int64_t GroupSize(int64_t keep, int64_t per_tile) { return (per_tile + keep / 2) / keep; }

// All frames of a clip are asked to keep the same.
std::vector<int64_t> Counts(std::span<const int64_t> keep, int64_t per_tile) {
  std::vector<int64_t> counts(keep.size(), 0);
  if (keep.empty() || keep[0] == 0) return counts;
  const auto group = static_cast<size_t>(GroupSize(keep[0], per_tile));
  for (size_t frame = 0; frame < counts.size(); frame += group) counts[frame] = per_tile;
  return counts;
}

Reduced FrameMean(const ReduceInput& input, ThreadPool&) {
  Reduced reduced;
  if (input.keep[0] == 0) return reduced;
  const int64_t count = input.per_tile();
  const int64_t group = GroupSize(input.keep[0], count);
  for (int64_t first = 0; first < input.tiles; first += group) {
    const int64_t frames = std::min(group, input.tiles - first);
    const float share = 1.0f / static_cast<float>(frames);
    for (int64_t i = 0; i < count; ++i) reduced.slots.push_back(static_cast<int32_t>(first * count + i));
    const size_t begin = reduced.values.size();
    reduced.values.resize(begin + static_cast<size_t>(count * input.width), 0.0f);
    float* const mean = reduced.values.data() + begin;
    for (int64_t frame = first; frame < first + frames; ++frame) {
      const float* const values = input.rows + frame * count * input.width;
      for (int64_t c = 0; c < count * input.width; ++c) mean[c] += values[c] * share;
    }
  }
  return reduced;
}

}  // namespace

constinit const Reducer kFrameMean = {
    .name = "frame-mean", .clips_only = true, .reads_rows = true, .reduce = &FrameMean, .counts = &Counts};

}  // namespace eyeshot
