// Attention: of the vision tower over runs of tokens, of prompts and of decoding steps over a paged cache.
//
// Runs and prompts: a block of four warps has 64 queries of one head, 16 for each warp, and goes over tiles of 64 keys
// in shared memory with a running softmax, so that scores never leave registers (FlashAttention-2, arXiv 2307.08691). A
// tile of keys is on its way while the values of the one before are weighed, and values while scores are computed.
// Decoding: a block has the heads of one key/value head and 256 keys of one sequence, so that a long context keeps the
// whole GPU busy, and the last block merges the parts (Flash-Decoding, crfm.stanford.edu/2023/10/12). It may take
// rotary positions and the newest key's way into the cache along. Keys and values are found by a table of blocks
// (PagedAttention, arXiv 2309.06180).
//
// Exponentials are powers of two: log2(e) is in the factor of the scores.
#ifndef EYESHOT_KERNELS_CUDA_ATTENTION_INL_H_
#define EYESHOT_KERNELS_CUDA_ATTENTION_INL_H_

#include <cstdint>

#include "base/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/kernels.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {
namespace attention {

constexpr int kTile = 64;  // queries of a block, and keys that it takes at a time
constexpr int kTileThreads = 128;
constexpr int kKeyColumns = kTile / 8;  // of eight keys, in the fragments of scores
constexpr int64_t kMaxHeadDim = 256;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLowest = -1e30f;  // below every score; finite, so that no difference of two is NaN

EYESHOT_DEVICE float MinusInfinity() { return FloatFromBits(0xff800000u); }
EYESHOT_DEVICE int Min(int a, int b) { return a < b ? a : b; }
EYESHOT_DEVICE int64_t Product(int a, int b) { return static_cast<int64_t>(a) * b; }  // one instruction, two registers
// Of the four lanes that share a row of a fragment.
EYESHOT_DEVICE float QuadMax(float value) {
  value = Max(value, ShuffleXor(value, 1));
  return Max(value, ShuffleXor(value, 2));
}
EYESHOT_DEVICE float QuadSum(float value) {
  value += ShuffleXor(value, 1);
  return value + ShuffleXor(value, 2);
}

// --- A tile of queries.

// Tiles in shared memory for heads of up to kDim channels. Strides are odd numbers of 16 bytes: the eight rows that a
// matrix load touches lie in different banks.
template <int kDim>
struct Shape {
  static constexpr int kSteps = (kDim + 15) / 16;  // of 16 channels, along q k^T
  static constexpr int kColumns = kDim / 8;  // of eight channels of the output
  static constexpr int kStride = kSteps * 16 + 8;  // of queries and keys
  static constexpr int kValueStride = kDim % 16 == 8 ? kDim : kDim + 8;
  static constexpr int kQueryElements = kTile * kStride;
  static constexpr int kValueElements = kTile * kValueStride;
  static constexpr size_t kBytes = sizeof(uint16_t) * (2 * kQueryElements + kValueElements) + sizeof(float) * kTile;
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
struct PagedRows {
  const uint16_t* keys;
  const uint16_t* values;
  int stride;
  const int32_t* blocks;
  int block_size;
  EYESHOT_DEVICE int64_t Offset(int key) const {
    return Product(blocks[key / block_size] * block_size + key % block_size, stride);
  }
};
struct QueryRows {
  int stride;
  EYESHOT_DEVICE int64_t Offset(int row) const { return Product(row, stride); }
};

// Begins to copy rows [first, first + 64) into a tile; rows from `end` on become zeros. Eight threads have a row, so
// that a thread looks up few rows and has the same channels of each.
template <int kDim, int kStride, typename Rows>
EYESHOT_DEVICE void CopyTile(const uint16_t* from, const Rows& rows, int first, int end, int head_dim, uint16_t* tile) {
  constexpr int kRowThreads = 8;
  constexpr int kRows = kTileThreads / kRowThreads;
  EYESHOT_UNROLL
  for (int pass = 0; pass < kTile / kRows; ++pass) {
    const int row = pass * kRows + ThreadIndex() / kRowThreads;
    const bool valid = first + row < end;
    const int64_t offset = valid ? rows.Offset(first + row) : 0;
    EYESHOT_UNROLL
    for (int group = 0; group < kDim; group += kRowThreads * 8) {
      const int channel = group + ThreadIndex() % kRowThreads * 8;
      if (channel < head_dim) AsyncCopy16(tile + row * kStride + channel, from + offset + channel, valid);
    }
  }
}

// Channels that a head hasn't are zeros in queries and keys. (In values they only reach outputs that nobody stores.)
template <int kDim>
EYESHOT_DEVICE void ClearPadding(int head_dim, uint16_t* tile) {
  const int padding = Shape<kDim>::kSteps * 2 - head_dim / 8;
  if (padding == 0) return;
  for (int i = ThreadIndex(); i < kTile * padding; i += kTileThreads) {
    Store16(tile + i / padding * Shape<kDim>::kStride + head_dim + i % padding * 8, Vec16{});
  }
}

// The 16 queries of a warp as fragments, read at each use where registers don't suffice.
template <int kDim>
struct Queries {
  const uint16_t* row;  // of this lane, for LoadMatrices
  uint32_t words[Shape<kDim>::kHoldQueries ? Shape<kDim>::kSteps : 1][4];
};

template <int kDim>
EYESHOT_DEVICE void HoldQueries(const uint16_t* tile, Queries<kDim>& queries) {
  queries.row = tile + (WarpIndex() * 16 + Lane() % 16) * Shape<kDim>::kStride + Lane() / 16 * 8;
  if constexpr (Shape<kDim>::kHoldQueries) {
    EYESHOT_UNROLL
    for (int step = 0; step < Shape<kDim>::kSteps; ++step) LoadMatrices(queries.row + step * 16, queries.words[step]);
  }
}

// scores = q k^T of the warp's 16 queries and the tile's 64 keys.
template <int kDim>
EYESHOT_DEVICE void Score(Queries<kDim>& queries, const uint16_t* keys, float (&scores)[kKeyColumns][4]) {
  constexpr int kStride = Shape<kDim>::kStride;
  EYESHOT_UNROLL
  for (int n = 0; n < kKeyColumns; ++n) {
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  }
  // A load gives 16 channels of 16 keys.
  const uint16_t* row = keys + (Lane() / 16 * 8 + Lane() % 8) * kStride + Lane() / 8 % 2 * 8;
  EYESHOT_UNROLL
  for (int step = 0; step < Shape<kDim>::kSteps; ++step) {
    if constexpr (!Shape<kDim>::kHoldQueries) LoadMatrices(queries.row + step * 16, queries.words[0]);
    const uint32_t(&a)[4] = queries.words[Shape<kDim>::kHoldQueries ? step : 0];
    EYESHOT_UNROLL
    for (int n = 0; n < kKeyColumns; n += 2) {
      uint32_t words[4];
      LoadMatrices(row + n * 8 * kStride + step * 16, words);
      MmaBf16(scores[n], a, {words[0], words[1]});
      MmaBf16(scores[n + 1], a, {words[2], words[3]});
    }
  }
}

// The running softmax of a lane's two rows, and what it has of the output.
template <int kDim>
struct Running {
  float highest[2];  // score, times the factor
  float sum[2];  // this lane's part
  float out[Shape<kDim>::kColumns][4];
};

// Adds the bias of each key; the factor is in the scores afterwards.
EYESHOT_DEVICE void AddBias(const float* bias, float factor, float (&scores)[kKeyColumns][4]) {
  EYESHOT_UNROLL
  for (int n = 0; n < kKeyColumns; ++n) {
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) scores[n][i] = scores[n][i] * factor + bias[n * 8 + Lane() % 4 * 2 + i % 2];
  }
}

// Hides the keys that a row doesn't see. `first`: the tile's first key.
EYESHOT_DEVICE void Mask(const TileTask& task, int first, float (&scores)[kKeyColumns][4]) {
  const int row = WarpIndex() * 16 + Lane() / 4;
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
template <int kDim>
EYESHOT_DEVICE void SoftmaxStep(float factor, float (&scores)[kKeyColumns][4], Running<kDim>& running) {
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
    for (int n = 0; n < Shape<kDim>::kColumns; ++n) {
      running.out[n][half] *= shrink;
      running.out[n][half + 1] *= shrink;
    }
  }
}

// out += p v. The fragment of scores as a result is that of p as an operand.
template <int kDim>
EYESHOT_DEVICE void AddValues(const float (&p)[kKeyColumns][4], const uint16_t* values, Running<kDim>& running) {
  EYESHOT_UNROLL
  for (int keys = 0; keys < kKeyColumns; keys += 4) {  // 32 at a time
    uint32_t a[2][4];
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      a[i / 2][i % 2 * 2] = PackBf16(p[keys + i][0], p[keys + i][1]);
      a[i / 2][i % 2 * 2 + 1] = PackBf16(p[keys + i][2], p[keys + i][3]);
    }
    const uint16_t* row = values + (keys * 8 + Lane()) * Shape<kDim>::kValueStride;
    EYESHOT_UNROLL
    for (int n = 0; n < Shape<kDim>::kColumns; ++n) {
      uint32_t words[4];
      LoadMatricesTransposed(row + n * 8, words);
      MmaBf16(running.out[n], a[0], {words[0], words[1]});
      MmaBf16(running.out[n], a[1], {words[2], words[3]});
    }
  }
}

