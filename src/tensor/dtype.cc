#include "tensor/dtype.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/block_types.h"

namespace eyeshot {
namespace {

// Element i of a possibly unaligned array.
uint16_t LoadU16(const void* src, size_t i) {
  uint16_t bits;
  std::memcpy(&bits, static_cast<const uint8_t*>(src) + i * sizeof(bits), sizeof(bits));
  return bits;
}

}  // namespace

std::string_view DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "float32";
    case DType::kF16: return "float16";
    case DType::kBF16: return "bfloat16";
    case DType::kF64: return "float64";
    case DType::kI8: return "int8";
    case DType::kU8: return "uint8";
    case DType::kI16: return "int16";
    case DType::kU16: return "uint16";
    case DType::kI32: return "int32";
    case DType::kU32: return "uint32";
    case DType::kI64: return "int64";
    case DType::kU64: return "uint64";
    case DType::kBool: return "bool";
    case DType::kF8E4M3: return "float8_e4m3";
    case DType::kF8E5M2: return "float8_e5m2";
    case DType::kQ4_0: return "Q4_0";
    case DType::kQ4_1: return "Q4_1";
    case DType::kQ5_0: return "Q5_0";
    case DType::kQ5_1: return "Q5_1";
    case DType::kQ8_0: return "Q8_0";
    case DType::kQ4_K: return "Q4_K";
    case DType::kQ5_K: return "Q5_K";
    case DType::kQ6_K: return "Q6_K";
  }
  return "unknown";
}

float F32FromF16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fu;
  const uint32_t mantissa = bits & 0x3ffu;
  if (exponent == 0x1fu) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    // Zero or subnormal: mantissa * 2^-24, exact in float32.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

uint16_t F16FromF32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7bffu);  // would round beyond 65504
  if (magnitude < 0x38800000u) {
    // Below 2^-14, the smallest normal half: adding 0.5 leaves value / 2^-24, rounded, in the mantissa's low bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

float F32FromF8E4M3(uint8_t bits) {
  if ((bits & 0x7f) == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  // The same fields in a half's places make 2^8 less, also where the exponent is 0.
  return 256.0f * F32FromF16(static_cast<uint16_t>((bits & 0x80) << 8 | (bits & 0x7f) << 7));
}

uint8_t F8E4M3FromF32(float value) {
  if (std::isnan(value)) return 0x7f;
  const auto sign = static_cast<uint8_t>(std::signbit(value) ? 0x80 : 0);
  const float size = std::min(std::abs(value), kLargestF8E4M3);
  constexpr float kSmallestNormal = 0x1p-6f;
  if (size < kSmallestNormal) return static_cast<uint8_t>(sign | static_cast<uint8_t>(std::nearbyint(size * 0x1p9f)));
  uint32_t bits = std::bit_cast<uint32_t>(size);
  bits += 0x7ffffu + ((bits >> 20) & 1u);  // of the 20 bits that go
  return static_cast<uint8_t>(sign | ((bits >> 20) - ((127u - 7u) << 3)));
}

void ConvertToF32(DType dtype, const void* src, size_t count, float* dst) {
  switch (dtype) {
    case DType::kF32: std::memcpy(dst, src, count * sizeof(float)); return;
    case DType::kBF16: {
      for (size_t i = 0; i < count; ++i) dst[i] = F32FromBf16(LoadU16(src, i));
      return;
    }
    case DType::kF16: {
      for (size_t i = 0; i < count; ++i) dst[i] = F32FromF16(LoadU16(src, i));
      return;
    }
    default: DequantizeBlocks(dtype, static_cast<const uint8_t*>(src), count, dst);
  }
}

}  // namespace eyeshot
