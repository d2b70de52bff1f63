// Attention of the vision tower over runs of tokens, and of prompts over a paged cache.
//
// A block of four warps has 64 or 128 queries of one head, 16 or 32 for each warp, and goes over tiles of 64 keys in
// shared memory with a running softmax, so that scores never leave registers (FlashAttention-2, arXiv 2307.08691). A
// tile of keys is on its way while the values of the one before are weighed, and values while scores are computed. What
// a warp reads of shared memory, which bounds it, serves all of its queries; fewer queries make more blocks.
#ifndef EYESHOT_KERNELS_CUDA_ATTENTION_INL_H_
#define EYESHOT_KERNELS_CUDA_ATTENTION_INL_H_

#include "kernels/cuda/paged-inl.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {
namespace attention {

constexpr int kTile = 64;  // keys that a block takes at a time
constexpr int kWarpRows = 16;  // queries of a fragment
constexpr int kTileThreads = 128;
constexpr int kKeyColumns = kTile / 8;  // of eight keys, in the fragments of scores

// --- A tile of queries.

// Tiles in shared memory for heads of up to kDim channels. Strides are odd numbers of 16 bytes: the eight rows that a
// matrix load touches lie in different banks.
template <int kDim, int kParts>
struct Shape {
  static constexpr int kQueries = kTileThreads / kWarp * kParts * kWarpRows;
  static constexpr int kSteps = (kDim + 15) / 16;  // of 16 channels, along q k^T
  static constexpr int kColumns = kDim / 8;  // of eight channels of the output
  static constexpr int kStride = kSteps * 16 + 8;  // of queries and keys
  static constexpr int kValueStride = kDim % 16 == 8 ? kDim : kDim + 8;
  static constexpr int kQueryElements = kQueries * kStride;
  static constexpr int kKeyElements = kTile * kStride;
  static constexpr int kValueElements = kTile * kValueStride;
  static constexpr size_t kBytes = sizeof(uint16_t) * (kQueryElements + 2 * (kKeyElements + kValueElements));
  static constexpr bool kHoldQueries = kDim <= 128;  // in registers, over all tiles of keys
};

struct TileTask {
  const uint16_t* queries;  // the tile's first query, at the head's channels
  int query_stride;
  uint16_t* out;
  int out_stride;
  int rows;  // queries of the tile
  int keys;  // that its last query sees
  int first_keys;  // that its first query sees; each next one sees one more, up to `keys`
  int head_dim;
  float factor;  // of scores: their scale times log2(e)
  const float* key_bias;  // of key 0, or null
  float* log_sums;  // of the first query, or null: log2 of the sum of exponentials
};

// Where keys and values lie.
struct PackedRows {
  const uint16_t* keys;
  const uint16_t* values;
  int stride;
  EYESHOT_DEVICE int64_t Offset(int key) const { return Product(key, stride); }
};
struct QueryRows {
  int stride;
  EYESHOT_DEVICE int64_t Offset(int row) const { return Product(row, stride); }
};

// Begins to copy rows [first, first + kCount) into a tile, and those of `values` (unless null) into another one; rows
// from `end` on become zeros. Eight threads have a row, so that a thread looks up few rows and has the same channels of
// each.
template <int kDim, int kCount, int kStride, int kValueStride, typename Rows>
EYESHOT_DEVICE void CopyTiles(const Rows& rows, const uint16_t* from, const uint16_t* values, int first, int end,
                              int head_dim, uint16_t* tile, uint16_t* value_tile) {
  constexpr int kRowThreads = 8;
  constexpr int kRows = kTileThreads / kRowThreads;
  EYESHOT_UNROLL
  for (int pass = 0; pass < kCount / kRows; ++pass) {
    const int row = pass * kRows + ThreadIndex() / kRowThreads;
    const bool valid = first + row < end;
    const int64_t offset = valid ? rows.Offset(first + row) : 0;
    EYESHOT_UNROLL
    for (int group = 0; group < kDim; group += kRowThreads * 8) {
      const int channel = group + ThreadIndex() % kRowThreads * 8;
      if (channel >= head_dim) continue;
      AsyncCopy16(tile + row * kStride + channel, from + offset + channel, valid);
      if (values != nullptr) AsyncCopy16(value_tile + row * kValueStride + channel, values + offset + channel, valid);
    }
  }
}

// Channels that a head hasn't are zeros in queries and keys. (In values they only reach outputs that nobody stores.)
template <int kCount, int kSteps, int kStride>
EYESHOT_DEVICE void ClearPadding(int head_dim, uint16_t* tile) {
  const int padding = kSteps * 2 - head_dim / 8;
  if (padding == 0) return;
  for (int i = ThreadIndex(); i < kCount * padding; i += kTileThreads) {
    Store16(tile + i / padding * kStride + head_dim + i % padding * 8, Vec16{});
  }
}

// The queries of a warp as fragments, read at each use where registers don't suffice.
template <int kDim, int kParts>
struct Queries {
  const uint16_t* row;  // of this lane, for LoadMatrices
  uint32_t words[kParts][Shape<kDim, kParts>::kHoldQueries ? Shape<kDim, kParts>::kSteps : 1][4];