// Divides by the sums and stores, by way of the warp's own rows of the tile of queries, 16 bytes at a time.
template <int kDim>
EYESHOT_DEVICE void StoreTile(const TileTask& task, Running<kDim>& running, uint16_t* queries) {
  constexpr int kStride = Shape<kDim>::kStride;
  const int first = WarpIndex() * 16;
  uint16_t* rows = queries + first * kStride;
  SyncWarp();
  EYESHOT_UNROLL
  for (int half = 0; half < 2; ++half) {
    const float sum = QuadSum(running.sum[half]);
    const int row = Lane() / 4 + half * 8;
    auto* words = reinterpret_cast<uint32_t*>(rows + row * kStride + Lane() % 4 * 2);
    EYESHOT_UNROLL
    for (int n = 0; n < Shape<kDim>::kColumns; ++n) {
      words[n * 4] = PackBf16(running.out[n][half * 2] / sum, running.out[n][half * 2 + 1] / sum);
    }
    if (task.log_sums != nullptr && Lane() % 4 == 0 && first + row < task.rows) {
      task.log_sums[first + row] = running.highest[half] + Log2(sum);
    }
  }
  SyncWarp();
  const int chunks = task.head_dim / 8;
  for (int i = Lane(); i < 16 * chunks; i += kWarp) {
    const int row = i / chunks;
    const int channel = i % chunks * 8;
    if (first + row >= task.rows) break;
    Store16(task.out + Product(first + row, task.out_stride) + channel, Load16(rows + row * kStride + channel));
  }
}

