// divprune: the tokens that differ most from each other: greedily, the largest least distance.
//
// Source: Alvar et al., "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", arXiv 2503.02175.
// Theirs takes all tokens of a picture as one set; here each tile is one, since each has its own place in the prompt.
#include <algorithm>
#include <limits>

#include "reduce/reducers.h"
#include "reduce/similarity.h"

namespace eyeshot {
namespace {

constexpr float kNone = -2;  // below any cosine
constexpr float kChosen = std::numeric_limits<float>::infinity();  // above any

void TakeLarger(const float* row, std::vector<float>& nearest) {
  for (size_t j = 0; j < nearest.size(); ++j) nearest[j] = std::max(nearest[j], row[j]);
}

// The first is the one that is farthest from its nearest neighbour; each next one is farthest from all that were
// chosen. The first of equal ones is taken. cosines: [count, count], changed on the diagonal.
std::vector<int32_t> Diverse(float* cosines, int64_t count, int64_t keep) {
  std::vector<float> nearest(static_cast<size_t>(count), kNone);  // the largest cosine to what is looked at
  for (int64_t i = 0; i < count; ++i) cosines[i * count + i] = kNone;
  for (int64_t i = 0; i < count; ++i) TakeLarger(cosines + i * count, nearest);
  std::vector<int32_t> chosen;
  for (int64_t k = 0; k < keep; ++k) {
    const auto next = std::min_element(nearest.begin(), nearest.end()) - nearest.begin();
    chosen.push_back(static_cast<int32_t>(next));
    if (k == 0) std::fill(nearest.begin(), nearest.end(), kNone);
    TakeLarger(cosines + next * count, nearest);
    nearest[static_cast<size_t>(next)] = kChosen;
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

Reduced DivPrune(const ReduceInput& input, ThreadPool& pool) {
  Reduced reduced;
  const int64_t count = input.per_tile();
  for (int64_t tile = 0; tile < input.tiles; ++tile) {
    const int64_t keep = input.keep[static_cast<size_t>(tile)];
    if (keep == 0) continue;
    const FloatRows rows{input.rows + tile * count * input.width, count, input.width, input.width};
    for (const int32_t token : Diverse(CosineMatrix(rows, pool).data(), count, keep)) {
      reduced.slots.push_back(static_cast<int32_t>(tile * count) + token);
    }
  }
  return reduced;
}

}  // namespace

constinit const Reducer kDivPrune = {.name = "divprune", .reads_rows = true, .reduce = &DivPrune};

}  // namespace eyeshot