  EYESHOT_DEVICE void Load(int part, int step, int slot) {
    LoadMatrices(row + part * kWarpRows * Shape<kDim, kParts>::kStride + step * 16, words[part][slot]);
  }
};

template <int kDim, int kParts>
EYESHOT_DEVICE void HoldQueries(const uint16_t* tile, Queries<kDim, kParts>& queries) {
  using Tile = Shape<kDim, kParts>;
  queries.row = tile + (WarpIndex() * kParts * kWarpRows + Lane() % 16) * Tile::kStride + Lane() / 16 * 8;
  if constexpr (Tile::kHoldQueries) {
    EYESHOT_UNROLL
    for (int part = 0; part < kParts; ++part) {
      EYESHOT_UNROLL
      for (int step = 0; step < Tile::kSteps; ++step) queries.Load(part, step, step);
    }
  }
}

// Of 16 queries and the 64 keys of a tile.
using Scores = float[kKeyColumns][4];

// scores = q k^T of the warp's queries and the tile's keys.
template <int kDim, int kParts>
EYESHOT_DEVICE void Score(Queries<kDim, kParts>& queries, const uint16_t* keys, Scores (&scores)[kParts]) {
  using Tile = Shape<kDim, kParts>;
  EYESHOT_UNROLL
  for (int i = 0; i < kParts * kKeyColumns * 4; ++i) scores[i / (kKeyColumns * 4)][i / 4 % kKeyColumns][i % 4] = 0;
  // A load gives 16 channels of 16 keys.
  const uint16_t* row = keys + (Lane() / 16 * 8 + Lane() % 8) * Tile::kStride + Lane() / 8 % 2 * 8;
  EYESHOT_UNROLL
  for (int step = 0; step < Tile::kSteps; ++step) {
    constexpr bool kHeld = Tile::kHoldQueries;
    EYESHOT_UNROLL
    for (int part = 0; part < kParts; ++part) {
      if constexpr (!kHeld) queries.Load(part, step, 0);
    }
    EYESHOT_UNROLL
    for (int n = 0; n < kKeyColumns; n += 2) {
      uint32_t words[4];
      LoadMatrices(row + n * 8 * Tile::kStride + step * 16, words);
      EYESHOT_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const uint32_t(&a)[4] = queries.words[part][kHeld ? step : 0];
        MmaBf16(scores[part][n], a, {words[0], words[1]});
        MmaBf16(scores[part][n + 1], a, {words[2], words[3]});
      }
    }
  }
}

// The running softmax of a lane's two rows, and what it has of the output.
template <int kColumns>
struct Running {
  float highest[2] = {kLowest, kLowest};  // score, times the factor
  float sum[2] = {};  // this lane's part
  float out[kColumns][4] = {};
};

