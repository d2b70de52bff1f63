// Norms, and the rotary embedding on the way into the cache.
#if defined(EYESHOT_KERNELS_PORTABLE_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_ELEMENTWISE_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_ELEMENTWISE_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_ELEMENTWISE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/limits.h"
#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"
#include "tensor/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// The sum of term(vector of x) over all elements, in two vectors of partial sums and a scalar tail.
template <class VectorTerm, class ScalarTerm>
HWY_INLINE float SumOf(const float* HWY_RESTRICT x, int64_t n, const VectorTerm& term, const ScalarTerm& tail) {
  const Floats d;
  Vec even = hn::Zero(d);
  Vec odd = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    even = hn::Add(even, term(hn::LoadU(d, x + i)));
    odd = hn::Add(odd, term(hn::LoadU(d, x + i + kLanes)));
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < n; ++i) sum += tail(x[i]);
  return sum;
}

inline void LayerNormRow(const float* x, const float* gain, const float* bias, float epsilon, int64_t n, float* y) {
  const Floats d;
  const auto count = static_cast<float>(n);
  const float mean = SumOf(x, n, [](Vec v) HWY_ATTR { return v; }, [](float v) { return v; }) / count;
  const Vec means = hn::Set(d, mean);
  const float square = SumOf(
      x, n, [&](Vec v) HWY_ATTR { return hn::Mul(hn::Sub(v, means), hn::Sub(v, means)); },
      [&](float v) { return (v - mean) * (v - mean); });
  const float scale = 1.0f / std::sqrt(square / count + epsilon);
  const Vec scales = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec normal = hn::Mul(hn::Sub(hn::LoadU(d, x + i), means), scales);
    hn::StoreU(hn::MulAdd(normal, hn::LoadU(d, gain + i), hn::LoadU(d, bias + i)), d, y + i);
  }
  for (; i < n; ++i) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}

inline void RmsNormRow(const float* x, const float* gain, float epsilon, int64_t n, float* y) {
  const Floats d;
  const float square = SumOf(x, n, [](Vec v) HWY_ATTR { return hn::Mul(v, v); }, [](float v) { return v * v; });
  const float scale = 1.0f / std::sqrt(square / static_cast<float>(n) + epsilon);
  const Vec scales = hn::Set(d, scale);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, gain + i), hn::Mul(hn::LoadU(d, x + i), scales)), d, y + i);
  }
  for (; i < n; ++i) y[i] = gain[i] * (x[i] * scale);
}

// out[0..2 half) <- x rotated: pairs (i, i + half) by the angle of i. out may be x.
HWY_INLINE void RotateHead(const float* x, const float* cosines, const float* sines, int64_t half, float* out) {
  const Floats d;
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Vec first = hn::LoadU(d, x + i);
    const Vec second = hn::LoadU(d, x + i + half);
    const Vec cosine = hn::LoadU(d, cosines + i);
    const Vec sine = hn::LoadU(d, sines + i);
    hn::StoreU(hn::Sub(hn::Mul(first, cosine), hn::Mul(second, sine)), d, out + i);
    hn::StoreU(hn::Add(hn::Mul(second, cosine), hn::Mul(first, sine)), d, out + i + half);
  }
  for (; i < half; ++i) {
    const float first = x[i];
    const float second = x[i + half];
    out[i] = first * cosines[i] - second * sines[i];
    out[i + half] = second * cosines[i] + first * sines[i];
  }
}

