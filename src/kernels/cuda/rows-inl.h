// Operations on rows: norms, gathers, copies, patches, pixel shuffle, gates.
#ifndef EYESHOT_KERNELS_CUDA_ROWS_INL_H_
#define EYESHOT_KERNELS_CUDA_ROWS_INL_H_

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/kernels.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {

constexpr int kRowThreads = 256;

template <typename T>
const T* Elements(const ConstMatrixView& view) {
  return static_cast<const T*>(view.data);
}
template <typename T>
T* Elements(const MatrixView& view) {
  return static_cast<T*>(view.data);
}

EYESHOT_DEVICE float ToFloat(Bf16 value) { return FromBf16(value); }
EYESHOT_DEVICE float ToFloat(float value) { return value; }
template <typename T>
EYESHOT_DEVICE T FromFloat(float value) {
  if constexpr (sizeof(T) == sizeof(Bf16)) {
    return ToBf16(value);
  } else {
    return value;
  }
}

// Whether rows of a matrix can be read 16 bytes at a time.
inline bool HasWholeEights(const ConstMatrixView& x) {
  return reinterpret_cast<uintptr_t>(x.data) % sizeof(Vec16) == 0 && x.stride % 8 == 0 && x.cols % 8 == 0;
}

template <typename T>
struct NormTask {
  const T* x;
  int64_t x_stride;
  const float* gain;
  const float* bias;  // null: RMS norm
  float epsilon;
  int rows;
  int cols;
  Bf16* y;
  int64_t y_stride;
  uint8_t* codes;  // instead of y: E4M3 [rows, cols], and what rows were divided by
  float* scales;
};

// One block a row, of any length. The row is read twice, the second time from L1.
template <typename T>
EYESHOT_KERNEL(kRowThreads)
NormKernel(NormTask<T> task) {
  WaitForPrevious();
  auto* scratch = reinterpret_cast<float*>(SharedMemory());
  const T* from = task.x + BlockX() * task.x_stride;
  Bf16* to = task.y + BlockX() * task.y_stride;
  const float share = 1.0f / static_cast<float>(task.cols);
  float mean = 0;
  if (task.bias != nullptr) {
    float sum = 0;
    for (int i = ThreadIndex(); i < task.cols; i += BlockThreads()) sum += ToFloat(from[i]);
    mean = BlockSum(sum, scratch) * share;
  }
  float square = 0;
  for (int i = ThreadIndex(); i < task.cols; i += BlockThreads()) {
    const float value = ToFloat(from[i]) - mean;
    square += value * value;
  }
  const float scale = Rsqrt(BlockSum(square, scratch) * share + task.epsilon);
  for (int i = ThreadIndex(); i < task.cols; i += BlockThreads()) {
    const float value = (ToFloat(from[i]) - mean) * scale * task.gain[i];
    to[i] = ToBf16(task.bias == nullptr ? value : value + task.bias[i]);
  }
}

// The same for rows of up to 256 * kEights values, eight after eight: a warp has a row in its registers.
template <typename T, int kEights, bool kRounds>
EYESHOT_KERNEL(kRowThreads)
HeldNormKernel(NormTask<T> task) {
  WaitForPrevious();
  const int64_t row = int64_t{BlockX()} * (BlockThreads() / kWarp) + WarpIndex();
  if (row >= task.rows) return;
  const float share = 1.0f / static_cast<float>(task.cols);
  float values[kEights][8];
  float sum = 0;
  EYESHOT_UNROLL
  for (int i = 0; i < kEights; ++i) {
    const int at = 8 * (i * kWarp + Lane());
    if (at < task.cols) {
      LoadEight(task.x + row * task.x_stride + at, values[i]);
    } else {
      EYESHOT_UNROLL
      for (int j = 0; j < 8; ++j) values[i][j] = 0;
    }
    EYESHOT_UNROLL
    for (int j = 0; j < 8; ++j) sum += values[i][j];
  }
  const float mean = task.bias == nullptr ? 0.0f : WarpSum(sum) * share;
  float square = 0;
  EYESHOT_UNROLL
  for (int i = 0; i < kEights; ++i) {
    const bool there = 8 * (i * kWarp + Lane()) < task.cols;
    EYESHOT_UNROLL
    for (int j = 0; j < 8; ++j) {
      values[i][j] -= mean;
      if (there) square += values[i][j] * values[i][j];
    }
  }
  const float scale = Rsqrt(WarpSum(square) * share + task.epsilon);
  EYESHOT_UNROLL
  for (int i = 0; i < kEights; ++i) {
    const int at = 8 * (i * kWarp + Lane());
    if (at >= task.cols) break;
    float gain[8];
    LoadEight(task.gain + at, gain);
    EYESHOT_UNROLL
    for (int j = 0; j < 8; ++j) values[i][j] *= scale * gain[j];
    if (task.bias != nullptr) {
      float bias[8];
      LoadEight(task.bias + at, bias);
      EYESHOT_UNROLL
      for (int j = 0; j < 8; ++j) values[i][j] += bias[j];
    }
    if constexpr (!kRounds) StoreEight(task.y + row * task.y_stride + at, values[i]);
  }
  if constexpr (kRounds) {
    float largest = 0;
    EYESHOT_UNROLL
    for (int i = 0; i < kEights; ++i) {
      if (8 * (i * kWarp + Lane()) < task.cols) largest = Max(largest, LargestOf(values[i]));
    }
    const E4M3Row to(WarpMax(largest));
    if (Lane() == 0) task.scales[row] = to.divisor();
    EYESHOT_UNROLL
    for (int i = 0; i < kEights; ++i) {
      const int at = 8 * (i * kWarp + Lane());
      if (at < task.cols) to.Store(values[i], task.codes + row * task.cols + at);
    }
  }
}

constexpr int64_t kMostHeld = int64_t{8} * 8 * kWarp;  // of a row, by HeldNormKernel

template <typename T>
NormTask<T> PlanNorm(const NormArgs& args, const float* gain, const float* bias) {
  return {.x = Elements<T>(args.x),
          .x_stride = args.x.stride,
          .gain = gain,
          .bias = bias,
          .epsilon = args.epsilon,
          .rows = static_cast<int>(args.x.rows),
          .cols = static_cast<int>(args.x.cols)};
}

template <typename T, bool kRounds>
void LaunchHeldNorm(StreamHandle stream, const NormTask<T>& task) {
  constexpr int64_t kRows = 4;  // of a block
  const Grid grid = {.x = CeilDiv(task.rows, kRows)};
  if (task.cols <= kMostHeld / 2) {
    Launch(&HeldNormKernel<T, 4, kRounds>, grid, kRows * kWarp, 0, stream, task);
  } else {
    Launch(&HeldNormKernel<T, 8, kRounds>, grid, kRows * kWarp, 0, stream, task);
  }
}

template <typename T>
void LaunchNorm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias) {
  NormTask<T> task = PlanNorm<T>(args, gain, bias);
  task.y = Elements<Bf16>(args.y);
  task.y_stride = args.y.stride;
  if (HasWholeEights(args.x) && HasWholeEights(args.y) && args.x.cols <= kMostHeld) {
    LaunchHeldNorm<T, false>(stream, task);
  } else {
    Launch(&NormKernel<T>, {.x = args.x.rows}, kRowThreads, kWarp * sizeof(float), stream, task);
  }
}

