// Products of few rows with a weight matrix, as decoding needs them: bound by reading the weight, which happens once,
// in the format it's kept in, 16 bytes a lane with several loads under way. And weights as bfloat16, for products of
// many rows.
#ifndef EYESHOT_KERNELS_CUDA_LINEAR_INL_H_
#define EYESHOT_KERNELS_CUDA_LINEAR_INL_H_

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/kernels.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {

constexpr int kVectorThreads = 256;   // at most
constexpr int kVectorTile = 16384;  // elements of x, of all rows together, that a block has in shared memory at a time
constexpr int kScaleBlock = 32;  // inputs with one scale, of kQ8 and k4Bit
constexpr int kLevels = 16;  // of k4Bit
constexpr int kDequantizeThreads = 128;

// What a lane reads of a row of weights at once. Wide pieces need rows of whole ones; narrow ones have 8 values.
template <WeightMatrix::Format kFormat, bool kWide>
struct WeightPiece {
  static constexpr int kWordValues =
      kFormat == WeightMatrix::Format::kBf16 ? 2 : (kFormat == WeightMatrix::Format::k4Bit ? 8 : 4);
  static constexpr int kWords = kWide ? 4 : 8 / kWordValues;
  static constexpr int kValues = kWords * kWordValues;
  static constexpr int kParts = kValues / 8;
  static constexpr bool kBlockScales = kFormat == WeightMatrix::Format::kQ8 || kFormat == WeightMatrix::Format::k4Bit;
  // Pieces that a lane has under way, of each of two rows: half as many of those that take longest to compute with.
  static constexpr int kAhead = !kWide ? 1 : (kFormat == WeightMatrix::Format::k4Bit ? 2 : 4);

  uint32_t words[kWords];
  uint16_t scale;  // of its block, float16
};

struct WeightRow {
  const uint8_t* values;
  const void* scales;
};

template <typename Piece>
EYESHOT_DEVICE WeightRow RowOfWeight(const void* values, const void* scales, int64_t inputs, int64_t row) {
  constexpr int kWordBytes = 4;
  WeightRow at = {static_cast<const uint8_t*>(values) + row * (inputs / Piece::kWordValues * kWordBytes), scales};
  if constexpr (Piece::kBlockScales) {
    at.scales = static_cast<const uint16_t*>(scales) + row * CeilDiv(inputs, kScaleBlock);
  }
  return at;
}

template <typename Piece>
EYESHOT_DEVICE void LoadPiece(const WeightRow& row, int index, Piece* piece) {
  constexpr int kBytes = Piece::kWords * 4;
  const uint8_t* from = row.values + static_cast<int64_t>(index) * kBytes;
  if constexpr (Piece::kWords == 4) {
    const Vec16 all = LoadOnce16(from);
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) piece->words[i] = all.word[i];
  } else {
    EYESHOT_UNROLL
    for (int i = 0; i < Piece::kWords; ++i) piece->words[i] = LoadOnce4(from + 4 * i);
  }
  if constexpr (Piece::kBlockScales) {
    piece->scale = static_cast<const uint16_t*>(row.scales)[index * Piece::kValues / kScaleBlock];
  }
}

// Values [8 part, 8 part + 8) of a piece, before scales; those of kFp8 times 2^-8.
template <WeightMatrix::Format kFormat, bool kWide>
EYESHOT_DEVICE void DecodeEight(const WeightPiece<kFormat, kWide>& piece, int part, const float* levels,
                                float (&values)[8]) {
  // A byte in the lowest bits of 2^23 as a float gives 2^23 + byte: quicker than conversions. 128 is added to the
  // signed bytes first, by flipping their highest bits.
  constexpr uint32_t kTwoTo23 = 0x4b000000u;
  constexpr float kOffset = 8388608.0f + 128.0f;
  EYESHOT_UNROLL
  for (int i = 0; i < 8; ++i) {
    if constexpr (kFormat == WeightMatrix::Format::kBf16) {
      const uint32_t word = piece.words[part * 4 + i / 2];
      values[i] = i % 2 == 0 ? LowBf16(word) : HighBf16(word);
    } else if constexpr (kFormat == WeightMatrix::Format::k4Bit) {
      values[i] = levels[(piece.words[part] >> (4 * i)) & 0xfu];
    } else if constexpr (kFormat == WeightMatrix::Format::kFp8) {
      if (i % 4 != 0) continue;
      float four[4];
      LoadFourE4M3(piece.words[part * 2 + i / 4], four);
      EYESHOT_UNROLL
      for (int j = 0; j < 4; ++j) values[i + j] = four[j];
    } else {
      const uint32_t word = piece.words[part * 2 + i / 4] ^ 0x80808080u;
      values[i] = FloatFromBits(((word >> (8 * (i % 4))) & 0xffu) | kTwoTo23) - kOffset;
    }
  }
}

