// Token merging: which tokens of a tile are most alike, and what becomes of them.
//
// Source: Bolya et al., "Token Merging: Your ViT But Faster", arXiv 2210.09461.
#ifndef EYESHOT_REDUCE_TOME_H_
#define EYESHOT_REDUCE_TOME_H_

#include <cstdint>
#include <vector>

#include "formats/model_config.h"
#include "reduce/similarity.h"

namespace eyeshot {

// How `count` tokens become fewer: token i becomes part of token to[i] of what is left. Those that stay alone come
// first, the one that is most like any other before the rest; behind them those at odd places, in order.
struct MergeMap {
  std::vector<int32_t> to;
  int64_t left = 0;
};

// Merges the `merges` tokens at even places that are most like a token at an odd place with that one, by the cosine of
// `metric`, at most half of all. Of equal ones the first is taken.
MergeMap MatchTokens(const FloatRows& metric, int64_t merges);

// The means of what is merged, weighted by `sizes` [count], which become those of what is left.
// rows: [count, width]; gives [left, width].
std::vector<float> MergeRows(const MergeMap& map, const FloatRows& rows, std::vector<float>& sizes);

// How many tokens are to be merged in layer `layer` of `layers` that has `count`, so that `keep` are left at the end:
// as many in each layer, at most half of what it has.
int64_t MergesOfLayer(int64_t count, int64_t keep, int64_t layer, int64_t layers);

// What that leaves behind each layer's attention of a tower: Request::tower_patches of the cost model.
std::vector<int64_t> PatchesLeft(const VisionConfig& vision, int64_t keep);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_TOME_H_