void Norm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias) {
  EYESHOT_CHECK(args.y.dtype == DType::kBF16);
  if (args.x.dtype == DType::kF32) {
    LaunchNorm<float>(stream, args, gain, bias);
  } else {
    LaunchNorm<Bf16>(stream, args, gain, bias);
  }
}

bool TakesRoundedNorm(const NormArgs& norm) { return HasWholeEights(norm.x) && norm.x.cols <= kMostHeld; }

template <typename T>
void LaunchRoundedNorm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias, uint8_t* values,
                       float* scales) {
  NormTask<T> task = PlanNorm<T>(args, gain, bias);
  task.codes = values;
  task.scales = scales;
  LaunchHeldNorm<T, true>(stream, task);
}

void RoundedNorm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias, uint8_t* values,
                 float* scales) {
  EYESHOT_CHECK(TakesRoundedNorm(args));
  if (args.x.dtype == DType::kF32) {
    LaunchRoundedNorm<float>(stream, args, gain, bias, values, scales);
  } else {
    LaunchRoundedNorm<Bf16>(stream, args, gain, bias, values, scales);
  }
}

// One block a row.
template <typename From, typename To>
EYESHOT_KERNEL(kRowThreads)
CopyRowsKernel(const From* x, int64_t x_stride, const int32_t* from, const int32_t* to, int cols, To* y,
               int64_t y_stride, bool add) {
  WaitForPrevious();
  const int64_t source = from == nullptr ? BlockX() : from[BlockX()];
  const int64_t target = to == nullptr ? BlockX() : to[BlockX()];
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
    To& sum = y[target * y_stride + i];
    const float value = ToFloat(x[source * x_stride + i]);
    sum = FromFloat<To>(add ? ToFloat(sum) + value : value);
  }
}

