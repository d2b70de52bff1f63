// Operations on rows: norms, gathers, copies, patches, pixel shuffle, gates.
#ifndef EYESHOT_KERNELS_CUDA_ROWS_INL_H_
#define EYESHOT_KERNELS_CUDA_ROWS_INL_H_

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

// One block a row. The row is read twice, the second time from L1.
EYESHOT_KERNEL(kRowThreads)
NormKernel(const Bf16* x, int64_t x_stride, const float* gain, const float* bias, float epsilon, int cols, Bf16* y,
           int64_t y_stride) {
  auto* scratch = reinterpret_cast<float*>(SharedMemory());
  const Bf16* from = x + BlockX() * x_stride;
  Bf16* to = y + BlockX() * y_stride;
  const float share = 1.0f / static_cast<float>(cols);
  float mean = 0;
  if (bias != nullptr) {
    float sum = 0;
    for (int i = ThreadIndex(); i < cols; i += BlockThreads()) sum += FromBf16(from[i]);
    mean = BlockSum(sum, scratch) * share;
  }
  float square = 0;
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
    const float value = FromBf16(from[i]) - mean;
    square += value * value;
  }
  const float scale = Rsqrt(BlockSum(square, scratch) * share + epsilon);
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
    const float value = (FromBf16(from[i]) - mean) * scale * gain[i];
    to[i] = ToBf16(bias == nullptr ? value : value + bias[i]);
  }
}

void Norm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias) {
  Launch(&NormKernel, {.x = args.x.rows}, kRowThreads, kWarp * sizeof(float), stream, Elements<Bf16>(args.x),
         args.x.stride, gain, bias, args.epsilon, static_cast<int>(args.x.cols), Elements<Bf16>(args.y), args.y.stride);
}

// Rows of bytes; one block a row.
EYESHOT_KERNEL(kRowThreads)
CopyRowsKernel(const uint16_t* x, int64_t x_stride, const int32_t* from, const int32_t* to, int cols, uint16_t* y,
               int64_t y_stride) {
  const int64_t source = from == nullptr ? BlockX() : from[BlockX()];
  const int64_t target = to == nullptr ? BlockX() : to[BlockX()];
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) y[target * y_stride + i] = x[source * x_stride + i];
}

void CopyRows(StreamHandle stream, const CopyRowsArgs& args) {
  const auto words = static_cast<int64_t>(DTypeBytes(args.x.dtype) / sizeof(uint16_t));
  EYESHOT_CHECK(words > 0);
  Launch(&CopyRowsKernel, {.x = args.count}, kRowThreads, 0, stream, Elements<uint16_t>(args.x), args.x.stride * words,
         args.from.data, args.to.data, static_cast<int>(args.x.cols * words), Elements<uint16_t>(args.y),
         args.y.stride * words);
}

// Element i of a row of a weight. For single rows: gathers of embeddings.
EYESHOT_DEVICE float WeightElement(const WeightMatrix& w, int64_t row, int64_t i) {
  const int64_t at = row * w.inputs + i;
  if (w.format == WeightMatrix::Format::kBf16) return FromBf16(static_cast<const Bf16*>(w.values)[at]);
  constexpr int64_t kBlock = 32;
  const int64_t block = row * CeilDiv(w.inputs, kBlock) + i / kBlock;
  const float scale = FromHalf(static_cast<const uint16_t*>(w.scales)[block]);
  if (w.format == WeightMatrix::Format::kQ8) {
    return static_cast<float>(static_cast<const int8_t*>(w.values)[at]) * scale;
  }
  const uint8_t pair = static_cast<const uint8_t*>(w.values)[at / 2];
  return w.levels[at % 2 == 0 ? pair & 15 : pair >> 4] * scale;
}

EYESHOT_KERNEL(kRowThreads)
GatherRowsKernel(WeightMatrix table, const int32_t* ids, int width, Bf16* y, int64_t y_stride) {
  const int64_t id = ids[BlockX()];
  const bool inside = id >= 0 && id < table.outputs;
  for (int i = ThreadIndex(); i < width; i += BlockThreads()) {
    y[BlockX() * y_stride + i] = ToBf16(inside ? WeightElement(table, id, i) : 0.0f);
  }
}

void GatherRows(StreamHandle stream, const WeightMatrix& table, DeviceSpan<const int32_t> ids, MatrixView y) {
  Launch(&GatherRowsKernel, {.x = ids.size}, kRowThreads, 0, stream, table, ids.data, static_cast<int>(y.cols),
         Elements<Bf16>(y), y.stride);
}

// One block a patch; the channel is slowest.
EYESHOT_KERNEL(kRowThreads)
ExtractPatchesKernel(const uint8_t* tiles, int64_t side, int patch, const float* normalization, uint16_t* patches,
                     int64_t stride) {
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

EYESHOT_KERNEL(kRowThreads)
SiluGateKernel(const Bf16* x, int64_t x_stride, int cols, Bf16* y, int64_t y_stride) {
  const Bf16* gate = x + BlockX() * x_stride;
  for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
    const float g = FromBf16(gate[i]);
    y[BlockX() * y_stride + i] = ToBf16(g / (1.0f + Exp(-g)) * FromBf16(gate[cols + i]));
  }
}

void SiluGate(StreamHandle stream, ConstMatrixView x, MatrixView y) {
  Launch(&SiluGateKernel, {.x = y.rows}, kRowThreads, 0, stream, Elements<Bf16>(x), x.stride, static_cast<int>(y.cols),
         Elements<Bf16>(y), y.stride);
}

EYESHOT_KERNEL(kRowThreads)
MarkSeenKernel(const int32_t* ids, int64_t count, uint8_t* seen, int64_t vocabulary) {
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
