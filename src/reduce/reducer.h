// Reducer: a way to make visual tokens fewer, and the table of those that there are.
//
// Adding one is one file with its functions and one line in registry.cc (docs/tokens.md).
#ifndef EYESHOT_REDUCE_REDUCER_H_
#define EYESHOT_REDUCE_REDUCER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "formats/model_config.h"
#include "vision/layer_hook.h"

namespace eyeshot {

// What a reducer may know of the tower, by visual token: of all its patches.
struct TowerSignals {
  std::vector<float> attention;  // [tokens] mean probability that its patches received
  std::vector<float> keys;       // [tokens, key_width] mean of its patches' keys over all heads
  int64_t key_width = 0;
};

// What a model trained with fewer tokens a tile adds to means of areas (ConnectorConfig::kElastic); empty: others.
struct ElasticScales {
  std::span<const int64_t> tokens;  // a tile
  std::span<const float> rows;      // [tokens, width]
};

// The visual tokens of a picture or clip, tile by tile, each row by row.
struct ReduceInput {
  int64_t tiles = 0;
  int64_t side = 0;              // tokens along a side of a tile
  std::span<const int64_t> keep;  // [tiles] how many shall stay; at most side * side
  uint64_t seed = 0;
  int64_t width = 0;
  const float* rows = nullptr;       // [tiles * side * side, width]; null: the reducer doesn't read them
  const float* attention = nullptr;  // as in TowerSignals; null: the reducer doesn't ask for them
  const float* keys = nullptr;
  int64_t key_width = 0;
  ElasticScales scales;

  int64_t per_tile() const { return side * side; }
};

// What stays.
struct Reduced {
  std::vector<int32_t> slots;  // ascending: the tokens whose places are taken
  std::vector<float> values;   // [slots, width] what stands there; empty: the tokens as they were
};

// What a reducer looks at in the tower.
struct HookContext {
  const ModelConfig* config = nullptr;
  std::vector<int64_t> keep;  // of a reducer in the tower: the patches of each tile that shall stay
  ThreadPool* pool = nullptr;
  TowerSignals* signals = nullptr;  // for a hook to fill, a tile behind the other
};

struct Reducer {
  std::string_view name;
  bool clips_only = false;   // it compares frames
  bool reads_rows = false;
  bool elastic = false;  // it needs ElasticScales, and keeps one of their numbers of tokens or all
  bool in_tower = false;  // it makes the tower's work less; the decoder sees as many tokens as ever
  // Which tiles the tokens stay in shows only when they are there; their number is that of counts().
  bool counts_by_content = false;

  // Makes tokens fewer; null: in_tower. REQUIRES: each keep is 0 to per_tile().
  Reduced (*reduce)(const ReduceInput& input, ThreadPool& pool) = nullptr;
  // Tokens of each tile, keep[t] being asked for; null: those. With counts_by_content as good a guess as any.
  std::vector<int64_t> (*counts)(std::span<const int64_t> keep, int64_t per_tile) = nullptr;
  // Null: it doesn't look at the tower.
  std::unique_ptr<LayerHook> (*hook)(const HookContext& context) = nullptr;
};

std::span<const Reducer* const> Reducers();
// null: there is none of that name. "auto" is the best that is known.
const Reducer* FindReducer(std::string_view name);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_REDUCER_H_