// Attention of one tile of queries, by a whole block.
template <int kDim, typename Rows>
EYESHOT_DEVICE void Attend(const TileTask& task, const Rows& rows) {
  using Tile = Shape<kDim>;
  auto* query_tile = reinterpret_cast<uint16_t*>(SharedMemory());
  uint16_t* key_tile = query_tile + Tile::kQueryElements;
  uint16_t* value_tile = key_tile + Tile::kQueryElements;
  auto* bias = reinterpret_cast<float*>(value_tile + Tile::kValueElements);

  const QueryRows query_rows{task.query_stride};
  CopyTile<kDim, Tile::kStride>(task.queries, query_rows, 0, task.rows, task.head_dim, query_tile);
  CopyTile<kDim, Tile::kStride>(rows.keys, rows, 0, task.keys, task.head_dim, key_tile);
  ClearPadding<kDim>(task.head_dim, query_tile);
  ClearPadding<kDim>(task.head_dim, key_tile);
  AsyncWait();
  SyncThreads();
  Queries<kDim> queries;
  HoldQueries(query_tile, queries);
  Running<kDim> running = {{kLowest, kLowest}, {}, {}};

  for (int first = 0; first < task.keys; first += kTile) {
    CopyTile<kDim, Tile::kValueStride>(rows.values, rows, first, task.keys, task.head_dim, value_tile);
    if (task.key_bias != nullptr && ThreadIndex() < kTile) {
      const int key = first + ThreadIndex();
      bias[ThreadIndex()] = key < task.keys ? task.key_bias[key] * kLog2E : 0.0f;
    }
    float scores[kKeyColumns][4];
    Score(queries, key_tile, scores);
    AsyncWait();
    SyncThreads();  // the values are there, the keys free
    if (first + kTile < task.keys) {
      CopyTile<kDim, Tile::kStride>(rows.keys, rows, first + kTile, task.keys, task.head_dim, key_tile);
    }
    if (task.key_bias != nullptr) AddBias(bias, task.factor, scores);
    if (first + kTile > task.first_keys) Mask(task, first, scores);
    SoftmaxStep(task.key_bias != nullptr ? 1.0f : task.factor, scores, running);
    AddValues(scores, value_tile, running);
    AsyncWait();
    SyncThreads();  // the next keys are there, the values free
  }
  StoreTile(task, running, query_tile);
}

// --- Runs of tokens.

struct EncodeParams {
  const uint16_t* qkv;
  int qkv_stride;
  uint16_t* y;
  int y_stride;
  const int32_t* cu_tokens;
  int64_t tokens;  // of all runs
  int tiles;  // of the longest run
  int heads;
  int head_dim;
  float factor;
  const float* key_bias;  // [tokens] or null
  float* log_sums;  // [heads, tokens] or null
  float* column_mean;  // [tokens] or null
};

// Grid: (tiles of queries of each run, heads).
template <int kDim>
EYESHOT_KERNEL(kTileThreads)
EncodeKernel(EncodeParams params) {
  const int run = BlockX() / params.tiles;
  const int first = BlockX() % params.tiles * kTile;
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
      .rows = Min(kTile, tokens - first),
      .keys = tokens,
      .first_keys = tokens,
      .head_dim = params.head_dim,
      .factor = params.factor,
      .key_bias = params.key_bias == nullptr ? nullptr : params.key_bias + begin,
      .log_sums = params.log_sums == nullptr ? nullptr : params.log_sums + BlockY() * params.tokens + begin + first};
  Attend<kDim>(task, PackedRows{q + width, q + 2 * width, params.qkv_stride});
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
  constexpr int kGroups = (kDim + 31) / 32;
  const int tiles = params.tiles * (kTile / kMeanKeys);
  const int run = BlockX() / tiles;
  const int first = BlockX() % tiles * kMeanKeys;
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

struct PagedParams {
  const uint16_t* q;
  int q_stride;
  uint16_t* y;
  int y_stride;
  const uint16_t* keys;
  const uint16_t* values;
  int row_stride;  // of one token's keys
  const int32_t* query_start;
  const int32_t* context_length;  // of the layer's group, as block_table
  const int32_t* block_table;
  int64_t max_blocks;
  int sequences;
  int heads;
  int group_heads;  // heads that share keys and values
  int head_dim;
  int block_size;
  float factor;
};

