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

constexpr int kMaxThreads = 512;
constexpr int kOutputs = 16;  // of a block: rows of a fragment of weights
constexpr int kGroup = 32;  // inputs that a warp takes at a time, eight for each lane of a quad
// Sums of a fragment: 16 outputs of 8 rows of x.
constexpr int kSums = kOutputs * 8;

// What pays, see TakesSkinny().
constexpr int64_t kFewRows = 16;
constexpr int64_t kSmallWeight = int64_t{4} << 20;  // elements
constexpr int64_t kFewOutputs = 1024;
constexpr int64_t kManyInputs = 1024;

// Blocks of kTiles * 8 rows of x. Those of gated weights have half the warps where both halves' sums take the
// registers.
template <int kTiles, int kSets>
struct Shape {
  static constexpr bool kLarge = kTiles * kSets > 4;
  static constexpr int kWarps = kMaxThreads / kWarp / (kLarge ? 2 : 1);
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kRows = kTiles * 8;
  static constexpr int kAhead = kLarge ? 1 : 2;  // groups of weights that are on their way
  static constexpr size_t kBytes =
      sizeof(float) * (static_cast<size_t>(kWarps) * kSets * kTiles * kSums + static_cast<size_t>(kWarps + 1) * kRows);
};

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

// Eight inputs of each of a lane's rows of x, which all are on their way together; of rows that aren't there, the last
// one's in their place.
template <int kTiles>
struct XGroup {
  Vec16 eights[kTiles];

  EYESHOT_DEVICE static int64_t At(const VectorTask& task, int first_row, int tile, int first) {
    const int row = first_row + tile * 8 + Lane() / 4;
    return (row < task.rows ? row : task.rows - 1) * task.x_stride + first;
  }
  EYESHOT_DEVICE void Load(const VectorTask& task, int first_row, int first) {
    EYESHOT_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      eights[tile] = Load16(static_cast<const uint16_t*>(task.x) + At(task, first_row, tile, first));
    }
  }
  // Of float32, before the norm's factor of the row; adds their squares.
  EYESHOT_DEVICE void LoadNormed(const VectorTask& task, int first_row, int first, const float (&gain)[8],
                                 float (&squares)[kTiles]) {
    float values[kTiles][8];
    EYESHOT_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      LoadEight(static_cast<const float*>(task.x) + At(task, first_row, tile, first), values[tile]);
    }
    EYESHOT_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      EYESHOT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const float low = values[tile][2 * i];
        const float high = values[tile][2 * i + 1];
        squares[tile] += low * low + high * high;
        eights[tile].word[i] = PackBf16(low * gain[2 * i], high * gain[2 * i + 1]);
      }
    }
  }
};

// What the warps of a block have to add up.
template <int kTiles, int kSets>
struct Shared {
  using Block = Shape<kTiles, kSets>;
  float* sums;  // [warps, kSets, kTiles, kSums]
  float* squares;  // [warps, rows]
  float* scales;  // [rows]

  EYESHOT_DEVICE Shared() {
    sums = reinterpret_cast<float*>(SharedMemory());
    squares = sums + Block::kWarps * kSets * kTiles * kSums;
    scales = squares + Block::kWarps * Block::kRows;
  }
  EYESHOT_DEVICE void Leave(const float (&own)[kSets][kTiles][4], const float (&own_squares)[kTiles], bool normed) {
    EYESHOT_UNROLL
    for (int tile = 0; tile < kTiles; ++tile) {
      EYESHOT_UNROLL
      for (int set = 0; set < kSets; ++set) {
        float* to = sums + ((WarpIndex() * kSets + set) * kTiles + tile) * kSums + Lane();
        EYESHOT_UNROLL
        for (int i = 0; i < 4; ++i) to[i * kWarp] = own[set][tile][i];
      }
      if (!normed) continue;
      float square = own_squares[tile];
      square += ShuffleXor(square, 1);
      square += ShuffleXor(square, 2);
      if (Lane() % 4 == 0) squares[WarpIndex() * Block::kRows + tile * 8 + Lane() / 4] = square;
    }
    SyncThreads();
  }
  // The factors of an RMS norm of each row, from the squares that warps found.
  EYESHOT_DEVICE void FindScales(const VectorTask& task) const {
    if (ThreadIndex() < Block::kRows) {
      float square = 0;
      EYESHOT_UNROLL
      for (int warp = 0; warp < Block::kWarps; ++warp) square += squares[warp * Block::kRows + ThreadIndex()];
      scales[ThreadIndex()] = Rsqrt(square / static_cast<float>(task.inputs) + task.epsilon);
    }
    SyncThreads();
  }
  // Of element `at` of a fragment of tile `tile`.
  EYESHOT_DEVICE float Total(int set, int tile, int at) const {
    float total = 0;
    EYESHOT_UNROLL
    for (int warp = 0; warp < Block::kWarps; ++warp) total += sums[((warp * kSets + set) * kTiles + tile) * kSums + at];
    return total;
  }
};