// Adds the bias of each key; the factor is in the scores afterwards. `first`: the tile's first key.
EYESHOT_DEVICE void AddBias(const TileTask& task, int first, Scores& scores) {
  EYESHOT_UNROLL
  for (int n = 0; n < kKeyColumns; ++n) {
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int key = first + n * 8 + Lane() % 4 * 2 + i % 2;
      scores[n][i] = scores[n][i] * task.factor + (key < task.keys ? task.key_bias[key] * kLog2E : 0.0f);
    }
  }
}

// Hides the keys that a row doesn't see. `first`: the tile's first key; `query`: of the fragment, its first.
EYESHOT_DEVICE void Mask(const TileTask& task, int first, int query, Scores& scores) {
  const int row = query + Lane() / 4;
  const int seen[2] = {Min(task.keys, task.first_keys + row) - first,
                       Min(task.keys, task.first_keys + row + 8) - first};
  EYESHOT_UNROLL
  for (int n = 0; n < kKeyColumns; ++n) {
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (n * 8 + Lane() % 4 * 2 + i % 2 >= seen[i / 2]) scores[n][i] = MinusInfinity();
    }
  }
}

// Scores become probabilities before their division by the sum; what is there already shrinks to the new maximum.
template <int kColumns>
EYESHOT_DEVICE void SoftmaxStep(float factor, Scores& scores, Running<kColumns>& running) {
  EYESHOT_UNROLL
  for (int half = 0; half < 4; half += 2) {
    float top = scores[0][half];
    EYESHOT_UNROLL
    for (int n = 0; n < kKeyColumns; ++n) top = Max(top, Max(scores[n][half], scores[n][half + 1]));
    const float highest = Max(running.highest[half / 2], QuadMax(top) * factor);
    const float shrink = FastExp2(running.highest[half / 2] - highest);
    running.highest[half / 2] = highest;
    float sum = running.sum[half / 2] * shrink;
    EYESHOT_UNROLL
    for (int n = 0; n < kKeyColumns; ++n) {
      EYESHOT_UNROLL
      for (int i = half; i < half + 2; ++i) {
        scores[n][i] = FastExp2(scores[n][i] * factor - highest);
        sum += scores[n][i];
      }
    }
    running.sum[half / 2] = sum;
    EYESHOT_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      running.out[n][half] *= shrink;
      running.out[n][half + 1] *= shrink;
    }
  }
}

// out += p v. The fragment of scores as a result is that of p as an operand.
template <int kColumns, int kStride, int kParts>
EYESHOT_DEVICE void AddValues(const Scores (&p)[kParts], const uint16_t* values, Running<kColumns> (&running)[kParts]) {
  EYESHOT_UNROLL
  for (int keys = 0; keys < kKeyColumns; keys += 4) {  // 32 at a time
    uint32_t a[kParts][2][4];
    EYESHOT_UNROLL
    for (int part = 0; part < kParts; ++part) {
      EYESHOT_UNROLL
      for (int i = 0; i < 4; ++i) {
        a[part][i / 2][i % 2 * 2] = PackBf16(p[part][keys + i][0], p[part][keys + i][1]);
        a[part][i / 2][i % 2 * 2 + 1] = PackBf16(p[part][keys + i][2], p[part][keys + i][3]);
      }
    }
    const uint16_t* row = values + (keys * 8 + Lane()) * kStride;
    EYESHOT_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      uint32_t words[4];
      LoadMatricesTransposed(row + n * 8, words);
      EYESHOT_UNROLL
      for (int part = 0; part < kParts; ++part) {
        MmaBf16(running[part].out[n], a[part][0], {words[0], words[1]});
        MmaBf16(running[part].out[n], a[part][1], {words[2], words[3]});
      }
    }
  }
}