struct VectorTask {
  const void* values;
  const void* scales;
  const float* levels;
  int64_t outputs;
  int64_t pairs;  // of rows of the weight that a warp takes together
  int inputs;
  bool gated;
  bool gelu;
  bool aligned;  // 16 bytes of x can be loaded at once
  bool float_x;  // x is float32, which it may be where a norm of it is taken
  bool float_residual;
  bool float_y;
  int rows;
  int x_cols;
  int tile;  // inputs that are in shared memory at a time
  const void* x;
  int64_t x_stride;
  const float* bias;
  const void* residual;
  int64_t residual_stride;
  void* y;
  int64_t y_stride;
  const float* gain;  // of an RMS norm of x before the product, or null
  float epsilon;
  uint16_t* normed;  // where that norm goes as well, or null
  int64_t normed_stride;
};

// x in shared memory: kRows rows of kTileBytes each, in pieces of 8 values. A lane reads kParts successive ones, so
// that without the exchange here lanes that read together would meet in the same banks.
template <int kRows>
constexpr int kTileBytes = kVectorTile / kRows * 2;

template <int kParts>
EYESHOT_DEVICE int SharedPlace(int eight) {
  return eight ^ ((eight >> 3) & (kParts - 1));
}

// Values [first, first + 8) of a row of x; zeros behind its end.
EYESHOT_DEVICE Vec16 EightOfX(const VectorTask& task, int row, int first) {
  const uint16_t* from = static_cast<const uint16_t*>(task.x) + row * task.x_stride + first;
  if (task.aligned) return Load16(from);
  Vec16 eight;
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint32_t low = first + 2 * i < task.x_cols ? from[2 * i] : 0u;
    const uint32_t high = first + 2 * i + 1 < task.x_cols ? from[2 * i + 1] : 0u;
    eight.word[i] = low | high << 16;
  }
  return eight;
}

// Copies inputs [first, first + count) of x to shared memory, and zeros for rows that aren't there.
template <int kRows, int kParts>
EYESHOT_DEVICE void StageX(const VectorTask& task, int first, int count, unsigned char* shared_x) {
  constexpr int kAtOnce = 4;  // loads that a thread has under way
  const int eights = count / 8;
  EYESHOT_UNROLL
  for (int row = 0; row < kRows; ++row) {
    for (int begin = ThreadIndex(); begin < eights; begin += kAtOnce * BlockThreads()) {
      Vec16 loaded[kAtOnce] = {};
      EYESHOT_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int at = begin + i * BlockThreads();
        if (at < eights && row < task.rows) loaded[i] = EightOfX(task, row, first + 8 * at);
      }
      EYESHOT_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        const int at = begin + i * BlockThreads();
        if (at < eights) Store16(shared_x + row * kTileBytes<kRows> + 16 * SharedPlace<kParts>(at), loaded[i]);
      }
    }
  }
}

// Values [8 i, 8 i + 8) of a row of what a norm is of.
EYESHOT_DEVICE void EightOfNormed(const VectorTask& task, int row, int i, float (&values)[8]) {
  const int64_t at = row * task.x_stride + 8 * static_cast<int64_t>(i);
  if (task.float_x) {
    LoadEight(static_cast<const float*>(task.x) + at, values);
  } else {
    LoadEight(static_cast<const Bf16*>(task.x) + at, values);
  }
}

// What an RMS norm multiplies a row by, found by one warp.
EYESHOT_DEVICE float NormScale(const VectorTask& task, int row) {
  constexpr int kAtOnce = 4;
  const int eights = task.inputs / 8;
  float square = 0;
  for (int first = Lane(); first < eights; first += kAtOnce * kWarp) {
    float values[kAtOnce][8] = {};
    EYESHOT_UNROLL
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * kWarp < eights) EightOfNormed(task, row, first + i * kWarp, values[i]);
    }
    EYESHOT_UNROLL
    for (int i = 0; i < kAtOnce * 8; ++i) square += values[i / 8][i % 8] * values[i / 8][i % 8];
  }
  return Rsqrt(WarpSum(square) / static_cast<float>(task.x_cols) + task.epsilon);
}