EYESHOT_DEVICE PagedRows RowsOf(const PagedParams& params, int sequence, int kv_head) {
  const int64_t column = Product(kv_head, params.head_dim);
  return {params.keys + column, params.values + column, params.row_stride,
          params.block_table + sequence * params.max_blocks, params.block_size};
}

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
    const int tiles = (queries + kTile - 1) / kTile;
    if (tile < tiles) return {s, begin, queries, tile * kTile};
    tile -= tiles;
  }
  return {-1, 0, 0, 0};
}

// Grid: (tiles of queries, heads). The last tiles see the most keys and begin first.
template <int kDim>
EYESHOT_KERNEL(kTileThreads)
PrefillKernel(PagedParams params) {
  const PromptTile tile = FindTile(params.query_start, params.sequences, GridX() - 1 - BlockX());
  if (tile.sequence < 0) return;
  const int64_t row = tile.begin + tile.first;
  const int64_t column = Product(BlockY(), params.head_dim);
  const int rows = Min(kTile, tile.queries - tile.first);
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
  Attend<kDim>(task, RowsOf(params, tile.sequence, BlockY() / params.group_heads));
}

// --- Decoding.

constexpr int kDecodeThreads = 256;
constexpr int kDecodeWarps = kDecodeThreads / kWarp;
constexpr int kPartKeys = static_cast<int>(kDecodeKeys);

// Some lanes ("a team") have the channels of a key, eight each; a block takes kHeads heads at a time.
template <int kLanes, int kHeads>
struct DecodeShape {
  static constexpr int kTeams = kDecodeThreads / kLanes;
  static constexpr int kKeysEach = kPartKeys / kTeams;  // of a team
  static constexpr int kDim = kLanes * 8;
  // The part's keys and values are copied to shared memory all at once, where there's room: loads of a whole part are
  // on their way together.
  static constexpr bool kStaged = kLanes <= 8;
  static constexpr int kScores = kHeads * kPartKeys;
  static constexpr int kSums = kDecodeWarps * kHeads * kDim;
  static constexpr size_t kStagedBytes = kStaged ? 2 * sizeof(uint16_t) * kPartKeys * kDim : 0;
  static constexpr size_t kBytes = kStagedBytes + sizeof(float) * (kScores + kSums + 2 * kHeads + 1);
};

// What decoding leaves of each part of the keys: sums of values [sequences, heads, parts, head_dim], and the highest
// score and the sum of exponentials, [sequences, heads, parts, 2].
struct Partial {
  float* values;
  float* weights;
  uint32_t* arrived;  // blocks of each sequence and key/value head; 0 before and after
  int parts;  // 1: outputs go to y
};

// Where keys and queries aren't rotated yet, and the newest key isn't in the cache. Both come from the rows that q is
// the beginning of.
struct Newest {
  const float* inverse_frequency;  // null: all of that was done
  const int32_t* positions;
};

struct DecodeParams {
  PagedParams paged;
  Partial partial;
  Newest newest;
};

EYESHOT_DEVICE void Unpack(const Vec16& from, float (&to)[8]) {
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = LowBf16(from.word[i]);
    to[2 * i + 1] = HighBf16(from.word[i]);
  }
}

// A rotation of eight channels of a head, by the sequence's newest position. Each pair of channels, half a head apart,
// is rotated by a position's angle; this thread has one of the two.
struct Rotation {
  float sines[8];  // negative where this thread has the first of the pair
  float cosines[8];
  int other;  // where the other channels of the pairs are, from these

  EYESHOT_DEVICE void Set(const Newest& newest, int sequence, int channel, int head_dim) {
    const int half = head_dim / 2;
    other = channel < half ? half : -half;
    const auto position = static_cast<float>(newest.positions[sequence]);
    EYESHOT_UNROLL
    for (int i = 0; i < 8; ++i) {
      float sine;
      SinCos(position * newest.inverse_frequency[(channel + i) % half], &sine, &cosines[i]);
      sines[i] = channel < half ? -sine : sine;
    }
  }
  // Rounded, as a cache keeps it.
  EYESHOT_DEVICE Vec16 Rotate(const uint16_t* at) const {
    const Vec16 own = Load16(at);
    const Vec16 paired = Load16(at + other);
    Vec16 rotated;
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      rotated.word[i] =
          PackBf16(LowBf16(own.word[i]) * cosines[2 * i] + LowBf16(paired.word[i]) * sines[2 * i],
                   HighBf16(own.word[i]) * cosines[2 * i + 1] + HighBf16(paired.word[i]) * sines[2 * i + 1]);
    }
    return rotated;
  }
};

template <int kLanes, int kHeads>
struct DecodeBlock {
  using Tile = DecodeShape<kLanes, kHeads>;

