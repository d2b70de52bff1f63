#include "kernels/portable/targets.h"  // before any Highway header

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduce/similarity.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each instruction set
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "reduce/similarity.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// A block of sums, a row and its columns stay in registers: of 16 (of 32 of AVX-512, NEON and their like).
constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM;
constexpr int kBlockRows = kManyRegisters ? 6 : 4;
constexpr int kBlockCols = kManyRegisters ? 4 : 3;

// kRows rows of a and kCols of b share their loads.
template <int kRows, int kCols>
void DotBlock(const float* const* HWY_RESTRICT a, const float* const* HWY_RESTRICT b, int64_t width,
              float* HWY_RESTRICT y, int64_t y_stride) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sums[kRows][kCols];
  for (auto& row : sums) {
    for (auto& sum : row) sum = hn::Zero(d);
  }
  int64_t k = 0;
  for (; k + lanes <= width; k += lanes) {
    hn::Vec<decltype(d)> columns[kCols];
    for (int j = 0; j < kCols; ++j) columns[j] = hn::LoadU(d, b[j] + k);
    for (int i = 0; i < kRows; ++i) {
      const auto row = hn::LoadU(d, a[i] + k);
      for (int j = 0; j < kCols; ++j) sums[i][j] = hn::MulAdd(row, columns[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kRows; ++i) {
    for (int j = 0; j < kCols; ++j) {
      float sum = hn::GetLane(hn::SumOfLanes(d, sums[i][j]));
      for (int64_t c = k; c < width; ++c) sum += a[i][c] * b[j][c];
      y[i * y_stride + j] = sum;
    }
  }
}

float Dot(const float* a, const float* b, int64_t width) {
  float sum = 0;
  DotBlock<1, 1>(&a, &b, width, &sum, 1);
  return sum;
}

template <int kRows>
void DotRows(const FloatRows& a, int64_t i, const FloatRows& b, float* y, int64_t y_stride) {
  const float* rows[kRows];
  for (int r = 0; r < kRows; ++r) rows[r] = a.Row(i + r);
  int64_t j = 0;
  for (; j + kBlockCols <= b.count; j += kBlockCols) {
    const float* columns[kBlockCols];
    for (int c = 0; c < kBlockCols; ++c) columns[c] = b.Row(j + c);
    DotBlock<kRows, kBlockCols>(rows, columns, a.width, y + i * y_stride + j, y_stride);
  }
  for (; j < b.count; ++j) {
    const float* const column = b.Row(j);
    DotBlock<kRows, 1>(rows, &column, a.width, y + i * y_stride + j, y_stride);
  }
}

void Dots(const FloatRows& a, const FloatRows& b, float* y, int64_t y_stride) {
  int64_t i = 0;
  for (; i + kBlockRows <= a.count; i += kBlockRows) DotRows<kBlockRows>(a, i, b, y, y_stride);
  for (; i < a.count; ++i) DotRows<1>(a, i, b, y, y_stride);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace eyeshot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eyeshot {

HWY_EXPORT(Dot);
HWY_EXPORT(Dots);

float Dot(const float* a, const float* b, int64_t width) { return HWY_DYNAMIC_DISPATCH(Dot)(a, b, width); }

void Dots(const FloatRows& a, const FloatRows& b, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(Dots)(a, b, y, y_stride);
}

namespace {

// 1 / its length; 0 of a row of zeros.
float UnitFactor(const float* row, int64_t width) {
  const float length = std::sqrt(Dot(row, row, width));
  return length > 0 ? 1 / length : 0;
}

}  // namespace

void UnitRow(const float* row, int64_t width, float* y) {
  const float factor = UnitFactor(row, width);
  std::transform(row, row + width, y, [=](float value) { return value * factor; });
}

std::vector<float> UnitRows(const FloatRows& rows) {
  std::vector<float> units(static_cast<size_t>(rows.count * rows.width));
  for (int64_t i = 0; i < rows.count; ++i) UnitRow(rows.Row(i), rows.width, units.data() + i * rows.width);
  return units;
}

// The matrix is symmetric: blocks below its diagonal are copies. Memory is first touched by the threads that fill it.
LargeArray<float> CosineMatrix(const FloatRows& rows, ThreadPool& pool) {
  constexpr int64_t kBlock = 48;  // rows of 1,024 floats twice: 384 KiB of an L2 cache; whole blocks of sums
  std::vector<float> factors(static_cast<size_t>(rows.count));
  pool.Run(factors.size(),
           [&](size_t i, size_t) { factors[i] = UnitFactor(rows.Row(static_cast<int64_t>(i)), rows.width); });
  LargeArray<float> matrix;
  matrix.resize(static_cast<size_t>(rows.count * rows.count));
  std::vector<std::pair<int64_t, int64_t>> blocks;
  for (int64_t i = 0; i < rows.count; i += kBlock) {
    for (int64_t j = i; j < rows.count; j += kBlock) blocks.emplace_back(i, j);
  }
  const auto part = [&](int64_t begin) -> FloatRows {
    return {rows.Row(begin), std::min(kBlock, rows.count - begin), rows.width, rows.stride};
  };
  pool.Run(blocks.size(), [&](size_t block, size_t) {
    const auto [top, left] = blocks[block];
    const FloatRows a = part(top);
    const FloatRows b = part(left);
    Dots(a, b, matrix.data() + top * rows.count + left, rows.count);
    const float* const columns = factors.data() + left;
    for (int64_t i = 0; i < a.count; ++i) {
      const float factor = factors[static_cast<size_t>(top + i)];
      float* const row = matrix.data() + (top + i) * rows.count + left;
      for (int64_t j = 0; j < b.count; ++j) row[j] *= factor * columns[j];
    }
    if (top == left) return;
    for (int64_t j = 0; j < b.count; ++j) {
      float* const below = matrix.data() + (left + j) * rows.count + top;
      const float* const above = matrix.data() + top * rows.count + left + j;
      for (int64_t i = 0; i < a.count; ++i) below[i] = above[i * rows.count];
    }
  });
  return matrix;
}

std::vector<float> MeanOverHeads(const FloatRows& rows, int64_t heads) {
  const int64_t width = rows.width / heads;
  std::vector<float> means(static_cast<size_t>(rows.count * width), 0.0f);
  const float share = 1.0f / static_cast<float>(heads);
  for (int64_t i = 0; i < rows.count; ++i) {
    float* const mean = means.data() + i * width;
    for (int64_t head = 0; head < heads; ++head) {
      const float* const part = rows.Row(i) + head * width;
      for (int64_t c = 0; c < width; ++c) mean[c] += part[c] * share;
    }
  }
  return means;
}

}  // namespace eyeshot
#endif  // HWY_ONCE
