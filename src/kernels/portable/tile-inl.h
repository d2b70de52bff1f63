// The inner kernel of every matrix product: a tile of kRows rows and one, two or four vectors of columns, kept in
// registers over the whole depth. Each element is one chain of multiply-adds in the order of the depth, whatever the
// tile: an answer doesn't change with those that are written beside it.
//
// The left operand ("A") is packed by row panels: [depth / 16][rows][16] floats, the last group partly filled.
// Sixteen successive elements of a row are one cache line, so packing is copying lines (no transposition), every
// address of the inner loop is one register and a constant, and rows never meet in one cache set however the
// matrix is strided.
#if defined(EYESHOT_KERNELS_PORTABLE_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_TILE_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_TILE_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_TILE_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// Rows of the largest tile: two accumulators each, two registers for the right operand and one for the left.
#if HWY_TARGET == HWY_AVX3
inline constexpr int kMaxRows = 14;  // of 32 registers
#elif HWY_TARGET == HWY_NEON
inline constexpr int kMaxRows = 10;  // of 32 registers; GCC 12 loads all rows' left operands first, and 12 rows spill
#else
inline constexpr int kMaxRows = 6;  // of 16 registers
#endif

// A fused multiply-add takes 4 cycles and two start in each, so 8 sums must be on their way: few rows take more columns
// at a time. Not more sums for parts of the depth: an element must not depend on how many rows are beside its own.
inline constexpr int kWideVectors = 4;
inline constexpr int kWideRows = 3;

// --- Right operands. Their elements hold kDepth successive depth steps; Load<i>() reads kVectors vectors of step i of
// them.

// A weight panel of bfloat16 (see weights.h): each word holds two inputs of an output.
template <int kVectorCount>
struct PanelColumns {
  using Element = uint32_t;
  static constexpr int kVectors = kVectorCount;
  static constexpr int kDepth = 2;
  static constexpr bool kStreamed = false;
  template <int kStep>
  static HWY_INLINE void Load(const Element* b, Vec (&columns)[kVectors]) {
    const Words d;
    for (int v = 0; v < kVectors; ++v) {
      const auto words = hn::LoadU(d, b + v * kLanes);
      columns[v] =
          hn::BitCast(Floats(), kStep == 0 ? hn::ShiftLeft<16>(words) : hn::And(words, hn::Set(d, 0xffff0000u)));
    }
  }
};

// The same for so few rows that they wait for weights.
template <int kVectorCount>
struct StreamedPanelColumns : PanelColumns<kVectorCount> {
  static constexpr bool kStreamed = true;
};

// Rows of float32.
template <int kVectorCount>
struct FloatColumns {
  using Element = float;
  static constexpr int kVectors = kVectorCount;
  static constexpr int kDepth = 1;
  static constexpr bool kStreamed = false;
  template <int kStep>
  static HWY_INLINE void Load(const Element* b, Vec (&columns)[kVectors]) {
    for (int v = 0; v < kVectors; ++v) columns[v] = hn::LoadU(Floats(), b + v * kLanes);
  }
};

// Rows of half precision.
template <int kVectorCount>
struct F16Columns {
  using Element = uint16_t;
  static constexpr int kVectors = kVectorCount;
  static constexpr int kDepth = 1;
  static constexpr bool kStreamed = true;
  template <int kStep>
  static HWY_INLINE void Load(const Element* b, Vec (&columns)[kVectors]) {
    const hn::Rebind<hwy::float16_t, Floats> half;
    const hn::Rebind<uint16_t, Floats> bits;
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = hn::PromoteTo(Floats(), hn::BitCast(half, hn::LoadU(bits, b + v * kLanes)));
    }
  }
};

// Rows of 8-bit integers.
template <int kVectorCount>
struct I8Columns {
  using Element = int8_t;
  static constexpr int kVectors = kVectorCount;
  static constexpr int kDepth = 1;
  static constexpr bool kStreamed = true;
  template <int kStep>
  static HWY_INLINE void Load(const Element* b, Vec (&columns)[kVectors]) {
    const hn::Rebind<int8_t, Floats> bytes;
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = hn::ConvertTo(Floats(), hn::PromoteTo(Ints(), hn::LoadU(bytes, b + v * kLanes)));
    }
  }
};

// Where a tile goes: element (r, j) at c[r * row_stride + j / 16 * group_stride + j % 16]. With a group stride of
// 16 that's a row-major matrix; otherwise it can be the packed left operand of the next product.
struct TileTarget {
  float* c;
  int64_t row_stride;
  int64_t group_stride;
  bool accumulate;  // goes on from the sums that are there
};

// `ahead` is asked for if the Columns are kStreamed.
template <class Columns>
using TileFunction = void (*)(const float* a, const typename Columns::Element* b, int64_t b_stride, int64_t depth,
                              const TileTarget& target, const Ahead& ahead);