// The same for all inputs at once, through an RMS norm, which the first block keeps in memory too. scales: [kRows].
// The scale of a single row is found by each warp for itself, which takes no barrier; of several, each by one warp.
// own_gain: of this thread's first eight.
template <int kRows, int kParts>
EYESHOT_DEVICE void StageNormed(const VectorTask& task, const float (&own_gain)[8], unsigned char* shared_x,
                                float* scales) {
  const int eights = task.inputs / 8;
  float scale = 0;
  if constexpr (kRows == 1) {
    scale = NormScale(task, 0);
  } else {
    for (int row = WarpIndex(); row < task.rows; row += BlockThreads() / kWarp) {
      const float of_row = NormScale(task, row);
      if (Lane() == 0) scales[row] = of_row;
    }
    SyncThreads();
  }
  EYESHOT_UNROLL
  for (int row = 0; row < kRows; ++row) {
    if (kRows > 1 && row < task.rows) scale = scales[row];
    for (int i = ThreadIndex(); i < eights; i += BlockThreads()) {
      Vec16 eight = {};
      if (row < task.rows) {
        float values[8];
        EightOfNormed(task, row, i, values);
        float gain[8];
        if (i == ThreadIndex()) {
          EYESHOT_UNROLL
          for (int j = 0; j < 8; ++j) gain[j] = own_gain[j];
        } else {
          LoadEight(task.gain + 8 * i, gain);
        }
        EYESHOT_UNROLL
        for (int j = 0; j < 4; ++j) {
          eight.word[j] = PackBf16(values[2 * j] * scale * gain[2 * j], values[2 * j + 1] * scale * gain[2 * j + 1]);
        }
        if (BlockX() == 0 && task.normed != nullptr) Store16(task.normed + row * task.normed_stride + 8 * i, eight);
      }
      Store16(shared_x + row * kTileBytes<kRows> + 16 * SharedPlace<kParts>(i), eight);
    }
  }
}

// sums[output * kRows + row] += a piece of each of two outputs times x.
template <int kRows, typename Piece>
EYESHOT_DEVICE void AddProducts(const Piece (&pieces)[2], const unsigned char* shared_x, int index, const float* levels,
                                float (&sums)[2 * kRows]) {
  float products[2 * kRows];  // before block scales
  EYESHOT_UNROLL
  for (int i = 0; i < 2 * kRows; ++i) products[i] = Piece::kBlockScales ? 0.0f : sums[i];
  EYESHOT_UNROLL
  for (int part = 0; part < Piece::kParts; ++part) {
    float weights[2][8];
    EYESHOT_UNROLL
    for (int output = 0; output < 2; ++output) DecodeEight(pieces[output], part, levels, weights[output]);
    const unsigned char* from = shared_x + 16 * SharedPlace<Piece::kParts>(index * Piece::kParts + part);
    EYESHOT_UNROLL
    for (int row = 0; row < kRows; ++row) {
      const Vec16 eight = Load16(from + row * kTileBytes<kRows>);
      EYESHOT_UNROLL
      for (int i = 0; i < 8; ++i) {
        const float x = i % 2 == 0 ? LowBf16(eight.word[i / 2]) : HighBf16(eight.word[i / 2]);
        products[row] += x * weights[0][i];
        products[kRows + row] += x * weights[1][i];
      }
    }
  }
  EYESHOT_UNROLL
  for (int i = 0; i < 2 * kRows; ++i) {
    sums[i] = Piece::kBlockScales ? sums[i] + products[i] * FromHalf(pieces[i / kRows].scale) : products[i];
  }
}

