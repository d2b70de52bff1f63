// pool: the mean of each of even areas of a tile, in the place of its middle. A control.
#include <algorithm>

#include "reduce/even_grid.h"
#include "reduce/reducers.h"

namespace eyeshot {
namespace {

void AddRow(const float* row, int64_t width, float* sum) {
  for (int64_t c = 0; c < width; ++c) sum[c] += row[c];
}

}  // namespace

Reduced PoolTokens(const ReduceInput& input, ThreadPool& pool) {
  Reduced reduced;
  std::vector<int64_t> first(1, 0);  // of each tile among all areas
  for (const int64_t keep : input.keep) first.push_back(first.back() + keep);
  reduced.slots.resize(static_cast<size_t>(first.back()));
  reduced.values.resize(static_cast<size_t>(first.back() * input.width));
  pool.Run(static_cast<size_t>(input.tiles), [&](size_t tile, size_t) {
    const int64_t keep = input.keep[tile];
    if (keep == 0) return;
    const EvenGrid grid(input.side, keep);
    const int64_t begin = static_cast<int64_t>(tile) * input.per_tile();
    for (int64_t i = 0; i < keep; ++i) {
      const int64_t area = first[tile] + i;
      reduced.slots[static_cast<size_t>(area)] = static_cast<int32_t>(begin + grid.Middle(i));
      float* const mean = reduced.values.data() + area * input.width;
      const std::vector<int64_t> tokens = grid.Area(i);
      for (const int64_t token : tokens) AddRow(input.rows + (begin + token) * input.width, input.width, mean);
      const float share = 1.0f / static_cast<float>(tokens.size());
      std::transform(mean, mean + input.width, mean, [=](float sum) { return sum * share; });
    }
  });
  return reduced;
}

constinit const Reducer kPool = {.name = "pool", .reads_rows = true, .reduce = &PoolTokens};

}  // namespace eyeshot
