// Products of up to 64 rows with a bfloat16 weight on tensor cores ("skinny" products), as batches of decoding steps
// need them: bound by reading the weight and by the way from one kernel to the next, so that an RMS norm, the gate and
// the residual are done along.
#ifndef EYESHOT_KERNELS_CUDA_SKINNY_INL_H_
#define EYESHOT_KERNELS_CUDA_SKINNY_INL_H_

#include <algorithm>

#include "kernels/cuda/linear-inl.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {
namespace skinny {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int kOutputs = 16;  // of a block: rows of a fragment of weights
constexpr int kGroup = 32;  // inputs that a warp takes at a time, eight for each lane of a quad
constexpr int64_t kFewRows = 16;
constexpr int64_t kSmallWeight = int64_t{4} << 20;  // elements

// Sums of a fragment: 16 outputs of 8 rows of x.
constexpr int kSums = kOutputs * 8;

template <int kTiles, int kSets>
constexpr size_t kBytes = sizeof(float) * (static_cast<size_t>(kWarps) * kSets * kTiles * kSums +
                                           static_cast<size_t>(kWarps + 1) * kTiles * 8);

// Inputs of weight rows `g` and `g + 8`, as the words of two fragments. They stand in another order than their
// addresses; a product doesn't mind as long as both operands have the same.
struct WeightGroup {
  Vec16 low;
  Vec16 high;
};

// The rows of weights of a lane, of the block's outputs and, of a gated weight, of their gates' second halves.
template <int kSets>
struct WeightRows {
  const uint16_t* low[kSets];
  const uint16_t* high[kSets];
  int groups;

  EYESHOT_DEVICE WeightRows(const VectorTask& task, int64_t first) {
    groups = task.inputs / kGroup;
    EYESHOT_UNROLL
    for (int set = 0; set < kSets; ++set) {
      low[set] = Row(task, first + Lane() / 4, set);
      high[set] = Row(task, first + Lane() / 4 + 8, set);
    }
  }
  EYESHOT_DEVICE static const uint16_t* Row(const VectorTask& task, int64_t output, int set) {
    const int64_t last = task.outputs - 1;  // in place of outputs that aren't there
    const int64_t row = (output < last ? output : last) + set * task.outputs;
    return static_cast<const uint16_t*>(task.values) + row * task.inputs + Lane() % 4 * 8;
  }
  EYESHOT_DEVICE void Load(int group, WeightGroup (&to)[kSets]) const {
    if (group >= groups) return;
    EYESHOT_UNROLL
    for (int set = 0; set < kSets; ++set) {
      to[set].low = LoadOnce16(low[set] + group * kGroup);
      to[set].high = LoadOnce16(high[set] + group * kGroup);
    }
  }
};

// Eight inputs of row `row` of x for the product, before the norm's factor of the row; adds their squares to `square`.
EYESHOT_DEVICE Vec16 LoadX(const VectorTask& task, int row, int first, float* square) {
  if (row >= task.rows) return {};
  if (task.gain == nullptr) {
    return Load16(static_cast<const uint16_t*>(task.x) + row * task.x_stride + first);
  }
  float values[8];
  EightOfNormed(task, row, first / 8, values);
  float gain[8];
  LoadEight(task.gain + first, gain);
  Vec16 eight;
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) {
    *square += values[2 * i] * values[2 * i] + values[2 * i + 1] * values[2 * i + 1];
    eight.word[i] = PackBf16(values[2 * i] * gain[2 * i], values[2 * i + 1] * gain[2 * i + 1]);
  }
  return eight;
}

// What the warps of a block have to add up.
template <int kTiles, int kSets>
struct Shared {
  float* sums;  // [kWarps, kSets, kTiles, kSums]
  float* squares;  // [kWarps, kTiles * 8]
  float* scales;  // [kTiles * 8]

  EYESHOT_DEVICE Shared() {
    sums = reinterpret_cast<float*>(SharedMemory());
    squares = sums + kWarps * kSets * kTiles * kSums;
    scales = squares + kWarps * kTiles * 8;
  }
  // Of element `at` of a fragment of tile `tile`.
  EYESHOT_DEVICE float Total(int set, int tile, int at) const {
    float total = 0;
    EYESHOT_UNROLL
    for (int warp = 0; warp < kWarps; ++warp) total += sums[((warp * kSets + set) * kTiles + tile) * kSums + at];
    return total;
  }
};

// The factors of an RMS norm of each row, from the squares that warps found.
template <int kTiles, int kSets>
EYESHOT_DEVICE void FindScales(const VectorTask& task, const Shared<kTiles, kSets>& shared) {
  if (ThreadIndex() < kTiles * 8) {
    float square = 0;
    EYESHOT_UNROLL
    for (int warp = 0; warp < kWarps; ++warp) square += shared.squares[warp * kTiles * 8 + ThreadIndex()];
    shared.scales[ThreadIndex()] = Rsqrt(square / static_cast<float>(task.inputs) + task.epsilon);
  }
  SyncThreads();
}