template <typename From, typename To>
void LaunchCopyRows(StreamHandle stream, const CopyRowsArgs& args) {
  Launch(&CopyRowsKernel<From, To>, {.x = args.count}, kRowThreads, 0, stream, Elements<From>(args.x), args.x.stride,
         args.from.data, args.to.data, static_cast<int>(args.x.cols), Elements<To>(args.y), args.y.stride, args.add);
}

void CopyRows(StreamHandle stream, const CopyRowsArgs& args) {
  const bool float_x = args.x.dtype == DType::kF32;
  EYESHOT_CHECK(float_x || args.x.dtype == DType::kBF16);
  if (args.y.dtype == DType::kF32) {
    float_x ? LaunchCopyRows<float, float>(stream, args) : LaunchCopyRows<Bf16, float>(stream, args);
  } else {
    float_x ? LaunchCopyRows<float, Bf16>(stream, args) : LaunchCopyRows<Bf16, Bf16>(stream, args);
  }
}

// One block a row of y.
EYESHOT_KERNEL(kRowThreads)
ConvolveRowsKernel(const Bf16* x, int64_t x_stride, int taps, const float* weight, const float* bias, int cols, Bf16* y,
                   int64_t y_stride) {
  WaitForPrevious();
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
    float sum = bias[i];
    for (int tap = 0; tap < taps; ++tap) {
      sum += weight[int64_t{i} * taps + tap] * FromBf16(x[(BlockX() * int64_t{taps} + tap) * x_stride + i]);
    }
    y[BlockX() * y_stride + i] = ToBf16(sum);
  }
}

void ConvolveRows(StreamHandle stream, const ConvolveRowsArgs& args, const float* weight, const float* bias) {
  EYESHOT_CHECK(args.x.dtype == DType::kBF16);
  Launch(&ConvolveRowsKernel, {.x = args.y.rows}, kRowThreads, 0, stream, Elements<Bf16>(args.x), args.x.stride,
         static_cast<int>(args.taps), weight, bias, static_cast<int>(args.y.cols), Elements<Bf16>(args.y),
         args.y.stride);
}

// One block a row.
template <typename T>
EYESHOT_KERNEL(kRowThreads)
GeluKernel(int cols, T* y, int64_t y_stride) {
  WaitForPrevious();
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
    T& element = y[BlockX() * y_stride + i];
    const float x = ToFloat(element);
    element = FromFloat<T>(0.5f * x * Erfc(-0.70710678f * x));
  }
}

void Gelu(StreamHandle stream, MatrixView y) {
  const auto cols = static_cast<int>(y.cols);
  if (y.dtype == DType::kF32) {
    Launch(&GeluKernel<float>, {.x = y.rows}, kRowThreads, 0, stream, cols, Elements<float>(y), y.stride);
  } else {
    Launch(&GeluKernel<Bf16>, {.x = y.rows}, kRowThreads, 0, stream, cols, Elements<Bf16>(y), y.stride);
  }
}