  const PagedParams& params;
  PagedRows rows;
  int first;  // key of the part
  int keys;  // of the part
  bool rotate;
  int newest;  // the key that isn't in the cache yet, in the part; -1: none
  const uint16_t* newest_key;  // channel 0 of the key/value head
  const uint16_t* newest_value;
  Rotation rotation;
  // Shared memory.
  unsigned char* staged_keys;
  unsigned char* staged_values;
  float* scores;  // [kHeads, kPartKeys]
  float* sums;  // [kDecodeWarps, kHeads, kDim]
  float* totals;  // [kHeads, 2]: highest score, sum of exponentials

  EYESHOT_DEVICE DecodeBlock(const DecodeParams& all, int sequence, int kv_head, int first_in, int context)
      : params(all.paged), rows(RowsOf(all.paged, sequence, kv_head)), first(first_in) {
    keys = Min(kPartKeys, context - first);
    rotate = all.newest.inverse_frequency != nullptr;
    newest = rotate && context - first <= kPartKeys ? context - 1 - first : -1;
    const int kv_width = params.heads / params.group_heads * params.head_dim;
    newest_key = params.q + Product(sequence, params.q_stride) + Product(params.heads + kv_head, params.head_dim);
    newest_value = newest_key + kv_width;
    if (rotate && Channel() < params.head_dim) rotation.Set(all.newest, sequence, Channel(), params.head_dim);
    staged_keys = SharedMemory();
    staged_values = staged_keys + Tile::kStagedBytes / 2;
    scores = reinterpret_cast<float*>(staged_keys + Tile::kStagedBytes);
    sums = scores + Tile::kScores;
    totals = sums + Tile::kSums;
  }

  EYESHOT_DEVICE static int Channel() { return ThreadIndex() % kLanes * 8; }
  // The i-th key of this thread's team, in the part.
  EYESHOT_DEVICE static int Key(int i) { return i * Tile::kTeams + ThreadIndex() / kLanes; }
  EYESHOT_DEVICE bool Has(int key) const { return key < keys && Channel() < params.head_dim; }
  EYESHOT_DEVICE static int StagedOffset(int i) { return (i * kDecodeThreads + ThreadIndex()) * 16; }

  // The thread that reads the newest key and value later, and no other, brings them into the cache.
  EYESHOT_DEVICE void StoreNewest(int i) const {
    if (Key(i) != newest || !Has(newest)) return;
    const int64_t offset = rows.Offset(first + newest) + Channel();
    Store16(const_cast<uint16_t*>(rows.keys) + offset, rotation.Rotate(newest_key + Channel()));
    Store16(const_cast<uint16_t*>(rows.values) + offset, Load16(newest_value + Channel()));
  }

  // Begins to copy what this thread reads later, and no other.
  EYESHOT_DEVICE void Stage() {
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kKeysEach; ++i) StoreNewest(i);
    if constexpr (Tile::kStaged) {
      EYESHOT_UNROLL
      for (int i = 0; i < Tile::kKeysEach; ++i) {
        const bool valid = Has(Key(i));
        const int64_t offset = valid ? rows.Offset(first + Key(i)) + Channel() : 0;
        AsyncCopy16(staged_keys + StagedOffset(i), rows.keys + offset, valid);
        AsyncCopy16(staged_values + StagedOffset(i), rows.values + offset, valid);
      }
    }
  }

  EYESHOT_DEVICE Vec16 Read(const unsigned char* staged, const uint16_t* cached, int i) const {
    if constexpr (Tile::kStaged) return Load16(staged + StagedOffset(i));
    return Has(Key(i)) ? Load16(cached + rows.Offset(first + Key(i)) + Channel()) : Vec16{};
  }

  // scores of `heads` heads from `head` on; those of keys that aren't there are minus infinity.
  EYESHOT_DEVICE void Score(const uint16_t* q, int heads) {
    float queries[kHeads][8];
    EYESHOT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      const bool valid = h < heads && Channel() < params.head_dim;
      const uint16_t* at = q + h * params.head_dim + Channel();
      Unpack(valid ? (rotate ? rotation.Rotate(at) : Load16(at)) : Vec16{}, queries[h]);
    }
    AsyncWait();
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kKeysEach; ++i) {
      float key[8];
      Unpack(Read(staged_keys, rows.keys, i), key);
      EYESHOT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
        EYESHOT_UNROLL
        for (int c = 0; c < 8; ++c) score += queries[h][c] * key[c];
        EYESHOT_UNROLL
        for (int mask = kLanes / 2; mask > 0; mask /= 2) score += ShuffleXor(score, mask);
        if (Channel() == 0) scores[h * kPartKeys + Key(i)] = Key(i) < keys ? score * params.factor : MinusInfinity();
      }
    }
  }

  // A warp a head.
  EYESHOT_DEVICE void Softmax(int heads) {
    for (int h = WarpIndex(); h < heads; h += kDecodeWarps) {
      float* row = scores + h * kPartKeys + Lane();
      float highest = kLowest;
      EYESHOT_UNROLL
      for (int i = 0; i < kPartKeys; i += kWarp) highest = Max(highest, row[i]);
      highest = WarpMax(highest);
      float sum = 0;
      EYESHOT_UNROLL
      for (int i = 0; i < kPartKeys; i += kWarp) {
        row[i] = FastExp2(row[i] - highest);
        sum += row[i];
      }
      sum = WarpSum(sum);
      if (Lane() == 0) {
        totals[2 * h] = highest;
        totals[2 * h + 1] = sum;
      }
    }
  }

  // sums = the warp's share of p v.
  EYESHOT_DEVICE void WeighValues(int heads) {
    float out[kHeads][8] = {};
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kKeysEach; ++i) {
      float value[8];
      Unpack(Read(staged_values, rows.values, i), value);
      EYESHOT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        const float p = h < heads ? scores[h * kPartKeys + Key(i)] : 0.0f;
        EYESHOT_UNROLL
        for (int c = 0; c < 8; ++c) out[h][c] += p * value[c];
      }
    }
    EYESHOT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      EYESHOT_UNROLL
      for (int c = 0; c < 8; ++c) {
        EYESHOT_UNROLL
        for (int mask = kLanes; mask < kWarp; mask *= 2) out[h][c] += ShuffleXor(out[h][c], mask);
        if (Lane() < kLanes) sums[(WarpIndex() * kHeads + h) * Tile::kDim + Channel() + c] = out[h][c];
      }
    }
  }

  // Of one head and channel.
  EYESHOT_DEVICE float Total(int h, int channel) const {
    float total = 0;
    EYESHOT_UNROLL
    for (int warp = 0; warp < kDecodeWarps; ++warp) total += sums[(warp * kHeads + h) * Tile::kDim + channel];
    return total;
  }

  EYESHOT_DEVICE void Store(const Partial& partial, int sequence, int head, int part, int heads) const {
    const int head_dim = params.head_dim;
    for (int i = ThreadIndex(); i < heads * head_dim; i += kDecodeThreads) {
      const int h = i / head_dim;
      const int channel = i % head_dim;
      const float total = Total(h, channel);
      if (partial.parts == 1) {
        uint16_t* y = params.y + Product(sequence, params.y_stride) + Product(head + h, head_dim);
        y[channel] = ToBf16(total / totals[2 * h + 1]).bits;
        continue;
      }
      const int64_t row = (Product(sequence, params.heads) + head + h) * partial.parts + part;
      partial.values[row * head_dim + channel] = total;
      if (channel < 2) partial.weights[2 * row + channel] = totals[2 * h + channel];
    }
  }
};

