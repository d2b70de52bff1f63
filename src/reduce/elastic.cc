// elastic: the mean of each of even areas of a tile and, as in training, a row that says how many they are. For models
// trained with several numbers of tokens a tile (training/README.md), after Matryoshka multimodal models, arXiv
// 2405.17430.
#include <algorithm>
#include <functional>

#include "reduce/reducers.h"

namespace eyeshot {
namespace {

Reduced Elastic(const ReduceInput& input, ThreadPool& pool) {
  Reduced reduced = PoolTokens(input, pool);
  float* row = reduced.values.data();
  for (const int64_t keep : input.keep) {
    const auto scale = std::find(input.scales.tokens.begin(), input.scales.tokens.end(), keep);
    for (int64_t i = 0; i < keep; ++i, row += input.width) {
      if (scale == input.scales.tokens.end()) continue;  // as all tokens, which have no row of their own
      const float* const added = input.scales.rows.data() + (scale - input.scales.tokens.begin()) * input.width;
      std::transform(row, row + input.width, added, row, std::plus<>());
    }
  }
  return reduced;
}

}  // namespace

constinit const Reducer kElastic = {.name = "elastic", .reads_rows = true, .elastic = true, .reduce = &Elastic};

}  // namespace eyeshot
