// evs: of a clip, the tokens that differ most from those at the same place one frame before; the first frame whole.
//
// Source: NVIDIA, "Efficient Video Sampling: Pruning Temporally Redundant Tokens for Faster VLM Inference",
// arXiv 2510.14624.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "reduce/reducers.h"
#include "reduce/similarity.h"

namespace eyeshot {
namespace {

// How many tokens the clip keeps: the sum of what its frames should, but at least a frame.
int64_t KeptOf(std::span<const int64_t> keep, int64_t per_tile) {
  const int64_t sum = std::accumulate(keep.begin(), keep.end(), int64_t{0});
  return sum == 0 ? 0 : std::max(sum, per_tile);
}

// As many, the first frame whole, the rest evenly over the others.
std::vector<int64_t> Counts(std::span<const int64_t> keep, int64_t per_tile) {
  const int64_t kept = KeptOf(keep, per_tile);
  std::vector<int64_t> counts(keep.size(), 0);
  if (kept == 0) return counts;
  counts[0] = per_tile;
  const auto others = static_cast<int64_t>(keep.size()) - 1;
  for (int64_t i = 0; i < others; ++i) {
    counts[static_cast<size_t>(i) + 1] = (i + 1) * (kept - per_tile) / others - i * (kept - per_tile) / others;
  }
  return counts;
}

// 1 - cosine; of the first frame more than that can be.
std::vector<float> Changes(const ReduceInput& input, ThreadPool& pool) {
  constexpr float kFirst = 255;
  constexpr float kSmall = 1e-8f;  // lengths below it count as it
  const int64_t count = input.per_tile();
  std::vector<float> changes(static_cast<size_t>(input.tiles * count), kFirst);
  pool.Run(static_cast<size_t>(input.tiles - 1), [&](size_t frame, size_t) {
    for (int64_t i = 0; i < count; ++i) {
      const int64_t token = (static_cast<int64_t>(frame) + 1) * count + i;
      const float* const now = input.rows + token * input.width;
      const float* const before = now - count * input.width;
      const float lengths = std::max(std::sqrt(Dot(now, now, input.width)), kSmall) *
                            std::max(std::sqrt(Dot(before, before, input.width)), kSmall);
      changes[static_cast<size_t>(token)] = 1 - Dot(now, before, input.width) / lengths;
    }
  });
  return changes;
}

Reduced Evs(const ReduceInput& input, ThreadPool& pool) {
  Reduced reduced;
  const auto kept = static_cast<std::ptrdiff_t>(KeptOf(input.keep, input.per_tile()));
  const std::vector<float> changes = Changes(input, pool);
  std::vector<int32_t> order(changes.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return changes[static_cast<size_t>(a)] > changes[static_cast<size_t>(b)];
  });
  reduced.slots.assign(order.begin(), order.begin() + kept);
  std::sort(reduced.slots.begin(), reduced.slots.end());
  return reduced;
}

}  // namespace

constinit const Reducer kEvs = {.name = "evs",
                                .clips_only = true,
                                .reads_rows = true,
                                .counts_by_content = true,
                                .reduce = &Evs,
                                .counts = &Counts};

}  // namespace eyeshot