// A block has 16 outputs (of a gated weight: 16 gates and their ups) of all rows; its warps share the inputs.
// kTiles: of 8 rows. Grid: (outputs / 16).
template <int kTiles, int kSets>
EYESHOT_KERNEL(kThreads)
SkinnyKernel(VectorTask task) {
  constexpr int kAhead = kTiles * kSets > 8 ? 1 : 2;
  const int64_t first = int64_t{BlockX()} * kOutputs;
  const WeightRows<kSets> weights(task, first);
  WeightGroup ahead[kAhead][kSets];
  EYESHOT_UNROLL
  for (int i = 0; i < kAhead; ++i) weights.Load(WarpIndex() + i * kWarps, ahead[i]);
  WaitForPrevious();

  float sums[kSets][kTiles][4] = {};
  float squares[kTiles] = {};
  for (int base = WarpIndex(); base < weights.groups; base += kAhead * kWarps) {
    EYESHOT_UNROLL
    for (int i = 0; i < kAhead; ++i) {
      const int group = base + i * kWarps;
      if (group >= weights.groups) break;
      EYESHOT_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        const Vec16 x = LoadX(task, tile * 8 + Lane() / 4, group * kGroup + Lane() % 4 * 8, &squares[tile]);
        EYESHOT_UNROLL
        for (int set = 0; set < kSets; ++set) {
          const WeightGroup& w = ahead[i][set];
          EYESHOT_UNROLL
          for (int j = 0; j < 4; j += 2) {
            MmaBf16(sums[set][tile], {w.low.word[j], w.high.word[j], w.low.word[j + 1], w.high.word[j + 1]},
                    {x.word[j], x.word[j + 1]});
          }
        }
      }
      weights.Load(group + kAhead * kWarps, ahead[i]);
    }
  }

  const Shared<kTiles, kSets> shared;
  EYESHOT_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    EYESHOT_UNROLL
    for (int set = 0; set < kSets; ++set) {
      float* to = shared.sums + ((WarpIndex() * kSets + set) * kTiles + tile) * kSums + Lane();
      EYESHOT_UNROLL
      for (int i = 0; i < 4; ++i) to[i * kWarp] = sums[set][tile][i];
    }
    if (task.gain == nullptr) continue;
    float square = squares[tile];
    square += ShuffleXor(square, 1);
    square += ShuffleXor(square, 2);
    if (Lane() % 4 == 0) shared.squares[WarpIndex() * kTiles * 8 + tile * 8 + Lane() / 4] = square;
  }
  SyncThreads();
  if (task.gain != nullptr) FindScales(task, shared);

  for (int i = ThreadIndex(); i < kTiles * kSums; i += kThreads) {
    const int at = i % kSums;  // 32 (2 (output / 8) + row % 2) + 4 (output % 8) + row / 2 of a tile's
    const int row = i / kSums * 8 + at % 4 * 2 + at / kWarp % 2;
    const int64_t output = first + at % kWarp / 4 + at / (2 * kWarp) * 8;
    if (row >= task.rows || output >= task.outputs) continue;
    const float scale = task.gain != nullptr ? shared.scales[row] : 1.0f;
    float value = shared.Total(0, i / kSums, at) * scale;
    if constexpr (kSets == 2) value = Silu(value) * (shared.Total(1, i / kSums, at) * scale);
    StoreElement(task, row, output, value, ResidualAt(task, row, output));
  }
}

template <int kTiles>
void LaunchSkinny(StreamHandle stream, const VectorTask& task) {
  const Grid grid = {.x = CeilDiv(task.outputs, kOutputs)};
  if (task.gated) {
    Launch(&SkinnyKernel<kTiles, 2>, grid, kThreads, kBytes<kTiles, 2>, stream, task);
  } else {
    Launch(&SkinnyKernel<kTiles, 1>, grid, kThreads, kBytes<kTiles, 1>, stream, task);
  }
}

}  // namespace skinny

bool TakesSkinny(const WeightMatrix& weight, const ConstMatrixView& x) {
  const bool whole = reinterpret_cast<uintptr_t>(x.data) % sizeof(Vec16) == 0 && x.stride % 8 == 0;
  // Every block reads all of x: many rows are for few blocks.
  const bool pays = x.rows <= skinny::kFewRows || weight.outputs * weight.inputs <= skinny::kSmallWeight;
  return weight.format == WeightMatrix::Format::kBf16 && x.cols == weight.inputs &&
         weight.inputs % skinny::kGroup == 0 && x.rows <= kMaxSkinnyRows && whole && pays;
}

void SkinnyProduct(StreamHandle stream, const WeightMatrix& weight, const float* bias, const LinearArgs& args,
                   const NormArgs* norm, const float* gain) {
  VectorTask task = PlanVector(weight, bias, args);
  EYESHOT_CHECK(TakesSkinny(weight, args.x) && args.x.dtype == DType::kBF16);
  if (norm != nullptr) {
    EYESHOT_CHECK(TakesSkinny(weight, norm->x) && norm->passing);
    TakeNorm(*norm, gain, &task);
  }
  if (task.rows <= 8) {
    skinny::LaunchSkinny<1>(stream, task);
  } else if (task.rows <= 16) {
    skinny::LaunchSkinny<2>(stream, task);
  } else if (task.rows <= 32) {
    skinny::LaunchSkinny<4>(stream, task);
  } else {
    skinny::LaunchSkinny<8>(stream, task);
  }
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_SKINNY_INL_H_
