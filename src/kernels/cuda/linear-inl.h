// Products of few rows with a weight matrix, as decoding needs them: bound by reading the weight, which happens once,
// in the format it's kept in, 16 bytes a lane with several loads under way. And weights as bfloat16, for products of
// many rows.
#ifndef EYESHOT_KERNELS_CUDA_LINEAR_INL_H_
#define EYESHOT_KERNELS_CUDA_LINEAR_INL_H_

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

// Values [8 part, 8 part + 8) of a piece, before scales.
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
  int inputs;
  bool gated;
  bool gelu;
  bool aligned;  // 16 bytes of x can be loaded at once
  bool float_y;
  int rows;
  int x_cols;
  int tile;  // inputs that are in shared memory at a time
  const uint16_t* x;
  int64_t x_stride;
  const float* bias;
  const uint16_t* residual;
  int64_t residual_stride;
  void* y;
  int64_t y_stride;
  const float* gain;  // of an RMS norm of x before the product, or null
  float epsilon;
  uint16_t* normed;  // where that norm goes as well
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
  const uint16_t* from = task.x + row * task.x_stride + first;
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
  const int eights = count / 8;
  EYESHOT_UNROLL
  for (int row = 0; row < kRows; ++row) {
    for (int i = ThreadIndex(); i < eights; i += BlockThreads()) {
      Vec16 eight = {};
      if (row < task.rows) eight = EightOfX(task, row, first + 8 * i);
      Store16(shared_x + row * kTileBytes<kRows> + 16 * SharedPlace<kParts>(i), eight);
    }
  }
}