// Of one head, in the order of parts, whatever block was the last.
EYESHOT_DEVICE void MergeHead(const DecodeParams& params, int sequence, int head, int parts) {
  const PagedParams& paged = params.paged;
  const int64_t row = (Product(sequence, paged.heads) + head) * params.partial.parts;
  const float* weights = params.partial.weights + 2 * row;
  float highest = kLowest;
  for (int part = 0; part < parts; ++part) highest = Max(highest, LoadFresh4(weights + 2 * part));
  for (int channel = ThreadIndex(); channel < paged.head_dim; channel += kDecodeThreads) {
    const float* values = params.partial.values + row * paged.head_dim + channel;
    float sum = 0;
    float out = 0;
    for (int part = 0; part < parts; ++part) {
      const float weight = FastExp2(LoadFresh4(weights + 2 * part) - highest);
      sum += weight * LoadFresh4(weights + 2 * part + 1);
      out += weight * LoadFresh4(values + Product(part, paged.head_dim));
    }
    paged.y[Product(sequence, paged.y_stride) + Product(head, paged.head_dim) + channel] = ToBf16(out / sum).bits;
  }
}

// The last block of a sequence and key/value head merges what all of them left.
EYESHOT_DEVICE void MergeIfLast(const DecodeParams& params, int sequence, int kv_head, int parts, uint32_t* shared) {
  const PagedParams& paged = params.paged;
  uint32_t* arrived = params.partial.arrived + Product(sequence, paged.heads / paged.group_heads) + kv_head;
  SyncThreads();  // what the block leaves was written
  if (ThreadIndex() == 0) {
    FenceDevice();
    *shared = AtomicIncrement(arrived);
    FenceDevice();
  }
  SyncThreads();
  if (*shared != static_cast<uint32_t>(parts - 1)) return;
  for (int h = 0; h < paged.group_heads; ++h) MergeHead(params, sequence, kv_head * paged.group_heads + h, parts);
  if (ThreadIndex() == 0) *arrived = 0;
}

// Grid: (key/value heads, parts, sequences).
template <int kLanes, int kHeads>
EYESHOT_KERNEL(kDecodeThreads)
DecodeKernel(DecodeParams params) {
  const PagedParams& paged = params.paged;
  const int sequence = BlockZ();
  const int first = BlockY() * kPartKeys;
  const int context = paged.context_length[sequence];
  if (first >= context) return;
  DecodeBlock<kLanes, kHeads> block(params, sequence, BlockX(), first, context);
  block.Stage();
  for (int offset = 0; offset < paged.group_heads; offset += kHeads) {
    const int head = BlockX() * paged.group_heads + offset;
    const int heads = Min(kHeads, paged.group_heads - offset);
    block.Score(paged.q + Product(sequence, paged.q_stride) + Product(head, paged.head_dim), heads);
    SyncThreads();
    block.Softmax(heads);
    SyncThreads();
    block.WeighValues(heads);
    SyncThreads();
    block.Store(params.partial, sequence, head, BlockY(), heads);
    SyncThreads();
  }
  if (params.partial.parts == 1) return;
  const int parts = (context + kPartKeys - 1) / kPartKeys;
  MergeIfLast(params, sequence, BlockX(), parts, reinterpret_cast<uint32_t*>(block.totals + 2 * kHeads));
}