// A block has 16 outputs (of a gated weight: 16 gates and their ups) of 8 kTiles rows; its warps share the inputs.
// Grid: (outputs, rows).
template <int kTiles, int kSets>
EYESHOT_RESIDENT_KERNEL((Shape<kTiles, kSets>::kThreads), (Shape<kTiles, kSets>::kLarge ? 2 : 1))
SkinnyKernel(VectorTask task) {
  using Block = Shape<kTiles, kSets>;
  constexpr int kWarps = Block::kWarps;
  constexpr int kAhead = Block::kAhead;
  const int64_t first = int64_t{BlockX()} * kOutputs;
  const int first_row = BlockY() * Block::kRows;
  const bool normed = task.gain != nullptr;
  const WeightRows<kSets> weights(task, first);
  WeightGroup ahead[kAhead][kSets];
  float gains[kAhead][8];
  const auto load = [&](int group, int slot) {
    weights.Load(group, ahead[slot]);
    if (normed && group < weights.groups) LoadEight(task.gain + group * kGroup + Lane() % 4 * 8, gains[slot]);
  };
  EYESHOT_UNROLL
  for (int i = 0; i < kAhead; ++i) load(WarpIndex() + i * kWarps, i);
  WaitForPrevious();

  float sums[kSets][kTiles][4] = {};
  float squares[kTiles] = {};
  for (int base = WarpIndex(); base < weights.groups; base += kAhead * kWarps) {
    EYESHOT_UNROLL
    for (int i = 0; i < kAhead; ++i) {
      const int group = base + i * kWarps;
      if (group >= weights.groups) break;
      XGroup<kTiles> x;
      if (normed) {
        x.LoadNormed(task, first_row, group * kGroup + Lane() % 4 * 8, gains[i], squares);
      } else {
        x.Load(task, first_row, group * kGroup + Lane() % 4 * 8);
      }
      EYESHOT_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        EYESHOT_UNROLL
        for (int set = 0; set < kSets; ++set) {
          const WeightGroup& w = ahead[i][set];
          EYESHOT_UNROLL
          for (int j = 0; j < 4; j += 2) {
            MmaBf16(sums[set][tile], {w.low.word[j], w.high.word[j], w.low.word[j + 1], w.high.word[j + 1]},
                    {x.eights[tile].word[j], x.eights[tile].word[j + 1]});
          }
        }
      }
      load(group + kAhead * kWarps, i);
    }
  }

  Shared<kTiles, kSets> shared;
  shared.Leave(sums, squares, normed);
  if (normed) shared.FindScales(task);
  for (int i = ThreadIndex(); i < kTiles * kSums; i += Block::kThreads) {
    const int at = i % kSums;  // 32 (2 (output / 8) + row % 2) + 4 (output % 8) + row / 2 of a tile's
    const int row = i / kSums * 8 + at % 4 * 2 + at / kWarp % 2;
    const int64_t output = first + at % kWarp / 4 + at / (2 * kWarp) * 8;
    if (first_row + row >= task.rows || output >= task.outputs) continue;
    const float scale = normed ? shared.scales[row] : 1.0f;
    float value = shared.Total(0, i / kSums, at) * scale;
    if constexpr (kSets == 2) value = Silu(value) * (shared.Total(1, i / kSums, at) * scale);
    StoreElement(task, first_row + row, output, value, ResidualAt(task, first_row + row, output));
  }
}

template <int kTiles, int kSets>
void LaunchSkinnyOf(StreamHandle stream, const VectorTask& task) {
  using Block = Shape<kTiles, kSets>;
  Launch(&SkinnyKernel<kTiles, kSets>, {.x = CeilDiv(task.outputs, kOutputs), .y = CeilDiv(task.rows, Block::kRows)},
         Block::kThreads, Block::kBytes, stream, task);
}

template <int kTiles>
void LaunchSkinny(StreamHandle stream, const VectorTask& task) {
  if (task.gated) {
    LaunchSkinnyOf<kTiles, 2>(stream, task);
  } else {
    LaunchSkinnyOf<kTiles, 1>(stream, task);
  }
}

}  // namespace skinny

bool TakesSkinny(const WeightMatrix& weight, const ConstMatrixView& x) {
  const bool whole = reinterpret_cast<uintptr_t>(x.data) % sizeof(Vec16) == 0 && x.stride % 8 == 0;
  // A single row is for MatrixVector, but where that has too few warps for the multiprocessors. Every block reads all
  // of its rows of x: many are for few blocks.
  const bool pays = x.rows == 1 ? weight.outputs <= skinny::kFewOutputs && weight.inputs >= skinny::kManyInputs
                                : x.rows <= skinny::kFewRows || weight.outputs * weight.inputs <= skinny::kSmallWeight;
  return weight.format == WeightMatrix::Format::kBf16 && x.cols == weight.inputs &&
         weight.inputs % skinny::kGroup == 0 && x.rows <= kMaxSkinnyRows && whole && pays;
}

void SkinnyProduct(StreamHandle stream, const WeightMatrix& weight, const float* bias, const LinearArgs& args,
                   const NormArgs* norm, const float* gain) {
  VectorTask task = PlanVector(weight, bias, args);
  EYESHOT_CHECK(weight.inputs % skinny::kGroup == 0 && args.x.rows <= kMaxSkinnyRows);
  EYESHOT_CHECK(args.x.dtype == DType::kBF16 && task.aligned);
  if (norm != nullptr) {
    EYESHOT_CHECK(norm->x.dtype == DType::kF32 && norm->passing);
    TakeNorm(*norm, gain, &task);
  }
  if (task.rows <= 8) {
    skinny::LaunchSkinny<1>(stream, task);
  } else if (task.rows <= 16) {
    skinny::LaunchSkinny<2>(stream, task);
  } else {
    skinny::LaunchSkinny<4>(stream, task);
  }
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_SKINNY_INL_H_
