#include "kernels/portable/targets.h"  // before any Highway header

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vision/resample_rows.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each instruction set
#include <hwy/highway.h>

#include "vision/resample_rows.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes: 4 pixels of 4 channels.
using Sums = hn::CappedTag<int32_t, 16>;
using SumBytes = hn::Rebind<uint8_t, Sums>;
using Pixel = hn::FixedTag<int32_t, 4>;
using PixelBytes = hn::Rebind<uint8_t, Pixel>;

void SpreadRow(const uint8_t* HWY_RESTRICT rgb, size_t width, uint8_t* HWY_RESTRICT rgbx) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  size_t x = 0;
  for (; x + lanes <= width; x += lanes) {
    hn::Vec<decltype(d)> r, g, b;
    hn::LoadInterleaved3(d, rgb + 3 * x, r, g, b);
    hn::StoreInterleaved4(r, g, b, hn::Zero(d), d, rgbx + 4 * x);
  }
  for (; x < width; ++x) {
    for (size_t c = 0; c < 3; ++c) rgbx[4 * x + c] = rgb[3 * x + c];
    rgbx[4 * x + 3] = 0;
  }
}

// The sum of the pixels (each of 4 channels) in a vector.
HWY_INLINE hn::Vec<Pixel> SumOfPixels(hn::Vec<Pixel> v) { return v; }
#if HWY_MAX_BYTES >= 32
HWY_INLINE hn::Vec<Pixel> SumOfPixels(hn::Vec<hn::FixedTag<int32_t, 8>> v) {
  return hn::Add(hn::LowerHalf(Pixel(), v), hn::UpperHalf(Pixel(), v));
}
#endif
#if HWY_MAX_BYTES >= 64
HWY_INLINE hn::Vec<Pixel> SumOfPixels(hn::Vec<hn::FixedTag<int32_t, 16>> v) {
  const hn::FixedTag<int32_t, 8> half;
  return SumOfPixels(hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
}
#endif

// Rounds a pixel's sums to bytes, of which the fourth is none of the picture's.
HWY_INLINE void StorePixel(hn::Vec<Pixel> sum, int precision, bool is_last, uint8_t* HWY_RESTRICT out) {
  const Pixel pixel;
  const PixelBytes bytes;
  const auto half = hn::Set(pixel, 1 << (precision - 1));
  const auto rounded = hn::DemoteTo(bytes, hn::ShiftRightSame(hn::Add(sum, half), precision));
  if (!is_last) {
    hn::StoreU(rounded, bytes, out);  // the fourth byte is the next pixel's first: overwritten by it
    return;
  }
  HWY_ALIGN uint8_t last[16];
  hn::StoreU(rounded, bytes, last);
  for (size_t c = 0; c < 3; ++c) out[c] = last[c];
}

// kRows rows share the loads of the weights, which are more than the pixels.
template <size_t kRows>
HWY_INLINE void AcrossRows(const AcrossPlan& plan, const uint8_t* HWY_RESTRICT rgbx, size_t rgbx_stride,
                           uint8_t* HWY_RESTRICT out, size_t out_stride) {
  static_assert(kRows == 1 || kRows == 4);
  const Sums d;
  const SumBytes bytes;
  const size_t group = hn::Lanes(d) / 4;  // taps in the lanes of one vector
  for (size_t x = 0; x < plan.width; ++x) {
    const uint8_t* HWY_RESTRICT from = rgbx + 4 * static_cast<size_t>(plan.first[x]);
    const int32_t* HWY_RESTRICT weights = plan.weights4 + x * plan.stride * 4;
    const auto count = static_cast<size_t>(plan.count[x]);
    auto sum0 = hn::Zero(d);
    auto sum1 = sum0, sum2 = sum0, sum3 = sum0;
    for (size_t t = 0; t < count; t += group) {
      const auto weight = hn::LoadU(d, weights + 4 * t);
      const uint8_t* HWY_RESTRICT at = from + 4 * t;
      sum0 = hn::Add(sum0, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, at)), weight));
      if constexpr (kRows == 4) {
        sum1 = hn::Add(sum1, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, at + rgbx_stride)), weight));
        sum2 = hn::Add(sum2, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, at + 2 * rgbx_stride)), weight));
        sum3 = hn::Add(sum3, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, at + 3 * rgbx_stride)), weight));
      }
    }
    const bool is_last = x + 1 == plan.width;
    StorePixel(SumOfPixels(sum0), plan.precision, is_last, out + 3 * x);
    if constexpr (kRows == 4) {
      StorePixel(SumOfPixels(sum1), plan.precision, is_last, out + out_stride + 3 * x);
      StorePixel(SumOfPixels(sum2), plan.precision, is_last, out + 2 * out_stride + 3 * x);
      StorePixel(SumOfPixels(sum3), plan.precision, is_last, out + 3 * out_stride + 3 * x);
    }
  }
}

