// Blocks of every quantized type of GGUF, against what the `gguf` package makes of the same bytes.
#include "tensor/block_types.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/sha256.h"

namespace eyeshot {
namespace {

uint8_t FormulaByte(uint64_t i) {
  i += 0x9E3779B97F4A7C15u;
  i = (i ^ i >> 30) * 0xBF58476D1CE4E5B9u;
  i = (i ^ i >> 27) * 0x94D049BB133111EBu;
  return static_cast<uint8_t>((i ^ i >> 31) >> 56);
}

class BlockTypes : public testing::TestWithParam<DType> {};

TEST_P(BlockTypes, DequantizeAsTheReferenceToTheBit) {
  std::ifstream file(EYESHOT_SOURCE_DIR "/tests/data/golden/gguf/blocks.json");
  const auto goldens = nlohmann::json::parse(file);
  const auto& golden = goldens.at(std::string(DTypeName(GetParam())));
  const size_t block_bytes = DTypeBytes(GetParam());
  const auto blocks = golden.at("blocks").get<size_t>();
  ASSERT_EQ(golden.at("block_bytes").get<size_t>(), block_bytes);

  std::vector<uint8_t> bytes(blocks * block_bytes);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = FormulaByte(i);
  for (size_t b = 0; b < blocks; ++b) {
    for (const auto& half : golden.at("halves")) bytes[b * block_bytes + half.get<size_t>() + 1] &= 0xBF;
  }
  std::vector<float> values(blocks * DTypeBlock(GetParam()));
  ConvertToF32(GetParam(), bytes.data(), values.size(), values.data());
  for (size_t i = 0; i < golden.at("first").size(); ++i) EXPECT_EQ(values[i], golden.at("first")[i].get<float>()) << i;
  EXPECT_EQ(Sha256Hex({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)}),
            golden.at("sha256").get<std::string>());
}

INSTANTIATE_TEST_SUITE_P(All, BlockTypes,
                         testing::Values(DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
                                         DType::kQ4_K, DType::kQ5_K, DType::kQ6_K),
                         [](const auto& test) { return std::string(DTypeName(test.param)); });

}  // namespace
}  // namespace eyeshot