// The same for all inputs at once, through an RMS norm, which the first block keeps in memory too.
template <int kRows, int kParts>
EYESHOT_DEVICE void StageNormed(const VectorTask& task, unsigned char* shared_x, float* scratch) {
  const int eights = task.inputs / 8;
  const float share = 1.0f / static_cast<float>(task.x_cols);
  EYESHOT_UNROLL
  for (int row = 0; row < kRows; ++row) {
    if (row >= task.rows) break;
    float square = 0;
    for (int i = ThreadIndex(); i < eights; i += BlockThreads()) {
      const Vec16 eight = EightOfX(task, row, 8 * i);
      EYESHOT_UNROLL
      for (int j = 0; j < 4; ++j) {
        square += LowBf16(eight.word[j]) * LowBf16(eight.word[j]);
        square += HighBf16(eight.word[j]) * HighBf16(eight.word[j]);
      }
    }
    const float scale = Rsqrt(BlockSum(square, scratch) * share + task.epsilon);
    for (int i = ThreadIndex(); i < eights; i += BlockThreads()) {
      Vec16 eight = EightOfX(task, row, 8 * i);
      const float* gain = task.gain + 8 * i;
      EYESHOT_UNROLL
      for (int j = 0; j < 4; ++j) {
        eight.word[j] =
            PackBf16(LowBf16(eight.word[j]) * scale * gain[2 * j], HighBf16(eight.word[j]) * scale * gain[2 * j + 1]);
      }
      Store16(shared_x + row * kTileBytes<kRows> + 16 * SharedPlace<kParts>(i), eight);
      if (BlockX() == 0) Store16(task.normed + row * task.normed_stride + 8 * i, eight);
    }
  }
  EYESHOT_UNROLL
  for (int row = 0; row < kRows; ++row) {  // those that aren't there
    if (row < task.rows) continue;
    for (int i = ThreadIndex(); i < eights; i += BlockThreads()) {
      Store16(shared_x + row * kTileBytes<kRows> + 16 * SharedPlace<kParts>(i), Vec16{});
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

// What follows the product, for one element of y.
EYESHOT_DEVICE void FinishVector(const VectorTask& task, int row, int64_t output, float value) {
  if (task.bias != nullptr) value += task.bias[output];
  if (task.gelu) value = GeluTanh(value);
  if (task.residual != nullptr) value += FromBf16({task.residual[row * task.residual_stride + output]});
  const int64_t at = row * task.y_stride + output;
  if (task.float_y) {
    static_cast<float*>(task.y)[at] = value;
  } else {
    static_cast<uint16_t*>(task.y)[at] = ToBf16(value).bits;
  }
}

// Sums of a warp's two rows of weights, by lane as ScatteredWarpSum() gives them, to y.
template <int kRows>
EYESHOT_DEVICE void StoreVector(const VectorTask& task, int64_t first_output, const float (&sums)[2 * kRows]) {
  constexpr int kLanes = kWarp / (2 * kRows);  // that have the same sum
  float value = ScatteredWarpSum(sums);
  const int which = Lane() / (kWarp / 2);
  const int row = Lane() / kLanes % kRows;
  if (task.gated) {
    const float up = ShuffleXor(value, kWarp / 2);
    value = value / (1.0f + Exp(-value)) * up;
  }
  const int64_t output = first_output + (task.gated ? 0 : which);
  const bool mine = Lane() % kLanes == 0 && (which == 0 || !task.gated);
  if (mine && row < task.rows && output < task.outputs) FinishVector(task, row, output, value);
}

// A warp has two rows of the weight: two outputs, or the gate and the up row of one. Weights don't depend on what runs
// before, so that their loads begin first; from then on each piece that is used makes room for the next load.
template <WeightMatrix::Format kFormat, bool kWide, int kRows>
EYESHOT_KERNEL(kVectorThreads)
VectorKernel(VectorTask task) {
  using Piece = WeightPiece<kFormat, kWide>;
  constexpr int kStep = Piece::kAhead * kWarp;
  static_assert(kVectorTile / kRows % (kStep * Piece::kValues) == 0);  // else pieces on their way would miss their turn
  auto* levels = reinterpret_cast<float*>(SharedMemory());
  auto* scratch = levels + kLevels;
  unsigned char* shared_x = SharedMemory() + (kLevels + kWarp) * sizeof(float);
  const int64_t warp = int64_t{BlockX()} * (BlockThreads() / kWarp) + WarpIndex();
  const int64_t first = task.gated ? warp : 2 * warp;
  const int64_t second = task.gated ? task.outputs + warp : (first + 1 < task.outputs ? first + 1 : first);
  const WeightRow rows[2] = {RowOfWeight<Piece>(task.values, task.scales, task.inputs, first),
                             RowOfWeight<Piece>(task.values, task.scales, task.inputs, second)};
  const int pieces = first < task.outputs ? task.inputs / Piece::kValues : 0;
  const auto load = [&](int index, Piece(&to)[2]) {
    if (index >= pieces) return;
    LoadPiece(rows[0], index, &to[0]);
    LoadPiece(rows[1], index, &to[1]);
  };

  Piece ahead[Piece::kAhead][2] = {};
  EYESHOT_UNROLL
  for (int i = 0; i < Piece::kAhead; ++i) load(Lane() + i * kWarp, ahead[i]);
  if (kFormat == WeightMatrix::Format::k4Bit && ThreadIndex() < kLevels)
    levels[ThreadIndex()] = task.levels[ThreadIndex()];

  float sums[2 * kRows] = {};
  for (int tile = 0; tile < task.inputs; tile += task.tile) {
    const int left = task.inputs - tile;
    if (tile > 0) SyncThreads();
    if (task.gain != nullptr) {
      StageNormed<kRows, Piece::kParts>(task, shared_x, scratch);
    } else {
      StageX<kRows, Piece::kParts>(task, tile, left < task.tile ? left : task.tile, shared_x);
    }
    SyncThreads();
    const int begin = tile / Piece::kValues;
    const int tile_end = begin + task.tile / Piece::kValues;
    const int end = pieces < tile_end ? pieces : tile_end;
    for (int at = begin + Lane(); at < end; at += kStep) {
      EYESHOT_UNROLL
      for (int i = 0; i < Piece::kAhead; ++i) {
        const int index = at + i * kWarp;
        if (index < end) AddProducts<kRows>(ahead[i], shared_x, index - begin, levels, sums);
        load(index + kStep, ahead[i]);
      }
    }
  }
  StoreVector<kRows>(task, first, sums);
}

template <WeightMatrix::Format kFormat, bool kWide, int kRows>
void LaunchVector(StreamHandle stream, VectorTask task) {
  constexpr int64_t kManyWarps = 4096;  // enough that larger blocks, which share x among more warps, fill a GPU
  constexpr int kTile = kVectorTile / kRows;
  const int64_t warps = task.gated ? task.outputs : CeilDiv(task.outputs, 2);
  const int threads = warps < kManyWarps ? kVectorThreads / 2 : kVectorThreads;
  task.tile = task.inputs < kTile ? task.inputs : kTile;
  const size_t shared_bytes = (kLevels + kWarp) * sizeof(float) + (kRows - 1) * kTileBytes<kRows> +
                              static_cast<size_t>(task.tile) * sizeof(uint16_t);
  Launch(&VectorKernel<kFormat, kWide, kRows>, {.x = CeilDiv(warps, threads / kWarp)}, threads, shared_bytes, stream,
         task);
}

template <WeightMatrix::Format kFormat>
void LaunchVectorOf(StreamHandle stream, const VectorTask& task) {
  // Weights of models have whole pieces in a row, so that for others one kernel for any number of rows will do.
  constexpr int kWideValues = WeightPiece<kFormat, true>::kValues;
  if constexpr (kWideValues > 8) {
    if (task.inputs % kWideValues != 0) return LaunchVector<kFormat, false, kMaxVectorRows>(stream, task);
  }
  if (task.rows == 1) {
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
  task.x = static_cast<const uint16_t*>(args.x.data);
  task.x_stride = args.x.stride;
  task.bias = bias;
  task.residual = static_cast<const uint16_t*>(args.residual.data);
  task.residual_stride = args.residual.stride;
  task.y = args.y.data;
  task.y_stride = args.y.stride;
  return task;
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
  EYESHOT_CHECK(args.residual.empty() || args.residual.dtype == DType::kBF16);
  VectorTask task = PlanVector(weight, bias, args);
  if (norm != nullptr) {
    EYESHOT_CHECK(TakesNorm(weight, *norm) && norm->y.data == args.x.data);
    task.x = static_cast<const uint16_t*>(norm->x.data);
    task.x_stride = norm->x.stride;
    task.gain = gain;
    task.epsilon = norm->epsilon;
    task.normed = static_cast<uint16_t*>(norm->y.data);
    task.normed_stride = norm->y.stride;
  }
  switch (weight.format) {
    case WeightMatrix::Format::kBf16: return LaunchVectorOf<WeightMatrix::Format::kBf16>(stream, task);
    case WeightMatrix::Format::kQ8: return LaunchVectorOf<WeightMatrix::Format::kQ8>(stream, task);
    case WeightMatrix::Format::k4Bit: return LaunchVectorOf<WeightMatrix::Format::k4Bit>(stream, task);
  }
}

// One block a row; a thread takes 8 values at a time.
template <WeightMatrix::Format kFormat>
EYESHOT_KERNEL(kDequantizeThreads)
DequantizeKernel(WeightMatrix weight, int64_t first, uint16_t* out) {
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
  }
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_LINEAR_INL_H_