void ResampleAcross(const AcrossPlan& plan, const uint8_t* HWY_RESTRICT rgbx, size_t rgbx_stride, size_t rows,
                    uint8_t* HWY_RESTRICT out, size_t out_stride) {
  size_t y = 0;
  for (; y + 4 <= rows; y += 4) {
    AcrossRows<4>(plan, rgbx + y * rgbx_stride, rgbx_stride, out + y * out_stride, out_stride);
  }
  for (; y < rows; ++y) {
    AcrossRows<1>(plan, rgbx + y * rgbx_stride, rgbx_stride, out + y * out_stride, out_stride);
  }
}

// kUnroll vectors of neighbouring bytes share the loads of the weights.
template <size_t kUnroll>
HWY_INLINE void SumRows(const uint8_t* HWY_RESTRICT rows, size_t row_stride, const int32_t* HWY_RESTRICT weights,
                        size_t taps, int precision, uint8_t* HWY_RESTRICT out) {
  static_assert(kUnroll == 1 || kUnroll == 4);
  const Sums d;
  const SumBytes bytes;
  const size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Set(d, 1 << (precision - 1));
  auto sum1 = sum0, sum2 = sum0, sum3 = sum0;
  for (size_t t = 0; t < taps; ++t) {
    const uint8_t* HWY_RESTRICT row = rows + t * row_stride;
    const auto weight = hn::Set(d, weights[t]);
    sum0 = hn::Add(sum0, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, row)), weight));
    if constexpr (kUnroll == 4) {
      sum1 = hn::Add(sum1, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, row + lanes)), weight));
      sum2 = hn::Add(sum2, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, row + 2 * lanes)), weight));
      sum3 = hn::Add(sum3, hn::Mul(hn::PromoteTo(d, hn::LoadU(bytes, row + 3 * lanes)), weight));
    }
  }
  hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRightSame(sum0, precision)), bytes, out);
  if constexpr (kUnroll == 4) {
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRightSame(sum1, precision)), bytes, out + lanes);
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRightSame(sum2, precision)), bytes, out + 2 * lanes);
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRightSame(sum3, precision)), bytes, out + 3 * lanes);
  }
}

void ResampleDown(const uint8_t* HWY_RESTRICT rows, size_t row_stride, const int32_t* HWY_RESTRICT weights, size_t taps,
                  int precision, size_t bytes, uint8_t* HWY_RESTRICT out) {
  const size_t lanes = hn::Lanes(Sums());
  size_t x = 0;
  for (; x + 4 * lanes <= bytes; x += 4 * lanes) SumRows<4>(rows + x, row_stride, weights, taps, precision, out + x);
  for (; x + lanes <= bytes; x += lanes) SumRows<1>(rows + x, row_stride, weights, taps, precision, out + x);
  for (; x < bytes; ++x) {
    int32_t sum = 1 << (precision - 1);
    for (size_t t = 0; t < taps; ++t) sum += rows[t * row_stride + x] * weights[t];
    out[x] = static_cast<uint8_t>(HWY_MIN(HWY_MAX(sum >> precision, 0), 255));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace eyeshot
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eyeshot {

HWY_EXPORT(SpreadRow);
HWY_EXPORT(ResampleAcross);
HWY_EXPORT(ResampleDown);

void SpreadRow(const uint8_t* rgb, size_t width, uint8_t* rgbx) { HWY_DYNAMIC_DISPATCH(SpreadRow)(rgb, width, rgbx); }

void ResampleAcross(const AcrossPlan& plan, const uint8_t* rgbx, size_t rgbx_stride, size_t rows, uint8_t* out,
                    size_t out_stride) {
  HWY_DYNAMIC_DISPATCH(ResampleAcross)(plan, rgbx, rgbx_stride, rows, out, out_stride);
}

void ResampleDown(const uint8_t* rows, size_t row_stride, const int32_t* weights, size_t taps, int precision,
                  size_t bytes, uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(ResampleDown)(rows, row_stride, weights, taps, precision, bytes, out);
}

}  // namespace eyeshot
#endif