// Divides by the sums and stores 16 queries, from `first` of the tile on, by way of their own rows of the tile, 16
// bytes at a time.
template <int kColumns, int kStride>
EYESHOT_DEVICE void StoreRows(const TileTask& task, int first, const Running<kColumns>& running, uint16_t* queries) {
  uint16_t* rows = queries + first * kStride;
  SyncWarp();
  EYESHOT_UNROLL
  for (int half = 0; half < 2; ++half) {
    const float sum = QuadSum(running.sum[half]);
    const int row = Lane() / 4 + half * 8;
    auto* words = reinterpret_cast<uint32_t*>(rows + row * kStride + Lane() % 4 * 2);
    EYESHOT_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      words[n * 4] = PackBf16(running.out[n][half * 2] / sum, running.out[n][half * 2 + 1] / sum);
    }
    if (task.log_sums != nullptr && Lane() % 4 == 0 && first + row < task.rows) {
      task.log_sums[first + row] = running.highest[half] + Log2(sum);
    }
  }
  SyncWarp();
  const int chunks = task.head_dim / 8;
  for (int i = Lane(); i < kWarpRows * chunks; i += kWarp) {
    const int row = i / chunks;
    const int channel = i % chunks * 8;
    if (first + row >= task.rows) break;
    Store16(task.out + Product(first + row, task.out_stride) + channel, Load16(rows + row * kStride + channel));
  }
}

// Attention of one tile of queries, by a whole block.
template <int kDim, int kParts, typename Rows>
EYESHOT_DEVICE void Attend(const TileTask& task, const Rows& rows) {
  using Tile = Shape<kDim, kParts>;
  constexpr int kStride = Tile::kStride;
  auto* query_tile = reinterpret_cast<uint16_t*>(SharedMemory());
  uint16_t* key_tiles = query_tile + Tile::kQueryElements;  // two, each with its values behind it
  // Where tile `index` of keys is, and that of values behind it.
  const auto tile_at = [&](int index) { return key_tiles + index % 2 * (Tile::kKeyElements + Tile::kValueElements); };
  const auto copy = [&](int first, uint16_t* keys) {
    CopyTiles<kDim, kTile, kStride, Tile::kValueStride>(rows, rows.keys, rows.values, first, task.keys, task.head_dim,
                                                        keys, keys + Tile::kKeyElements);
  };

  const QueryRows query_rows{task.query_stride};
  CopyTiles<kDim, Tile::kQueries, kStride, kStride>(query_rows, task.queries, nullptr, 0, task.rows, task.head_dim,
                                                    query_tile, nullptr);
  copy(0, tile_at(0));
  ClearPadding<Tile::kQueries, Tile::kSteps, kStride>(task.head_dim, query_tile);
  ClearPadding<kTile, Tile::kSteps, kStride>(task.head_dim, tile_at(0));
  ClearPadding<kTile, Tile::kSteps, kStride>(task.head_dim, tile_at(1));
  Queries<kDim, kParts> queries;
  Running<Tile::kColumns> running[kParts];
  const int first_query = WarpIndex() * kParts * kWarpRows;

  for (int first = 0; first < task.keys; first += kTile) {
    const uint16_t* keys = tile_at(first / kTile);
    AsyncWait();
    SyncThreads();  // this tile is there, and the one before free
    if (first == 0) HoldQueries(query_tile, queries);
    if (first + kTile < task.keys) copy(first + kTile, tile_at(first / kTile + 1));
    Scores scores[kParts];
    Score(queries, keys, scores);
    EYESHOT_UNROLL
    for (int part = 0; part < kParts; ++part) {
      if (task.key_bias != nullptr) AddBias(task, first, scores[part]);
      if (first + kTile > task.first_keys) Mask(task, first, first_query + part * kWarpRows, scores[part]);
      SoftmaxStep(task.key_bias != nullptr ? 1.0f : task.factor, scores[part], running[part]);
    }
    AddValues<Tile::kColumns, Tile::kValueStride>(scores, keys + Tile::kKeyElements, running);
  }
  EYESHOT_UNROLL
  for (int part = 0; part < kParts; ++part) {
    StoreRows<Tile::kColumns, kStride>(task, first_query + part * kWarpRows, running[part], query_tile);
  }
}

// --- Runs of tokens.

struct EncodeParams {
  const uint16_t* qkv;
  int qkv_stride;
  uint16_t* y;
  int y_stride;
  const int32_t* cu_tokens;
  int64_t tokens;  // of all runs
  int tiles;  // of queries, or of keys for their means, of the longest run
  int heads;
  int head_dim;
  float factor;
  const float* key_bias;  // [tokens] or null
  float* log_sums;  // [heads, tokens] or null
  float* column_mean;  // [tokens] or null
};