// --- Rotary positions.

constexpr int kRotaryThreads = 128;

struct RotaryParams {
  uint16_t* qkv;
  int64_t stride;
  const int32_t* positions;
  const int32_t* slots;
  const float* inverse_frequency;
  uint16_t* keys;
  uint16_t* values;
  int heads;
  int kv_heads;
  int head_dim;
};

// Grid: (tokens). Angles are those of the reference: products of float32, whatever their size.
EYESHOT_KERNEL(kRotaryThreads) RotaryStoreKernel(RotaryParams params) {
  const int64_t token = BlockX();
  const int half = params.head_dim / 2;
  const int kv_width = params.kv_heads * params.head_dim;
  auto* sines = reinterpret_cast<float*>(SharedMemory());  // [half] and as many cosines
  const auto position = static_cast<float>(params.positions[token]);
  for (int i = ThreadIndex(); i < half; i += kRotaryThreads) {
    SinCos(position * params.inverse_frequency[i], &sines[i], &sines[half + i]);
  }
  SyncThreads();
  uint16_t* row = params.qkv + token * params.stride;
  const int64_t slot = static_cast<int64_t>(params.slots[token]) * kv_width;
  for (int i = ThreadIndex(); i < (params.heads + params.kv_heads) * half; i += kRotaryThreads) {
    const int head = i / half;
    const int channel = i % half;
    const uint16_t* x = row + head * params.head_dim + channel;
    const float first = FromBf16({x[0]});
    const float second = FromBf16({x[half]});
    const float sine = sines[channel];
    const float cosine = sines[half + channel];
    uint16_t* y = head < params.heads ? row + head * params.head_dim
                                      : params.keys + slot + (head - params.heads) * params.head_dim;
    y[channel] = ToBf16(first * cosine - second * sine).bits;
    y[channel + half] = ToBf16(second * cosine + first * sine).bits;
  }
  const uint16_t* v = row + (params.heads + params.kv_heads) * params.head_dim;
  for (int i = ThreadIndex() * 8; i < kv_width; i += kRotaryThreads * 8) {
    Store16(params.values + slot + i, Load16(v + i));
  }
}

// --- On the host.

template <bool kConst>
void CheckMatrix(const BasicMatrixView<kConst>& matrix, int64_t head_dim) {
  EYESHOT_CHECK(matrix.dtype == DType::kBF16 && matrix.stride % 8 == 0 && matrix.stride <= INT32_MAX);
  EYESHOT_CHECK(head_dim % 8 == 0 && head_dim > 0 && head_dim <= kMaxHeadDim);
}

template <int kDim>
void LaunchEncode(StreamHandle stream, const EncodeParams& params, int64_t runs) {
  const int64_t tiles = runs * params.tiles;
  Launch(&EncodeKernel<kDim>, {tiles, params.heads, 1}, kTileThreads, Shape<kDim>::kBytes, stream, params);
  if (params.column_mean == nullptr) return;
  constexpr size_t kBytes = sizeof(float) * kMeanWarps * kMeanKeys;
  Launch(&ColumnMeanKernel<kDim>, {tiles * (kTile / kMeanKeys), 1, 1}, kMeanThreads, kBytes, stream, params);
}

template <int kDim>
void LaunchPrefill(StreamHandle stream, const PagedParams& params, int64_t tiles) {
  Launch(&PrefillKernel<kDim>, {tiles, params.heads, 1}, kTileThreads, Shape<kDim>::kBytes, stream, params);
}

template <int kLanes, int kHeads>
void LaunchDecode(StreamHandle stream, const DecodeParams& params) {
  const PagedParams& paged = params.paged;
  Launch(&DecodeKernel<kLanes, kHeads>, {paged.heads / paged.group_heads, params.partial.parts, paged.sequences},
         kDecodeThreads, DecodeShape<kLanes, kHeads>::kBytes, stream, params);
}

