#include "tensor/block_types.h"

#include <cstring>

#include "base/check.h"

namespace eyeshot {
namespace {

// Elements of a block of the simple types; one scale each.
constexpr size_t kHalfBlock = 16;
// Elements of a sub-block of the K types whose 256 share a scale of scales.
constexpr size_t kSubBlock = 32;
constexpr size_t kSuperBlock = 256;

float ReadHalf(const uint8_t* src) {
  uint16_t bits;
  std::memcpy(&bits, src, sizeof(bits));
  return F32FromF16(bits);
}

// 4-bit codes: the low halves of 16 bytes are the first 16 elements, the high halves the others.
int Nibble(const uint8_t* codes, size_t i) { return i < kHalfBlock ? codes[i] & 15 : codes[i - kHalfBlock] >> 4; }

// A fifth bit for each of 32 elements, least significant first.
int FifthBit(const uint8_t* bits, size_t i) { return (bits[i / 8] >> (i % 8) & 1) << 4; }

void Q4_0(const uint8_t* block, float* y) {
  const float scale = ReadHalf(block);
  for (size_t i = 0; i < 2 * kHalfBlock; ++i) y[i] = scale * static_cast<float>(Nibble(block + 2, i) - 8);
}

void Q4_1(const uint8_t* block, float* y) {
  const float scale = ReadHalf(block);
  const float least = ReadHalf(block + 2);
  for (size_t i = 0; i < 2 * kHalfBlock; ++i) y[i] = scale * static_cast<float>(Nibble(block + 4, i)) + least;
}

void Q5_0(const uint8_t* block, float* y) {
  const float scale = ReadHalf(block);
  for (size_t i = 0; i < 2 * kHalfBlock; ++i) {
    y[i] = scale * static_cast<float>((Nibble(block + 6, i) | FifthBit(block + 2, i)) - 16);
  }
}

void Q5_1(const uint8_t* block, float* y) {
  const float scale = ReadHalf(block);
  const float least = ReadHalf(block + 2);
  for (size_t i = 0; i < 2 * kHalfBlock; ++i) {
    y[i] = scale * static_cast<float>(Nibble(block + 8, i) | FifthBit(block + 4, i)) + least;
  }
}

void Q8_0(const uint8_t* block, float* y) {
  const float scale = ReadHalf(block);
  for (size_t i = 0; i < 2 * kHalfBlock; ++i) y[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
}

struct ScaleAndLeast {
  float scale;
  float least;
};

// Those of sub-block `i` of a K type: 6 bits each, packed into 12 bytes. The first four lie in the low bits of bytes 0
// to 3 and 4 to 7, the others in the halves of bytes 8 to 11 and, for their upper two bits, in the high bits before.
ScaleAndLeast ReadSixBits(const uint8_t* block, size_t i) {
  const uint8_t* packed = block + 4;
  const int scale = i < 4 ? packed[i] & 63 : (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
  const int least = i < 4 ? packed[i + 4] & 63 : packed[i + 4] >> 4 | packed[i] >> 6 << 4;
  return {ReadHalf(block) * static_cast<float>(scale), ReadHalf(block + 2) * static_cast<float>(least)};
}

// Two sub-blocks share 32 bytes of codes: low halves, then high halves.
int PairedNibble(const uint8_t* codes, size_t sub, size_t i) {
  const uint8_t byte = codes[sub / 2 * kSubBlock + i];
  return sub % 2 == 0 ? byte & 15 : byte >> 4;
}

void Q4_K(const uint8_t* block, float* y) {
  for (size_t sub = 0; sub < kSuperBlock / kSubBlock; ++sub) {
    const ScaleAndLeast s = ReadSixBits(block, sub);
    for (size_t i = 0; i < kSubBlock; ++i) {
      *y++ = s.scale * static_cast<float>(PairedNibble(block + 16, sub, i)) - s.least;
    }
  }
}

void Q5_K(const uint8_t* block, float* y) {
  for (size_t sub = 0; sub < kSuperBlock / kSubBlock; ++sub) {
    const ScaleAndLeast s = ReadSixBits(block, sub);
    for (size_t i = 0; i < kSubBlock; ++i) {
      const int fifth = (block[16 + i] >> sub & 1) << 4;
      *y++ = s.scale * static_cast<float>(PairedNibble(block + 48, sub, i) | fifth) - s.least;
    }
  }
}

// Each half of 128 elements has 64 bytes of low bits, 32 of high bits and 8 scales of 16 elements.
void Q6_K(const uint8_t* block, float* y) {
  const float scale = ReadHalf(block + 208);
  for (size_t i = 0; i < kSuperBlock; ++i) {
    const size_t half = i / 128;
    const size_t quarter = i % 128 / kSubBlock;
    const size_t lane = i % kSubBlock;
    const uint8_t low = block[half * 64 + quarter % 2 * kSubBlock + lane];
    const uint8_t high = block[128 + half * kSubBlock + lane];
    const int code = (quarter < 2 ? low & 15 : low >> 4) | (high >> 2 * quarter & 3) << 4;
    const auto sub_scale = static_cast<int8_t>(block[192 + i / kHalfBlock]);
    y[i] = scale * static_cast<float>(sub_scale) * static_cast<float>(code - 32);
  }
}

using Dequantizer = void (*)(const uint8_t* block, float* y);

Dequantizer DequantizerOf(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0: return &Q4_0;
    case DType::kQ4_1: return &Q4_1;
    case DType::kQ5_0: return &Q5_0;
    case DType::kQ5_1: return &Q5_1;
    case DType::kQ8_0: return &Q8_0;
    case DType::kQ4_K: return &Q4_K;
    case DType::kQ5_K: return &Q5_K;
    case DType::kQ6_K: return &Q6_K;
    default: return nullptr;
  }
}

}  // namespace

void DequantizeBlocks(DType dtype, const uint8_t* src, size_t count, float* dst) {
  const Dequantizer dequantize = DequantizerOf(dtype);
  const size_t block = DTypeBlock(dtype);
  EYESHOT_CHECK(dequantize != nullptr && count % block == 0);
  for (size_t i = 0; i < count; i += block, src += DTypeBytes(dtype)) dequantize(src, dst + i);
}

}  // namespace eyeshot