// a: packed rows; b: [depth / kDepth] rows, b_stride elements apart. Where depth ends inside an element of b, the next
// element of a's rows must be zero.
template <class Columns, int kRows>
void Tile(const float* HWY_RESTRICT a, const typename Columns::Element* HWY_RESTRICT b, int64_t b_stride, int64_t depth,
          const TileTarget& target, const Ahead& ahead) {
  constexpr int kVectors = Columns::kVectors;
  constexpr int kDepth = Columns::kDepth;
  // Lines of b that a step of it reads, and so as many that are asked for.
  constexpr int64_t kLines = std::max<int64_t>(1, kVectors * kLanes * sizeof(typename Columns::Element) / 64);
  const uint8_t* next = ahead.next;
  const int64_t next_step = Columns::kStreamed ? ahead.bytes / (DivideUp(depth, int64_t{kDepth}) * kLines) : 0;
  const Floats d;
  const auto place = [&](int r, int v) HWY_ATTR {
    return target.c + r * target.row_stride + v * kLanes / kGroup * target.group_stride + v * kLanes % kGroup;
  };
  Vec sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[r][v] = target.accumulate ? hn::LoadU(d, place(r, v)) : hn::Zero(d);
  }
  // One element of b's rows: kDepth steps from a_step on.
  const auto step = [&]<int... kSteps>(const float* HWY_RESTRICT a_step, std::integer_sequence<int, kSteps...>)
                        HWY_ATTR {
                          const auto one = [&]<int kStep>(std::integral_constant<int, kStep>) HWY_ATTR {
                            Vec columns[kVectors];
                            Columns::template Load<kStep>(b, columns);
#pragma GCC unroll 16
                            for (int r = 0; r < kRows; ++r) {
                              const Vec left = hn::Set(d, a_step[r * kGroup + kStep]);
#pragma GCC unroll 4
                              for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(left, columns[v], sums[r][v]);
                            }
                          };
                          (one(std::integral_constant<int, kSteps>()), ...);
                          if constexpr (Columns::kStreamed) {
                            for (int64_t i = 0; i < kLines; ++i, next += next_step) __builtin_prefetch(next, 0, 2);
                          }
                          b += b_stride;
                        };
  constexpr auto kSteps = std::make_integer_sequence<int, kDepth>();
  for (; depth >= kGroup; depth -= kGroup, a += kRows * kGroup) {
    for (int k = 0; k < kGroup; k += kDepth) step(a + k, kSteps);
  }
  for (int64_t k = 0; k < depth; k += kDepth) step(a + k, kSteps);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], d, place(r, v));
  }
}

template <class Columns, int... kRows>
constexpr std::array<TileFunction<Columns>, sizeof...(kRows)> TileTable(std::integer_sequence<int, kRows...>) {
  return {&Tile<Columns, kRows + 1>...};
}

// The tile of `rows` rows, 1 to kMaxRows; to kWideRows for kWideVectors vectors.
template <class Columns>
TileFunction<Columns> TileOf(int64_t rows) {
  constexpr int kMost = Columns::kVectors == kWideVectors ? kWideRows : kMaxRows;
  static constexpr auto kTable = TileTable<Columns>(std::make_integer_sequence<int, kMost>());
  return kTable[static_cast<size_t>(rows - 1)];
}

// The tile of as many vectors of columns as suit the rows, at most `most` (at least 1). Returns how many they were.
// Takes its share of `ahead`, which is for all of them.
template <template <int> class ColumnsOf>
HWY_INLINE int64_t MultiplyColumns(int64_t rows, int64_t most, const float* a, const typename ColumnsOf<1>::Element* b,
                                   int64_t b_stride, int64_t depth, const TileTarget& target, Ahead& ahead) {
  if (rows <= kWideRows && most >= kWideVectors) {
    TileOf<ColumnsOf<kWideVectors>>(rows)(a, b, b_stride, depth, target, ahead.Take(kWideVectors, most));
    return kWideVectors;
  }
  if (most >= 2) {
    TileOf<ColumnsOf<2>>(rows)(a, b, b_stride, depth, target, ahead.Take(2, most));
    return 2;
  }
  TileOf<ColumnsOf<1>>(rows)(a, b, b_stride, depth, target, ahead.Take(1, 1));
  return 1;
}

// dst: [depth / 16][rows][16] <- row r of it from src, times `scale`. A last group that isn't full gets one zero more.
HWY_INLINE void PackRow(const float* HWY_RESTRICT src, int64_t depth, float scale, int64_t rows, int64_t r,
                        float* HWY_RESTRICT dst) {
  const Floats d;
  const Vec factor = hn::Set(d, scale);
  dst += r * kGroup;
  int64_t k = 0;
  for (; k + kGroup <= depth; k += kGroup, dst += rows * kGroup) {
    for (int i = 0; i < kGroup; i += kLanes) hn::StoreU(hn::Mul(factor, hn::LoadU(d, src + k + i)), d, dst + i);
  }
  if (k == depth) return;
  for (int64_t i = 0; k + i < depth; ++i) dst[i] = scale * src[k + i];
  dst[depth - k] = 0;
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_TILE_INL_H_
