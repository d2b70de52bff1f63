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

// Sums of one pixel's channels over its window; `group` taps go into the lanes of one vector.
HWY_INLINE hn::Vec<Pixel> SumWindow(const uint8_t* HWY_RESTRICT from, const int32_t* HWY_RESTRICT weights,
                                    size_t count) {
  const Sums d;
  const SumBytes bytes;
  const Pixel pixel;
  const size_t lanes = hn::Lanes(d);
  const size_t group = lanes / 4;
  auto sums = hn::Zero(d);
  for (size_t t = 0; t < count; t += group) {
    const auto values = hn::PromoteTo(d, hn::LoadU(bytes, from + 4 * t));
    sums = hn::Add(sums, hn::Mul(values, hn::LoadU(d, weights + 4 * t)));
  }
  HWY_ALIGN int32_t parts[16];
  hn::Store(sums, d, parts);
  auto sum = hn::Load(pixel, parts);
  for (size_t i = 4; i < lanes; i += 4) sum = hn::Add(sum, hn::Load(pixel, parts + i));
  return sum;
}

void ResampleAcross(const uint8_t* HWY_RESTRICT rgbx, const int32_t* HWY_RESTRICT first,
                    const int32_t* HWY_RESTRICT count, const int32_t* HWY_RESTRICT weights4, size_t stride,
                    int precision, size_t width, uint8_t* HWY_RESTRICT out) {
  const Pixel pixel;
  const PixelBytes bytes;
  const auto half = hn::Set(pixel, 1 << (precision - 1));
  HWY_ALIGN uint8_t last[16];
  for (size_t x = 0; x < width; ++x) {
    const auto sum =
        SumWindow(rgbx + 4 * static_cast<size_t>(first[x]), weights4 + x * stride * 4, static_cast<size_t>(count[x]));
    const auto rounded = hn::DemoteTo(bytes, hn::ShiftRightSame(hn::Add(sum, half), precision));
    if (x + 1 < width) {
      hn::StoreU(rounded, bytes, out + 3 * x);  // the fourth byte is the next pixel's first: overwritten by it
    } else {
      hn::StoreU(rounded, bytes, last);
      for (size_t c = 0; c < 3; ++c) out[3 * x + c] = last[c];
    }
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

void ResampleAcross(const uint8_t* rgbx, const int32_t* first, const int32_t* count, const int32_t* weights4,
                    size_t stride, int precision, size_t width, uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(ResampleAcross)(rgbx, first, count, weights4, stride, precision, width, out);
}

void ResampleDown(const uint8_t* rows, size_t row_stride, const int32_t* weights, size_t taps, int precision,
                  size_t bytes, uint8_t* out) {
  HWY_DYNAMIC_DISPATCH(ResampleDown)(rows, row_stride, weights, taps, precision, bytes, out);
}

}  // namespace eyeshot
#endif
