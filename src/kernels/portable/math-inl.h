// exp and the activations built on it, in float32 vectors.
#if defined(EYESHOT_KERNELS_PORTABLE_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
#endif

#include "hwy/highway.h"

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

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_MATH_INL_H_