// Grid: (tiles of queries of each run, heads).
template <int kDim, int kParts>
EYESHOT_KERNEL(kTileThreads)
EncodeKernel(EncodeParams params) {
  WaitForPrevious();
  const int run = BlockX() / params.tiles;
  constexpr int kQueries = Shape<kDim, kParts>::kQueries;
  const int first = BlockX() % params.tiles * kQueries;
  const int64_t begin = params.cu_tokens[run];
  const int tokens = params.cu_tokens[run + 1] - static_cast<int>(begin);
  if (first >= tokens) return;
  const int64_t width = Product(params.heads, params.head_dim);
  const int64_t column = Product(BlockY(), params.head_dim);
  const uint16_t* q = params.qkv + begin * params.qkv_stride + column;
  const TileTask task = {
      .queries = q + Product(first, params.qkv_stride),
      .query_stride = params.qkv_stride,
      .out = params.y + (begin + first) * params.y_stride + column,
      .out_stride = params.y_stride,
      .rows = Min(kQueries, tokens - first),
      .keys = tokens,
      .first_keys = tokens,
      .head_dim = params.head_dim,
      .factor = params.factor,
      .key_bias = params.key_bias == nullptr ? nullptr : params.key_bias + begin,
      .log_sums = params.log_sums == nullptr ? nullptr : params.log_sums + BlockY() * params.tokens + begin + first};
  Attend<kDim, kParts>(task, PackedRows{q + width, q + 2 * width, params.qkv_stride});
}

constexpr int kMeanKeys = 16;  // of a block
constexpr int kMeanWarps = 8;
constexpr int kMeanThreads = kMeanWarps * kWarp;

// Eight channels of each lane of a quad, 32 together, as the words of two fragments. They stand in another order than
// their addresses; a product doesn't mind as long as both operands have the same.
template <int kGroups>
EYESHOT_DEVICE void LoadRow(const uint16_t* row, bool valid, int head_dim, Vec16 (&words)[kGroups]) {
  EYESHOT_UNROLL
  for (int group = 0; group < kGroups; ++group) {
    const int channel = group * 32 + Lane() % 4 * 8;
    words[group] = valid && channel < head_dim ? Load16(row + channel) : Vec16{};
  }
}

// The scores of 16 keys with 8 queries, from the rows g and g + 8 of keys and g of queries.
template <int kGroups>
EYESHOT_DEVICE void ScoreColumn(const Vec16 (&low)[kGroups], const Vec16 (&high)[kGroups],
                                const Vec16 (&query)[kGroups], float (&scores)[4]) {
  EYESHOT_UNROLL
  for (int group = 0; group < kGroups; ++group) {
    EYESHOT_UNROLL
    for (int i = 0; i < 4; i += 2) {
      const uint32_t* a = low[group].word + i;
      const uint32_t* b = high[group].word + i;
      MmaBf16(scores, {a[0], b[0], a[1], b[1]}, {query[group].word[i], query[group].word[i + 1]});
    }
  }
}

// Adds what keys `key` and `key + 8` (this lane's rows) received in one head from the warp's share of the queries.
template <int kGroups>
EYESHOT_DEVICE void SumHead(const EncodeParams& params, int64_t begin, int tokens, int key, int head,
                            float (&received)[2]) {
  const uint16_t* q = params.qkv + begin * params.qkv_stride + Product(head, params.head_dim);
  const uint16_t* k = q + Product(params.heads, params.head_dim);
  const float* log_sums = params.log_sums + head * params.tokens + begin;
  const bool valid[2] = {key < tokens, key + 8 < tokens};
  Vec16 low[kGroups];
  Vec16 high[kGroups];
  LoadRow(k + Product(key, params.qkv_stride), valid[0], params.head_dim, low);
  LoadRow(k + Product(key + 8, params.qkv_stride), valid[1], params.head_dim, high);
  float bias[2] = {};
  EYESHOT_UNROLL
  for (int i = 0; i < 2; ++i) {
    if (params.key_bias != nullptr && valid[i]) bias[i] = params.key_bias[begin + key + i * 8] * kLog2E;
  }
  for (int first = WarpIndex() * 8; first < tokens; first += kMeanWarps * 8) {
    const int row = first + Lane() / 4;
    Vec16 query[kGroups];
    LoadRow(q + Product(row, params.qkv_stride), row < tokens, params.head_dim, query);
    float scores[4] = {};
    ScoreColumn(low, high, query, scores);
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int column = first + Lane() % 4 * 2 + i % 2;
      if (column < tokens) received[i / 2] += FastExp2(scores[i] * params.factor + bias[i / 2] - log_sums[column]);
    }
  }
}