inline PagedParams ParamsOf(const PagedAttentionArgs& args, const CacheLayer& layer) {
  CheckMatrix(args.q, layer.head_dim);
  CheckMatrix(args.y, layer.head_dim);
  EYESHOT_CHECK(args.heads % layer.kv_heads == 0 && args.scale > 0);
  const PagedBatch& batch = *args.batch;
  return {.q = static_cast<const uint16_t*>(args.q.data),
          .q_stride = static_cast<int>(args.q.stride),
          .y = static_cast<uint16_t*>(args.y.data),
          .y_stride = static_cast<int>(args.y.stride),
          .keys = layer.keys,
          .values = layer.values,
          .row_stride = static_cast<int>(layer.kv_heads * layer.head_dim),
          .query_start = batch.query_start.data,
          .context_length = batch.context_length.data + layer.group * batch.sequences,
          .block_table = batch.block_table.data + layer.group * batch.sequences * batch.max_blocks,
          .max_blocks = batch.max_blocks,
          .sequences = static_cast<int>(batch.sequences),
          .heads = static_cast<int>(args.heads),
          .group_heads = static_cast<int>(args.heads / layer.kv_heads),
          .head_dim = static_cast<int>(layer.head_dim),
          .block_size = static_cast<int>(layer.block_size),
          .factor = args.scale * kLog2E};
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
                                          .tiles = static_cast<int>(CeilDiv(args.max_tokens, attention::kTile)),
                                          .heads = static_cast<int>(args.heads),
                                          .head_dim = static_cast<int>(args.head_dim),
                                          .factor = args.scale * attention::kLog2E,
                                          .key_bias = args.key_bias.data,
                                          .log_sums = args.column_mean.empty() ? nullptr : log_sums,
                                          .column_mean = args.column_mean.data};
  if (args.head_dim <= 64) {
    attention::LaunchEncode<64>(stream, params, runs);
  } else if (args.head_dim <= 72) {
    attention::LaunchEncode<72>(stream, params, runs);
  } else if (args.head_dim <= 128) {
    attention::LaunchEncode<128>(stream, params, runs);
  } else {
    attention::LaunchEncode<256>(stream, params, runs);
  }
}

void RotaryStore(StreamHandle stream, const RotaryStoreArgs& args, const CacheLayer& layer) {
  attention::CheckMatrix(args.qkv, layer.head_dim);
  const PagedBatch& batch = *args.batch;
  if (batch.tokens == 0) return;
  const attention::RotaryParams params = {.qkv = static_cast<uint16_t*>(args.qkv.data),
                                          .stride = args.qkv.stride,
                                          .positions = batch.positions.data,
                                          .slots = batch.slots.data + layer.group * batch.tokens,
                                          .inverse_frequency = args.inverse_frequency.data,
                                          .keys = layer.keys,
                                          .values = layer.values,
                                          .heads = static_cast<int>(args.heads),
                                          .kv_heads = static_cast<int>(layer.kv_heads),
                                          .head_dim = static_cast<int>(layer.head_dim)};
  const size_t bytes = sizeof(float) * static_cast<size_t>(layer.head_dim);
  Launch(&attention::RotaryStoreKernel, {batch.tokens, 1, 1}, attention::kRotaryThreads, bytes, stream, params);
}

void PrefillAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer) {
  const attention::PagedParams params = attention::ParamsOf(args, layer);
  const PagedBatch& batch = *args.batch;
  if (batch.tokens == 0 || batch.sequences == 0) return;
  // Every sequence but one may leave a last tile unfilled.
  const int64_t tiles = CeilDiv(batch.tokens, attention::kTile) + batch.sequences - 1;
  if (layer.head_dim <= 64) {
    attention::LaunchPrefill<64>(stream, params, tiles);
  } else if (layer.head_dim <= 128) {
    attention::LaunchPrefill<128>(stream, params, tiles);
  } else {
    attention::LaunchPrefill<256>(stream, params, tiles);
  }
}

DecodeScratch DecodeScratchOf(int64_t sequences, int64_t heads, const CacheLayer& layer, int64_t max_context) {
  const int64_t rows = sequences * heads * CeilDiv(max_context, kDecodeKeys);
  return {.floats = rows * (layer.head_dim + 2), .counters = sequences * layer.kv_heads};
}
void DecodeAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer, float* partial,
                     uint32_t* counters, const RotaryStoreArgs* newest) {
  const PagedBatch& batch = *args.batch;
  EYESHOT_CHECK(batch.tokens == batch.sequences);
  if (batch.tokens == 0 || batch.max_context <= 0) return;
  const int64_t parts = CeilDiv(batch.max_context, kDecodeKeys);
  const int64_t rows = batch.sequences * args.heads * parts;
  attention::DecodeParams params = {.paged = attention::ParamsOf(args, layer),
                                    .partial = {.values = partial,
                                                .weights = partial + rows * layer.head_dim,
                                                .arrived = counters,
                                                .parts = static_cast<int>(parts)},
                                    .newest = {}};
  if (newest != nullptr) {
    EYESHOT_CHECK(newest->qkv.data == args.q.data && layer.head_dim % 16 == 0);
    params.newest = {newest->inverse_frequency.data, batch.positions.data};
  }
  const int64_t group_heads = args.heads / layer.kv_heads;
  if (layer.head_dim <= 64 && group_heads == 1) {
    attention::LaunchDecode<8, 1>(stream, params);
  } else if (layer.head_dim <= 64 && group_heads <= 3) {
    attention::LaunchDecode<8, 3>(stream, params);
  } else if (layer.head_dim <= 64) {
    attention::LaunchDecode<8, 5>(stream, params);
  } else if (layer.head_dim <= 128) {
    attention::LaunchDecode<16, 3>(stream, params);
  } else {
    attention::LaunchDecode<32, 3>(stream, params);
  }
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_ATTENTION_INL_H_