// dst[0..n) <- src in half precision, bit by bit what F16FromF32 gives (its emulation in Highway for CPUs without
// F16C truncates).
HWY_INLINE void StoreHalf(const float* HWY_RESTRICT src, int64_t n, uint16_t* HWY_RESTRICT dst) {
  const Floats d;
  const Words dw;
  const Ints di;
  const hn::Rebind<uint16_t, Ints> half;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto bits = hn::BitCast(di, hn::LoadU(d, src + i));
    const auto magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 1));
    const auto rounded = hn::Add(hn::Add(magnitude, hn::Set(di, 0xfff)), odd);
    const auto normal = hn::Sub(hn::ShiftRight<13>(rounded), hn::Set(di, 112 << 10));
    const auto shifted = hn::BitCast(di, hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f)));
    const auto subnormal = hn::Sub(shifted, hn::Set(di, 0x3f000000));  // the bits of 0.5
    auto result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x38800000)), subnormal, normal);
    result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x477fefff)), hn::Set(di, 0x7bff), result);
    result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), hn::Set(di, 0x7e00), result);
    const auto sign = hn::BitCast(di, hn::ShiftLeft<15>(hn::ShiftRight<31>(hn::BitCast(dw, bits))));
    hn::StoreU(hn::DemoteTo(half, hn::Or(result, sign)), half, dst + i);
  }
  for (; i < n; ++i) dst[i] = F16FromF32(src[i]);
}

// dst[0..n) <- src as 8-bit integers. Returns their scale.
HWY_INLINE float StoreInt8(const float* HWY_RESTRICT src, int64_t n, int8_t* HWY_RESTRICT dst) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(src[i]));
  const float factor = largest > 0 ? 127.0f / largest : 0.0f;
  const bool usable = std::isfinite(factor);
  const Floats d;
  const hn::Rebind<int8_t, Floats> bytes;
  const Vec factors = hn::Set(d, usable ? factor : 0.0f);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(bytes, hn::NearestInt(hn::Mul(hn::LoadU(d, src + i), factors))), bytes, dst + i);
  }
  for (; i < n; ++i) dst[i] = static_cast<int8_t>(std::lrintf(usable ? src[i] * factor : 0.0f));
  return usable ? largest / 127.0f : 0.0f;
}

// A token's key and value of one head into their parts of the cache, at `offset` in the block.
inline void StoreToken(const PagedKvCache& cache, const float* key, const float* value, int64_t offset, uint8_t* keys,
                       uint8_t* values) {
  const int64_t dim = cache.shape.head_dim;
  const int64_t block_size = cache.shape.block_size;
  if (cache.shape.format == KvFormat::kInt8) {
    int8_t stored[limits::kMaxHeadDim];
    cache.Scales(keys)[offset] = StoreInt8(key, dim, stored);
    for (int64_t i = 0; i < dim; ++i) reinterpret_cast<int8_t*>(keys)[i * block_size + offset] = stored[i];
    cache.Scales(values)[offset] = StoreInt8(value, dim, reinterpret_cast<int8_t*>(values) + offset * dim);
    return;
  }
  uint16_t stored[limits::kMaxHeadDim];
  StoreHalf(key, dim, stored);
  for (int64_t i = 0; i < dim; ++i) reinterpret_cast<uint16_t*>(keys)[i * block_size + offset] = stored[i];
  StoreHalf(value, dim, reinterpret_cast<uint16_t*>(values) + offset * dim);
}

inline void RotaryStoreToken(const RotaryPlan& plan, int64_t token) {
  const RotaryStoreArgs& args = *plan.args;
  const auto& cache = static_cast<const PagedKvCache&>(*args.cache);
  const KvCacheShape& shape = cache.shape;
  const int64_t dim = shape.head_dim;
  const int64_t half = dim / 2;
  const float* cosines = plan.cosines + token * half;
  const float* sines = plan.sines + token * half;
  float* row = args.qkv.Row<float>(token);
  for (int64_t head = 0; head < args.heads; ++head) {
    RotateHead(row + head * dim, cosines, sines, half, row + head * dim);
  }
  const int64_t group = shape.layer_group[static_cast<size_t>(args.layer)];
  const int64_t slot = args.batch->slots.data[group * args.batch->tokens + token];
  const int64_t block = slot / shape.block_size;
  for (int64_t head = 0; head < shape.kv_heads; ++head) {
    float rotated[limits::kMaxHeadDim];
    const float* k = row + (args.heads + head) * dim;
    RotateHead(k, cosines, sines, half, rotated);
    StoreToken(cache, rotated, k + shape.kv_heads * dim, slot % shape.block_size, cache.Keys(args.layer, block, head),
               cache.Values(args.layer, block, head));
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_ELEMENTWISE_INL_H_