// Element i of a row of a weight. For single rows: gathers of embeddings.
EYESHOT_DEVICE float WeightElement(const WeightMatrix& w, int64_t row, int64_t i) {
  const int64_t at = row * w.inputs + i;
  if (w.format == WeightMatrix::Format::kBf16) return FromBf16(static_cast<const Bf16*>(w.values)[at]);
  if (w.format == WeightMatrix::Format::kFp8) {
    float four[4];
    LoadFourE4M3(static_cast<const uint8_t*>(w.values)[at], four);
    return four[0] * ScaleOfE4M3(w.scales, row);
  }
  constexpr int64_t kBlock = 32;
  const int64_t block = row * CeilDiv(w.inputs, kBlock) + i / kBlock;
  const float scale = FromHalf(static_cast<const uint16_t*>(w.scales)[block]);
  if (w.format == WeightMatrix::Format::kQ8) {
    return static_cast<float>(static_cast<const int8_t*>(w.values)[at]) * scale;
  }
  const uint8_t pair = static_cast<const uint8_t*>(w.values)[at / 2];
  return w.levels[at % 2 == 0 ? pair & 15 : pair >> 4] * scale;
}

template <typename T>
EYESHOT_KERNEL(kRowThreads)
GatherRowsKernel(WeightMatrix table, const int32_t* ids, int width, T* y, int64_t y_stride) {
  WaitForPrevious();
  const int64_t id = ids[BlockX()];
  const bool inside = id >= 0 && id < table.outputs;
  for (int i = ThreadIndex(); i < width; i += BlockThreads()) {
    y[BlockX() * y_stride + i] = FromFloat<T>(inside ? WeightElement(table, id, i) : 0.0f);
  }
}

void GatherRows(StreamHandle stream, const WeightMatrix& table, DeviceSpan<const int32_t> ids, MatrixView y) {
  const Grid grid = {.x = ids.size};
  const int width = static_cast<int>(y.cols);
  if (y.dtype == DType::kF32) {
    Launch(&GatherRowsKernel<float>, grid, kRowThreads, 0, stream, table, ids.data, width, Elements<float>(y),
           y.stride);
  } else {
    Launch(&GatherRowsKernel<Bf16>, grid, kRowThreads, 0, stream, table, ids.data, width, Elements<Bf16>(y), y.stride);
  }
}

// One block a patch; the channel is slowest.
EYESHOT_KERNEL(kRowThreads)
ExtractPatchesKernel(const uint8_t* tiles, int64_t side, int patch, const float* normalization, uint16_t* patches,
                     int64_t stride) {
  WaitForPrevious();
  const int64_t grid = side / patch;
  const int64_t tile = BlockX() / (grid * grid);
  const int64_t top = BlockX() / grid % grid * patch;
  const int64_t left = BlockX() % grid * patch;
  uint16_t* out = patches + BlockX() * stride;
  const int depth = 3 * patch * patch;
  for (int i = ThreadIndex(); i < stride; i += BlockThreads()) {
    float value = 0;
    if (i < depth) {
      const int channel = i / (patch * patch);
      const int64_t pixel = (tile * side + top + i / patch % patch) * side + left + i % patch;
      value = normalization[channel * 256 + tiles[pixel * 3 + channel]];
    }
    out[i] = ToBf16(value).bits;
  }
}

void ExtractPatches(StreamHandle stream, const PatchEmbedArgs& args, uint16_t* patches, int64_t stride) {
  Launch(&ExtractPatchesKernel, {.x = args.y.rows}, kRowThreads, 0, stream, args.tiles.data, args.side,
         static_cast<int>(args.patch), args.normalization.data, patches, stride);
}

EYESHOT_KERNEL(kRowThreads)
AddPositionsKernel(const Bf16* positions, const int32_t* position_ids, int width, Bf16* y, int64_t y_stride) {
  WaitForPrevious();
  const Bf16* position = positions + static_cast<int64_t>(position_ids[BlockX()]) * width;
  Bf16* row = y + BlockX() * y_stride;
  for (int i = ThreadIndex(); i < width; i += BlockThreads()) row[i] = ToBf16(FromBf16(row[i]) + FromBf16(position[i]));
}

void AddPositions(StreamHandle stream, const uint16_t* positions, DeviceSpan<const int32_t> position_ids,
                  MatrixView y) {
  Launch(&AddPositionsKernel, {.x = y.rows}, kRowThreads, 0, stream, reinterpret_cast<const Bf16*>(positions),
         position_ids.data, static_cast<int>(y.cols), Elements<Bf16>(y), y.stride);
}