EYESHOT_DEVICE float GeluTanh(float x) {
  constexpr float kSqrt2OverPi = 0.7978845608028654f;
  return 0.5f * x * (1.0f + Tanh(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
}

EYESHOT_DEVICE float ResidualAt(const VectorTask& task, int row, int64_t output) {
  if (task.residual == nullptr) return 0;
  const int64_t at = row * task.residual_stride + output;
  return task.float_residual ? static_cast<const float*>(task.residual)[at]
                             : FromBf16(static_cast<const Bf16*>(task.residual)[at]);
}

// What follows a product, and a gate, for one element of y.
EYESHOT_DEVICE void StoreElement(const VectorTask& task, int row, int64_t output, float value, float residual) {
  if (task.bias != nullptr) value += task.bias[output];
  if (task.gelu) value = GeluTanh(value);
  value += residual;
  const int64_t at = row * task.y_stride + output;
  if (task.float_y) {
    static_cast<float*>(task.y)[at] = value;
  } else {
    static_cast<Bf16*>(task.y)[at] = ToBf16(value);
  }
}

// The element of y that a lane has of a warp's pair of weight rows, by lane as ScatteredWarpSum() gives sums.
template <int kRows>
struct VectorTarget {
  int row;
  int64_t output;
  bool mine;  // else there is no such element, or another lane stores it

  EYESHOT_DEVICE VectorTarget(const VectorTask& task, int64_t pair) {
    constexpr int kLanes = kWarp / (2 * kRows);  // that have the same sum
    const int which = Lane() / (kWarp / 2);
    row = Lane() / kLanes % kRows;
    output = task.gated ? pair : 2 * pair + which;
    mine = Lane() % kLanes == 0 && (which == 0 || !task.gated) && row < task.rows && output < task.outputs;
  }

  // Of the row of the weight whose sum this lane has.
  EYESHOT_DEVICE float WeightScale(const VectorTask& task, int64_t pair) const {
    const int which = Lane() / (kWarp / 2);
    const int64_t of_weight = task.gated ? which * task.outputs + pair : output;
    return pair < task.pairs && output < task.outputs ? ScaleOfE4M3(task.scales, of_weight) : 0.0f;
  }

  EYESHOT_DEVICE float Residual(const VectorTask& task) const { return mine ? ResidualAt(task, row, output) : 0.0f; }

  EYESHOT_DEVICE void Store(const VectorTask& task, float value, float residual) const {
    if (task.gated) {
      const float up = ShuffleXor(value, kWarp / 2);
      value = Silu(value) * up;
    }
    if (mine) StoreElement(task, row, output, value, residual);
  }
};

// Two rows of the weight: two outputs, or the gate and the up row of one.
template <typename Piece>
struct WeightPair {
  WeightRow rows[2];
  int pieces;  // of a row; 0: there is no such pair

  EYESHOT_DEVICE WeightPair(const VectorTask& task, int64_t pair, int64_t pairs) {
    const int64_t first = task.gated ? pair : 2 * pair;
    const int64_t second = task.gated ? task.outputs + pair : (first + 1 < task.outputs ? first + 1 : first);
    rows[0] = RowOfWeight<Piece>(task.values, task.scales, task.inputs, first);
    rows[1] = RowOfWeight<Piece>(task.values, task.scales, task.inputs, second);
    pieces = pair < pairs ? task.inputs / Piece::kValues : 0;
  }
  EYESHOT_DEVICE void Load(int index, Piece (&to)[2]) const {
    if (index >= pieces) return;
    LoadPiece(rows[0], index, &to[0]);
    LoadPiece(rows[1], index, &to[1]);
  }
};

// A warp takes one pair of weight rows after the other, while x stays where it is; where x doesn't fit into shared
// memory at once, it has one pair alone. Weights don't depend on what runs before, so that their loads begin first;
// from then on each piece that is used makes room for the next load, of the next pair at last.
template <WeightMatrix::Format kFormat, bool kWide, int kRows, int kAhead>
EYESHOT_KERNEL(kVectorThreads)
VectorKernel(VectorTask task) {
  using Piece = WeightPiece<kFormat, kWide>;
  constexpr int kStep = kAhead * kWarp;
  static_assert(kVectorTile / kRows % (kStep * Piece::kValues) == 0);  // else pieces on their way would miss their turn
  auto* levels = reinterpret_cast<float*>(SharedMemory());
  auto* scales = levels + kLevels;
  unsigned char* shared_x = SharedMemory() + (kLevels + kWarp) * sizeof(float);
  const int warps = BlockThreads() / kWarp;
  const int64_t stride = int64_t{GridX()} * warps;
  int64_t pair = int64_t{BlockX()} * warps + WarpIndex();
  WeightPair<Piece> weights(task, pair, task.pairs);

  Piece ahead[kAhead][2] = {};
  EYESHOT_UNROLL
  for (int i = 0; i < kAhead; ++i) weights.Load(Lane() + i * kWarp, ahead[i]);
  if (kFormat == WeightMatrix::Format::k4Bit && ThreadIndex() < kLevels)
    levels[ThreadIndex()] = task.levels[ThreadIndex()];
  float own_gain[8] = {};
  if (task.gain != nullptr && 8 * ThreadIndex() < task.inputs) LoadEight(task.gain + 8 * ThreadIndex(), own_gain);
  constexpr bool kRowScales = kFormat == WeightMatrix::Format::kFp8;
  float scale = 1;
  if constexpr (kRowScales) scale = VectorTarget<kRows>(task, pair).WeightScale(task, pair);
  WaitForPrevious();
  float residual = VectorTarget<kRows>(task, pair).Residual(task);

  float sums[2 * kRows] = {};
  for (int tile = 0; tile < task.inputs; tile += task.tile) {
    const int left = task.inputs - tile;
    if (tile > 0) SyncThreads();
    if (task.gain != nullptr) {
      StageNormed<kRows, Piece::kParts>(task, own_gain, shared_x, scales);
    } else {
      StageX<kRows, Piece::kParts>(task, tile, left < task.tile ? left : task.tile, shared_x);
    }
    SyncThreads();
    const int begin = tile / Piece::kValues;
    const bool last = left <= task.tile;
    while (pair < task.pairs) {
      const int end = last ? weights.pieces : begin + task.tile / Piece::kValues;
      const WeightPair<Piece> next(task, pair + stride, task.pairs);
      for (int at = begin + Lane(); at < end; at += kStep) {
        const bool next_pair = last && at + kStep >= end;
        EYESHOT_UNROLL
        for (int i = 0; i < kAhead; ++i) {
          const int index = at + i * kWarp;
          if (index < end) AddProducts<kRows>(ahead[i], shared_x, index - begin, levels, sums);
          if (next_pair) {
            next.Load(Lane() + i * kWarp, ahead[i]);
          } else {
            weights.Load(index + kStep, ahead[i]);
          }
        }
      }
      if (!last) break;
      float sum = ScatteredWarpSum(sums);
      if constexpr (kRowScales) sum *= scale;
      VectorTarget<kRows>(task, pair).Store(task, sum, residual);
      pair += stride;
      weights = next;
      if constexpr (kRowScales) scale = VectorTarget<kRows>(task, pair).WeightScale(task, pair);
      residual = VectorTarget<kRows>(task, pair).Residual(task);
      EYESHOT_UNROLL
      for (int i = 0; i < 2 * kRows; ++i) sums[i] = 0;
    }
  }
}

template <WeightMatrix::Format kFormat, bool kWide, int kRows, int kAhead = WeightPiece<kFormat, kWide>::kAhead>
void LaunchVector(StreamHandle stream, VectorTask task) {
  constexpr int64_t kManyWarps = 4096;  // enough that larger blocks, which share x among more warps, fill a GPU
  constexpr int kTile = kVectorTile / kRows;
  task.pairs = task.gated ? task.outputs : CeilDiv(task.outputs, 2);
  const int threads = task.pairs < kManyWarps ? kVectorThreads / 2 : kVectorThreads;
  task.tile = task.inputs < kTile ? task.inputs : kTile;
  const size_t shared_bytes = (kLevels + kWarp) * sizeof(float) + (kRows - 1) * kTileBytes<kRows> +
                              static_cast<size_t>(task.tile) * sizeof(uint16_t);
  const auto kernel = &VectorKernel<kFormat, kWide, kRows, kAhead>;
  int64_t blocks = CeilDiv(task.pairs, threads / kWarp);
  if (task.tile == task.inputs) {  // as many as run at a time, each warp with equally many pairs
    blocks = CeilDiv(blocks, CeilDiv(blocks, ResidentBlocks(kernel, threads, shared_bytes)));
  }
  Launch(kernel, {.x = blocks}, threads, shared_bytes, stream, task);
}

template <WeightMatrix::Format kFormat>
void LaunchVectorOf(StreamHandle stream, const VectorTask& task) {
  // Weights of models have whole pieces in a row, so that for others one kernel for any number of rows will do.
  constexpr int kWideValues = WeightPiece<kFormat, true>::kValues;
  if constexpr (kWideValues > 8) {
    if (task.inputs % kWideValues != 0) return LaunchVector<kFormat, false, kMaxVectorRows>(stream, task);
  }
  constexpr int kLongRow = 4096;  // few warps have many pieces each: more of them have to be on their way
  constexpr int kAhead = WeightPiece<kFormat, true>::kAhead;
  if (task.rows == 1 && task.inputs >= kLongRow) {
    LaunchVector<kFormat, true, 1, 2 * kAhead>(stream, task);
  } else if (task.rows == 1) {
    LaunchVector<kFormat, true, 1>(stream, task);
  } else if (task.rows == 2) {
    LaunchVector<kFormat, true, 2>(stream, task);
  } else if (task.rows <= 4) {
    LaunchVector<kFormat, true, 4>(stream, task);
  } else {
    LaunchVector<kFormat, true, kMaxVectorRows>(stream, task);
  }
}

inline VectorTask PlanVector(const WeightMatrix& weight, const float* bias, const LinearArgs& args) {
  VectorTask task = {};
  task.values = weight.values;
  task.scales = weight.scales;
  task.levels = weight.levels;
  task.outputs = weight.outputs;
  task.inputs = static_cast<int>(weight.inputs);
  task.gated = weight.gated;
  task.gelu = args.activation == Activation::kGeluTanh;
  task.aligned = reinterpret_cast<uintptr_t>(args.x.data) % sizeof(Vec16) == 0 && args.x.stride % 8 == 0 &&
                 args.x.cols == weight.inputs;
  task.float_y = args.y.dtype == DType::kF32;
  task.rows = static_cast<int>(args.x.rows);
  task.x_cols = static_cast<int>(args.x.cols);
  task.x = args.x.data;
  task.x_stride = args.x.stride;
  task.bias = bias;
  task.residual = args.residual.data;
  task.float_residual = args.residual.dtype == DType::kF32;
  task.residual_stride = args.residual.stride;
  task.y = args.y.data;
  task.y_stride = args.y.stride;
  return task;
}

// x is what `norm` is of, and the product that of the norm.
inline void TakeNorm(const NormArgs& norm, const float* gain, VectorTask* task) {
  EYESHOT_CHECK(norm.y.data == task->x);
  task->x = norm.x.data;
  task->float_x = norm.x.dtype == DType::kF32;
  task->x_stride = norm.x.stride;
  task->gain = gain;
  task->epsilon = norm.epsilon;
  task->normed = norm.passing ? nullptr : static_cast<uint16_t*>(norm.y.data);
  task->normed_stride = norm.y.stride;
}

bool TakesNorm(const WeightMatrix& weight, const NormArgs& norm) {
  const auto whole = [](const void* data, int64_t stride) {
    return reinterpret_cast<uintptr_t>(data) % sizeof(Vec16) == 0 && stride % 8 == 0;
  };
  return norm.x.rows <= kMaxVectorRows && norm.x.cols == weight.inputs && norm.x.data != norm.y.data &&
         whole(norm.x.data, norm.x.stride) && whole(norm.y.data, norm.y.stride) &&
         weight.inputs * std::bit_ceil(static_cast<uint64_t>(norm.x.rows)) <= kVectorTile &&
         (weight.inputs % 32 == 0 || weight.inputs * kMaxVectorRows <= kVectorTile);
}

void MatrixVector(StreamHandle stream, const WeightMatrix& weight, const float* bias, const LinearArgs& args,
                  const NormArgs* norm, const float* gain) {
  EYESHOT_CHECK(args.x.rows >= 1 && args.x.rows <= kMaxVectorRows && weight.inputs % 8 == 0);
  EYESHOT_CHECK(args.x.cols <= weight.inputs && args.x.dtype == DType::kBF16);
  VectorTask task = PlanVector(weight, bias, args);
  if (norm != nullptr) {
    EYESHOT_CHECK(TakesNorm(weight, *norm));
    TakeNorm(*norm, gain, &task);
  }
  switch (weight.format) {
    case WeightMatrix::Format::kBf16: return LaunchVectorOf<WeightMatrix::Format::kBf16>(stream, task);
    case WeightMatrix::Format::kQ8: return LaunchVectorOf<WeightMatrix::Format::kQ8>(stream, task);
    case WeightMatrix::Format::k4Bit: return LaunchVectorOf<WeightMatrix::Format::k4Bit>(stream, task);
    case WeightMatrix::Format::kFp8: return LaunchVectorOf<WeightMatrix::Format::kFp8>(stream, task);
  }
}

// One block a row; a thread takes 8 values at a time.
template <WeightMatrix::Format kFormat>
EYESHOT_KERNEL(kDequantizeThreads)
DequantizeKernel(WeightMatrix weight, int64_t first, uint16_t* out) {
  WaitForPrevious();
  using Piece = WeightPiece<kFormat, false>;
  auto* levels = reinterpret_cast<float*>(SharedMemory());
  if constexpr (kFormat == WeightMatrix::Format::k4Bit) {
    if (ThreadIndex() < kLevels) levels[ThreadIndex()] = weight.levels[ThreadIndex()];
    SyncThreads();
  }
  const int64_t row = first + BlockX();
  const WeightRow from = RowOfWeight<Piece>(weight.values, weight.scales, weight.inputs, row);
  uint16_t* to = out + BlockX() * weight.inputs;
  for (int i = ThreadIndex(); i < static_cast<int>(weight.inputs / 8); i += BlockThreads()) {
    Piece piece;
    LoadPiece(from, i, &piece);
    float values[8];
    DecodeEight(piece, 0, levels, values);
    float scale = 1;
    if constexpr (Piece::kBlockScales) scale = FromHalf(piece.scale);
    if constexpr (kFormat == WeightMatrix::Format::kFp8) scale = ScaleOfE4M3(weight.scales, row);
    Vec16 eight;
    EYESHOT_UNROLL
    for (int j = 0; j < 4; ++j) eight.word[j] = PackBf16(values[2 * j] * scale, values[2 * j + 1] * scale);
    Store16(to + 8 * static_cast<int64_t>(i), eight);
  }
}

template <WeightMatrix::Format kFormat>
void LaunchDequantize(StreamHandle stream, const WeightMatrix& weight, int64_t first, int64_t count, uint16_t* out) {
  Launch(&DequantizeKernel<kFormat>, {.x = count}, kDequantizeThreads, kLevels * sizeof(float), stream, weight, first,
         out);
}

void Dequantize(StreamHandle stream, const WeightMatrix& weight, int64_t first, int64_t count, uint16_t* out) {
  EYESHOT_CHECK(weight.inputs % 8 == 0 && reinterpret_cast<uintptr_t>(out) % sizeof(Vec16) == 0);
  switch (weight.format) {
    case WeightMatrix::Format::kBf16:
      return LaunchDequantize<WeightMatrix::Format::kBf16>(stream, weight, first, count, out);
    case WeightMatrix::Format::kQ8:
      return LaunchDequantize<WeightMatrix::Format::kQ8>(stream, weight, first, count, out);
    case WeightMatrix::Format::k4Bit:
      return LaunchDequantize<WeightMatrix::Format::k4Bit>(stream, weight, first, count, out);
    case WeightMatrix::Format::kFp8:
      return LaunchDequantize<WeightMatrix::Format::kFp8>(stream, weight, first, count, out);
  }
}

// A warp has a row, which it reads twice.
EYESHOT_KERNEL(kDequantizeThreads)
RoundRowsKernel(const Bf16* x, int64_t stride, int rows, int cols, uint8_t* values, float* scales) {
  WaitForPrevious();
  const int row = BlockX() * (kDequantizeThreads / kWarp) + WarpIndex();
  if (row >= rows) return;
  const Bf16* from = x + row * stride;
  float eight[8];
  float largest = 0;
  for (int at = 8 * Lane(); at < cols; at += 8 * kWarp) {
    LoadEight(from + at, eight);
    largest = Max(largest, LargestOf(eight));
  }
  const E4M3Row to(WarpMax(largest));
  if (Lane() == 0) scales[row] = to.divisor();
  for (int at = 8 * Lane(); at < cols; at += 8 * kWarp) {
    LoadEight(from + at, eight);
    to.Store(eight, values + static_cast<int64_t>(row) * cols + at);
  }
}

void RoundRows(StreamHandle stream, ConstMatrixView x, uint8_t* values, float* scales) {
  EYESHOT_CHECK(x.dtype == DType::kBF16 && x.cols % 8 == 0 && x.stride % 8 == 0);
  Launch(&RoundRowsKernel, {.x = CeilDiv(x.rows, kDequantizeThreads / kWarp)}, kDequantizeThreads, 0, stream,
         static_cast<const Bf16*>(x.data), x.stride, static_cast<int>(x.rows), static_cast<int>(x.cols), values,
         scales);
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_LINEAR_INL_H_
