// Element types, and the conversions between them and float32.
#ifndef EYESHOT_TENSOR_DTYPE_H_
#define EYESHOT_TENSOR_DTYPE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace eyeshot {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kU8,
  kI16,
  kU16,
  kI32,
  kU32,
  kI64,
  kU64,
  kBool,
  kF8E4M3,
  kF8E5M2,
  // Blocks of a row's elements with scales of their own, as GGUF files hold them (block_types.h). A tensor's last
  // dimension is a multiple of the block.
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ4_K,
  kQ5_K,
  kQ6_K,
};

// Elements that are stored together: 1, or those of a block.
constexpr size_t DTypeBlock(DType dtype) {
  if (dtype >= DType::kQ4_K) return 256;
  return dtype >= DType::kQ4_0 ? 32 : 1;
}

// Bytes of an element or, of types with blocks, of a block.
constexpr size_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kI8:
    case DType::kU8:
    case DType::kBool:
    case DType::kF8E4M3:
    case DType::kF8E5M2: return 1;
    case DType::kF16:
    case DType::kBF16:
    case DType::kI16:
    case DType::kU16: return 2;
    case DType::kF32:
    case DType::kI32:
    case DType::kU32: return 4;
    case DType::kF64:
    case DType::kI64:
    case DType::kU64: return 8;
    case DType::kQ4_0: return 18;
    case DType::kQ4_1: return 20;
    case DType::kQ5_0: return 22;
    case DType::kQ5_1: return 24;
    case DType::kQ8_0: return 34;
    case DType::kQ4_K: return 144;
    case DType::kQ5_K: return 176;
    case DType::kQ6_K: return 210;
  }
  return 0;
}

// Bytes of `elements` successive elements. REQUIRES: whole blocks.
constexpr size_t BytesOf(DType dtype, size_t elements) { return elements / DTypeBlock(dtype) * DTypeBytes(dtype); }

std::string_view DTypeName(DType dtype);  // "float32", "bfloat16", "Q4_K", ...

// bfloat16 bits.
using bf16_bits = uint16_t;

inline float F32FromBf16(bf16_bits bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Rounds to nearest, ties to even; NaN stays NaN.
inline bf16_bits Bf16FromF32(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<bf16_bits>((bits >> 16) | 0x40u);
  return static_cast<bf16_bits>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// IEEE half, subnormals included.
float F32FromF16(uint16_t bits);

// Rounds to nearest, ties to even; NaN stays NaN, what is beyond the largest half (65504) becomes that.
uint16_t F16FromF32(float value);

// E4M3: a sign, 4 bits of exponent, 3 of mantissa, no infinities (OCP 8-bit floating point, arXiv 2209.05433).
inline constexpr float kLargestF8E4M3 = 448;
float F32FromF8E4M3(uint8_t bits);
// Rounds to nearest, ties to even; NaN stays NaN, what is beyond the largest becomes that.
uint8_t F8E4M3FromF32(float value);

// Whether ConvertToF32 takes the type: floats of 32 and 16 bits, and those with blocks.
constexpr bool IsWeightType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || DTypeBlock(dtype) > 1;
}

// Converts `count` elements to float32. REQUIRES: IsWeightType(dtype), whole blocks.
void ConvertToF32(DType dtype, const void* src, size_t count, float* dst);

}  // namespace eyeshot

#endif  // EYESHOT_TENSOR_DTYPE_H_