// One block a visual token; the row inside the block of patches is slowest.
EYESHOT_KERNEL(kRowThreads)
PixelShuffleKernel(const uint16_t* x, int64_t x_stride, int64_t grid, int scale, int cols, uint16_t* shuffled) {
  WaitForPrevious();
  const int64_t side = grid / scale;
  const int64_t tile = BlockX() / (side * side);
  const int64_t top = BlockX() / side % side * scale;
  const int64_t left = BlockX() % side * scale;
  uint16_t* out = shuffled + static_cast<int64_t>(BlockX()) * cols * scale * scale;
  for (int patch = 0; patch < scale * scale; ++patch) {
    const uint16_t* from = x + ((tile * grid + top + patch / scale) * grid + left + patch % scale) * x_stride;
    for (int i = ThreadIndex(); i < cols; i += BlockThreads()) out[patch * cols + i] = from[i];
  }
}

void PixelShuffle(StreamHandle stream, ConstMatrixView x, int64_t grid, int64_t scale, uint16_t* shuffled) {
  Launch(&PixelShuffleKernel, {.x = x.rows / (scale * scale)}, kRowThreads, 0, stream, Elements<uint16_t>(x), x.stride,
         grid, static_cast<int>(scale), static_cast<int>(x.cols), shuffled);
}

// kAtOnce: 8, or 1 where rows aren't whole eights. Grid: (parts of a row, rows).
template <int kAtOnce>
EYESHOT_KERNEL(kRowThreads)
SiluGateKernel(const Bf16* x, int64_t x_stride, int cols, Bf16* y, int64_t y_stride) {
  WaitForPrevious();
  const int64_t row = BlockX();
  const int i = (BlockY() * BlockThreads() + ThreadIndex()) * kAtOnce;
  if (i >= cols) return;
  const Bf16* gate = x + row * x_stride + i;
  Bf16* to = y + row * y_stride + i;
  if constexpr (kAtOnce == 8) {
    float gates[8];
    float ups[8];
    LoadEight(gate, gates);
    LoadEight(gate + cols, ups);
    EYESHOT_UNROLL
    for (int j = 0; j < 8; ++j) gates[j] = Silu(gates[j]) * ups[j];
    StoreEight(to, gates);
  } else {
    *to = ToBf16(Silu(FromBf16(gate[0])) * FromBf16(gate[cols]));
  }
}

template <int kAtOnce>
void LaunchSiluGate(StreamHandle stream, ConstMatrixView x, MatrixView y) {
  const int64_t steps = CeilDiv(y.cols, kAtOnce);
  const int64_t threads = std::min<int64_t>(kRowThreads, CeilDiv(steps, kWarp) * kWarp);
  Launch(&SiluGateKernel<kAtOnce>, {.x = y.rows, .y = CeilDiv(steps, threads)}, static_cast<int>(threads), 0, stream,
         Elements<Bf16>(x), x.stride, static_cast<int>(y.cols), Elements<Bf16>(y), y.stride);
}

void SiluGate(StreamHandle stream, ConstMatrixView x, MatrixView y) {
  if (HasWholeEights(x) && HasWholeEights(y)) {
    LaunchSiluGate<8>(stream, x, y);
  } else {
    LaunchSiluGate<1>(stream, x, y);
  }
}

EYESHOT_KERNEL(kRowThreads)
MarkSeenKernel(const int32_t* ids, int64_t count, uint8_t* seen, int64_t vocabulary) {
  WaitForPrevious();
  const int64_t i = static_cast<int64_t>(BlockX()) * BlockThreads() + ThreadIndex();
  if (i < count && ids[i] >= 0 && ids[i] < vocabulary) seen[ids[i]] = 1;
}

void MarkSeen(StreamHandle stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen) {
  if (ids.size == 0) return;
  Launch(&MarkSeenKernel, {.x = CeilDiv(ids.size, kRowThreads)}, kRowThreads, 0, stream, ids.data, ids.size, seen.data,
         seen.size);
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_ROWS_INL_H_