// The mean probability that each key received. A block has 16 keys of a run, its warps each some of the queries; sums
// are added in an order of their own, whatever runs first. Grid: (tiles of 16 keys of each run).
template <int kDim>
EYESHOT_KERNEL(kMeanThreads)
ColumnMeanKernel(EncodeParams params) {
  WaitForPrevious();
  constexpr int kGroups = (kDim + 31) / 32;
  const int run = BlockX() / params.tiles;
  const int first = BlockX() % params.tiles * kMeanKeys;
  const int64_t begin = params.cu_tokens[run];
  const int tokens = params.cu_tokens[run + 1] - static_cast<int>(begin);
  if (first >= tokens) return;
  float received[2] = {};
  for (int head = 0; head < params.heads; ++head) {
    SumHead<kGroups>(params, begin, tokens, first + Lane() / 4, head, received);
  }
  auto* sums = reinterpret_cast<float*>(SharedMemory());  // [kMeanWarps, kMeanKeys]
  for (int half = 0; half < 2; ++half) {
    const float sum = QuadSum(received[half]);
    if (Lane() % 4 == 0) sums[WarpIndex() * kMeanKeys + Lane() / 4 + half * 8] = sum;
  }
  SyncThreads();
  const int key = ThreadIndex();
  if (key >= kMeanKeys || first + key >= tokens) return;
  float sum = 0;
  for (int warp = 0; warp < kMeanWarps; ++warp) sum += sums[warp * kMeanKeys + key];
  params.column_mean[begin + first + key] = sum / (static_cast<float>(tokens) * static_cast<float>(params.heads));
}

// --- Prompts.

constexpr int kPromptQueries = Shape<64, 1>::kQueries;  // of a block: as few as can be, for many blocks

struct PromptTile {
  int sequence;  // -1: none, the grid is larger than the step
  int begin;  // the sequence's first query
  int queries;  // of the sequence
  int first;  // of the tile, in the sequence
};

EYESHOT_DEVICE PromptTile FindTile(const int32_t* query_start, int sequences, int tile) {
  for (int s = 0; s < sequences; ++s) {
    const int begin = query_start[s];
    const int queries = query_start[s + 1] - begin;
    const int tiles = (queries + kPromptQueries - 1) / kPromptQueries;
    if (tile < tiles) return {s, begin, queries, tile * kPromptQueries};
    tile -= tiles;
  }
  return {-1, 0, 0, 0};
}

// Grid: (tiles of queries, heads). The last tiles see the most keys and begin first.
template <int kDim>
EYESHOT_KERNEL(kTileThreads)
PrefillKernel(PagedParams params) {
  WaitForPrevious();
  const PromptTile tile = FindTile(params.query_start, params.sequences, GridX() - 1 - BlockX());
  if (tile.sequence < 0) return;
  const int64_t row = tile.begin + tile.first;
  const int64_t column = Product(BlockY(), params.head_dim);
  const int rows = Min(kPromptQueries, tile.queries - tile.first);
  const int first_keys = params.context_length[tile.sequence] - tile.queries + tile.first + 1;
  const TileTask task = {.queries = params.q + row * params.q_stride + column,
                         .query_stride = params.q_stride,
                         .out = params.y + row * params.y_stride + column,
                         .out_stride = params.y_stride,
                         .rows = rows,
                         .keys = first_keys + rows - 1,
                         .first_keys = first_keys,
                         .head_dim = params.head_dim,
                         .factor = params.factor,
                         .key_bias = nullptr,
                         .log_sums = nullptr};
  Attend<kDim, 1>(task, RowsOf(params, tile.sequence, BlockY() / params.group_heads));
}

