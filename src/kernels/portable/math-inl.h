// exp and the activations built on it, in float32 vectors.
#if defined(EYESHOT_KERNELS_PORTABLE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Ints = hn::RebindToSigned<Floats>;
using Words = hn::RebindToUnsigned<Floats>;
using Vec = hn::Vec<Floats>;

inline constexpr int kLanes = HWY_LANES(float);

// Asks for the cache lines of `count` floats that will be written.
HWY_INLINE void PrefetchWrite(const float* data, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(data + i, 1);
}
HWY_INLINE void PrefetchRead(const float* data, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) __builtin_prefetch(data + i, 0);
}

// 2^(n + f) for integral n in [-126, 127] and |f| <= 0.5.
HWY_INLINE Vec Exp2Parts(hn::Vec<Ints> n, Vec f) {
  const Floats d;
  const Ints di;
  // Minimax of 2^f on [-0.5, 0.5] in relative error (Remez): 1.9e-9, far below half an ulp (6e-8). The constant
  // term rounds to 1, so that 2^0 is exactly 1.
  Vec p = hn::Set(d, 1.534581242594868e-4f);
  p = hn::MulAdd(p, f, hn::Set(d, 1.3399930903688073e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 9.618489071726799e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.550328642129898e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022646248340607e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.931471824645996e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  // p is in [0.7, 1.42], so adding n to its exponent field (bits 23 to 30) gives a normal number for n > -126.
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(n)));
}

// 2^x for x <= 127, relative error below 2e-7. Below -126, -infinity included, it's about 2^-126: nothing beside a
// sum of probabilities, whose largest term is 1.
HWY_INLINE Vec Exp2(Vec x) {
  const Floats d;
  const Vec clamped = hn::Max(x, hn::Set(d, -126.0f));
  const auto n = hn::NearestInt(clamped);
  return Exp2Parts(n, hn::Sub(clamped, hn::ConvertTo(d, n)));
}

// The same with a relative error below 3e-6 (another minimax, of degree 4), for values that are rounded to bfloat16.
HWY_INLINE Vec Exp2Short(Vec x) {
  const Floats d;
  const Ints di;
  const Vec clamped = hn::Max(x, hn::Set(d, -126.0f));
  const auto n = hn::NearestInt(clamped);
  const Vec f = hn::Sub(clamped, hn::ConvertTo(d, n));
  Vec p = hn::Set(d, 9.5701017e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 5.59178603e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.40247448e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.93121815e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.999999261f));
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(n)));
}

// e^x, relative error below 3e-7 where fused multiply-add exists; x is held to [-87, 88], where e^x is normal.
HWY_INLINE Vec Exp(Vec x) {
  const Floats d;
  const Vec clamped = hn::Min(hn::Max(x, hn::Set(d, -87.0f)), hn::Set(d, 88.0f));
  // log2(e) in two parts: the error of the first would grow with x.
  const Vec log2e_high = hn::Set(d, 1.4426950216293335f);
  const Vec log2e_low = hn::Set(d, 1.925963033500000e-8f);
  const auto n = hn::NearestInt(hn::Mul(clamped, log2e_high));
  const Vec f = hn::MulAdd(clamped, log2e_low, hn::MulSub(clamped, log2e_high, hn::ConvertTo(d, n)));
  return Exp2Parts(n, f);
}

// x / (1 + e^-x).
HWY_INLINE Vec Silu(Vec x) { return hn::Div(x, hn::Add(hn::Set(Floats(), 1.0f), Exp(hn::Neg(x)))); }

// 0.5 x (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), arXiv 1606.08415. Since
// (1 + tanh(u)) / 2 = 1 / (1 + e^-2u), it's x / (1 + e^-2u), which doesn't cancel for negative x.
HWY_INLINE Vec GeluTanh(Vec x) {
  const Floats d;
  constexpr float kMinusTwoSqrt2OverPi = -1.5957691216057308f;
  const Vec cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), hn::Set(d, 0.044715f)), x, x);
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), Exp(hn::Mul(cubic, hn::Set(d, kMinusTwoSqrt2OverPi)))));
}

// x times the share of the normal distribution below x. With z = |x| / sqrt(2) that is x minus, or for negative x just,
// x erfc(z) / 2, which doesn't cancel; erfc by Abramowitz and Stegun 7.1.26, error below 1.5e-7.
HWY_INLINE Vec Gelu(Vec x) {
  const Floats d;
  const Vec z = hn::Mul(hn::Abs(x), hn::Set(d, 0.7071067811865476f));
  const Vec t = hn::Div(hn::Set(d, 1.0f), hn::MulAdd(z, hn::Set(d, 0.3275911f), hn::Set(d, 1.0f)));
  Vec p = hn::Set(d, 1.061405429f);
  p = hn::MulAdd(p, t, hn::Set(d, -1.453152027f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592f));
  const Vec above = hn::Mul(hn::Mul(p, t), hn::Mul(Exp(hn::Neg(hn::Mul(z, z))), hn::Set(d, 0.5f)));
  const Vec part = hn::Mul(x, above);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), part, hn::Sub(x, part));
}

// The bits of x in bfloat16 (nearest even), in the low halves. NaN stays NaN.
HWY_INLINE hn::Vec<Ints> Bf16Bits(Vec x) {
  const Words d;
  const auto bits = hn::BitCast(d, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7fffu)));
  const auto quiet = hn::Or(bits, hn::Set(d, 0x400000u));
  const auto nan = hn::MaskFromVec(hn::BitCast(d, hn::VecFromMask(Floats(), hn::Ne(x, x))));
  return hn::BitCast(Ints(), hn::ShiftRight<16>(hn::IfThenElse(nan, quiet, rounded)));
}

// dst[0..n) <- src in bfloat16.
HWY_INLINE void StoreBf16(const float* HWY_RESTRICT src, int64_t n, float scale, uint16_t* HWY_RESTRICT dst) {
  const Floats d;
  const hn::Rebind<uint16_t, Ints> half;
  const Vec factor = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(half, Bf16Bits(hn::Mul(factor, hn::LoadU(d, src + i)))), half, dst + i);
  }
  for (; i < n; ++i) dst[i] = Bf16FromF32(scale * src[i]);
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
