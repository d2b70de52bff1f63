#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/dtype.h"

namespace eyeshot {
namespace {

// The compiler's own half: g++ 12 has one name for it on each architecture.
#if defined(__aarch64__)
using CompilerHalf = __fp16;
#else
using CompilerHalf = _Float16;
#endif

TEST(DTypeTest, Bf16RoundsToNearestEven) {
  EXPECT_EQ(Bf16FromF32(1.0f), 0x3f80);
  EXPECT_EQ(Bf16FromF32(1.0f + 0x1p-8f), 0x3f80);            // a tie: the even neighbour is below
  EXPECT_EQ(Bf16FromF32(1.0f + 0x1p-8f + 0x1p-20f), 0x3f81);
  EXPECT_EQ(Bf16FromF32(1.0f + 3 * 0x1p-8f), 0x3f82);        // a tie: the even neighbour is above
  EXPECT_EQ(Bf16FromF32(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_TRUE(std::isnan(F32FromBf16(Bf16FromF32(std::numeric_limits<float>::quiet_NaN()))));
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F32FromBf16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(Bf16FromF32(value), bits);
  }
}

TEST(DTypeTest, HalfEqualsTheCompilersOwnForEveryBitPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F32FromF16(static_cast<uint16_t>(bits));
    const float want = static_cast<float>(std::bit_cast<CompilerHalf>(static_cast<uint16_t>(bits)));
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(value), std::bit_cast<uint32_t>(want)) << bits;
    }
  }
}

TEST(DTypeTest, HalfRoundsToNearestEvenAndSaturates) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F32FromF16(static_cast<uint16_t>(bits));
    if (std::isnan(value) || std::isinf(value)) continue;
    ASSERT_EQ(F16FromF32(value), bits);
  }
  // Against the compiler's own conversion, over floats of all magnitudes.
  for (uint32_t bits = 0; bits < 0x47700000u; bits += 977) {
    const float value = std::bit_cast<float>(bits);
    ASSERT_EQ(F16FromF32(-value), std::bit_cast<uint16_t>(static_cast<CompilerHalf>(-value))) << value;
  }
  EXPECT_EQ(F16FromF32(1e9f), 0x7bff);
  EXPECT_EQ(F16FromF32(-std::numeric_limits<float>::infinity()), 0xfbff);
  EXPECT_TRUE(std::isnan(F32FromF16(F16FromF32(std::numeric_limits<float>::quiet_NaN()))));
}

// Against the format's definition: values in order of their bits, and each number to the nearest of them.
TEST(DTypeTest, F8E4M3RoundsToNearestEvenAndSaturates) {
  std::vector<float> values;
  for (int bits = 0; bits < 0x7f; ++bits) {
    const int exponent = bits >> 3;
    const float mantissa = static_cast<float>(bits & 7) / 8;
    values.push_back(exponent == 0 ? std::ldexp(mantissa, -6) : std::ldexp(1 + mantissa, exponent - 7));
    EXPECT_EQ(F32FromF8E4M3(static_cast<uint8_t>(bits)), values.back()) << bits;
    EXPECT_EQ(F32FromF8E4M3(static_cast<uint8_t>(bits | 0x80)), -values.back()) << bits;
    EXPECT_EQ(F8E4M3FromF32(values.back()), bits);
    EXPECT_EQ(F8E4M3FromF32(-values.back()), bits | 0x80);
  }
  EXPECT_EQ(values.back(), kLargestF8E4M3);
  for (int low = 0; low + 1 < 0x7f; ++low) {
    const auto at = static_cast<size_t>(low);
    const float middle = (values[at] + values[at + 1]) / 2;
    EXPECT_EQ(F8E4M3FromF32(middle), low % 2 == 0 ? low : low + 1);
    EXPECT_EQ(F8E4M3FromF32(std::nextafter(middle, 0.0f)), low);
    EXPECT_EQ(F8E4M3FromF32(std::nextafter(middle, 1000.0f)), low + 1);
  }
  EXPECT_EQ(F8E4M3FromF32(1e9f), 0x7e);
  EXPECT_EQ(F8E4M3FromF32(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(F8E4M3FromF32(std::nanf("")), 0x7f);
  EXPECT_TRUE(std::isnan(F32FromF8E4M3(0xff)));
}

TEST(DTypeTest, ConvertsFromUnalignedMemory) {
  const std::vector<float> values = {1.5f, -2.0f, 0.0f, 3e5f};
  std::vector<uint8_t> raw(1 + values.size() * 2);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = Bf16FromF32(values[i]);
    raw[1 + 2 * i] = static_cast<uint8_t>(bits);
    raw[2 + 2 * i] = static_cast<uint8_t>(bits >> 8);
  }
  std::vector<float> got(values.size());
  ConvertToF32(DType::kBF16, raw.data() + 1, values.size(), got.data());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(got[i], values[i], std::abs(values[i]) / 256);
}

}  // namespace
}  // namespace eyeshot