// --- On the host.

template <int kDim, int kParts>
void LaunchEncode(StreamHandle stream, EncodeParams params, int64_t runs, int64_t max_tokens) {
  using Tile = Shape<kDim, kParts>;
  params.tiles = static_cast<int>(CeilDiv(max_tokens, Tile::kQueries));
  Launch(&EncodeKernel<kDim, kParts>, {runs * params.tiles, params.heads, 1}, kTileThreads, Tile::kBytes, stream,
         params);
  if (params.column_mean == nullptr) return;
  constexpr size_t kBytes = sizeof(float) * kMeanWarps * kMeanKeys;
  params.tiles = static_cast<int>(CeilDiv(max_tokens, kMeanKeys));
  Launch(&ColumnMeanKernel<kDim>, {runs * params.tiles, 1, 1}, kMeanThreads, kBytes, stream, params);
}

template <int kDim>
void LaunchPrefill(StreamHandle stream, const PagedParams& params, int64_t tiles) {
  Launch(&PrefillKernel<kDim>, {tiles, params.heads, 1}, kTileThreads, Shape<kDim, 1>::kBytes, stream, params);
}

}  // namespace attention

void EncodeAttention(StreamHandle stream, const EncodeAttentionArgs& args, float* log_sums) {
  attention::CheckMatrix(args.qkv, args.head_dim);
  attention::CheckMatrix(args.y, args.head_dim);
  EYESHOT_CHECK(args.scale > 0 && (args.column_mean.empty() || log_sums != nullptr));
  const int64_t runs = args.cu_tokens.size - 1;
  if (runs <= 0 || args.max_tokens <= 0) return;
  const attention::EncodeParams params = {.qkv = static_cast<const uint16_t*>(args.qkv.data),
                                          .qkv_stride = static_cast<int>(args.qkv.stride),
                                          .y = static_cast<uint16_t*>(args.y.data),
                                          .y_stride = static_cast<int>(args.y.stride),
                                          .cu_tokens = args.cu_tokens.data,
                                          .tokens = args.qkv.rows,
                                          .tiles = 0,
                                          .heads = static_cast<int>(args.heads),
                                          .head_dim = static_cast<int>(args.head_dim),
                                          .factor = args.scale * attention::kLog2E,
                                          .key_bias = args.key_bias.data,
                                          .log_sums = args.column_mean.empty() ? nullptr : log_sums,
                                          .column_mean = args.column_mean.data};
  if (args.head_dim <= 64) {
    attention::LaunchEncode<64, 2>(stream, params, runs, args.max_tokens);
  } else if (args.head_dim <= 72) {
    attention::LaunchEncode<72, 2>(stream, params, runs, args.max_tokens);
  } else if (args.head_dim <= 128) {
    attention::LaunchEncode<128, 1>(stream, params, runs, args.max_tokens);
  } else {
    attention::LaunchEncode<256, 1>(stream, params, runs, args.max_tokens);
  }
}

void PrefillAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer) {
  const attention::PagedParams params = attention::ParamsOf(args, layer);
  const PagedBatch& batch = *args.batch;
  if (batch.tokens == 0 || batch.sequences == 0) return;
  // Every sequence but one may leave a last tile unfilled.
  const int64_t tiles = CeilDiv(batch.tokens, attention::kPromptQueries) + batch.sequences - 1;
  if (layer.head_dim <= 64) {
    attention::LaunchPrefill<64>(stream, params, tiles);
  } else if (layer.head_dim <= 128) {
    attention::LaunchPrefill<128>(stream, params, tiles);
  } else {
    attention::LaunchPrefill<256>(stream, params, tiles);
  }
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_ATTENTION_INL_H_
