// The operations that the stages of a run are made of, by the shapes of a model alone: what the ledger will count of
// them, and what a machine's speed is asked about. They follow vision_tower.cc, decoder.cc and decoder_runner.cc
// operation by operation, and backend.cc in what is counted.
#ifndef EYESHOT_PLAN_OPERATIONS_H_
#define EYESHOT_PLAN_OPERATIONS_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "eyeshot/ledger.h"
#include "formats/model_config.h"
#include "kernels/backend.h"
#include "models/model.h"

namespace eyeshot::plan {

enum class OperationKind {
  kLinear,           // products of a packed weight, patch embedding and connector among them
  kEncodeAttention,  // of whole tiles
  kPagedAttention,   // over the cache
  kNorm,
  kRotary,
  kCopy,    // rows that are moved: embeddings, visual tokens
  kFresh,   // bytes (`rows`) of a cache that nobody has touched yet; not counted by the ledger
  kSample,  // of one token
};

// Shapes are those of one call. Doubles, since a mean over steps of decoding need not be whole.
struct Operation {
  OperationKind kind = OperationKind::kLinear;
  WeightFormat format = WeightFormat::kExact;  // kLinear
  bool gelu = false;                           // kLinear: the epilogue
  bool gated = false;
  bool reduced = false;  // attention: operands may be rounded to bfloat16
  KvFormat cache = KvFormat::kHalf;
  double rows = 0;     // of activations; attention: queries
  double outputs = 0;  // kLinear: gates and ups together; others: columns
  double inputs = 0;   // kLinear
  double few_rows = 0;  // kLinear: so many rows at most wait for weights (kernels/few_rows.h)
  double weight_bytes = 0;
  double heads = 0;
  double kv_heads = 0;
  double head_dim = 0;
  double context = 0;  // attention: keys of a tile, or of the sequence at the end of the step
  double keys = 0;     // kPagedAttention: that a query sees, on average
  double times = 1;    // calls
  double flops = 0;    // of one call, as the ledger counts
  double bytes = 0;
};

// One request as the stages see it.
struct Request {
  int64_t tiles = 0;
  int64_t visual_tokens = 0;  // that the prompt holds: those of the tiles, or the ones that a reducer kept
  int64_t prompt_tokens = 0;  // all of them, visual ones included
  int64_t cached_tokens = 0;  // of the prompt, whose keys and values are there already
  int64_t output_tokens = 0;
  // Of a reducer in the tower: the patches of a tile that are left behind each layer's attention. Empty: all.
  std::vector<int64_t> tower_patches;
};

// The operations of encode, connect, reduce, prefill and decode; the lists of other stages are empty. `backend` says
// how weights are packed, how many tiles make a group and how many tokens a step of a prompt.
// REQUIRES: 0 <= cached_tokens < prompt_tokens, output_tokens >= 1, as many tower_patches as layers, or none.
using StageOperations = std::array<std::vector<Operation>, kStageCount>;
StageOperations OperationsOf(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                             const Request& request);

// Bytes of the cache that one token takes.
double CacheBytesPerToken(const ModelConfig& config, const Backend& backend, KvFormat format);

// Sums over calls.
double TotalFlops(const std::vector<Operation>& operations);
double TotalBytes(const std::vector<Operation>& operations);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_OPERATIONS_H_
