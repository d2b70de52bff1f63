// llama.cpp read general.alignment without a look at its type, and died of an assertion where it was an int32; padding
// to an alignment near the largest number wrapped to 0 (26318).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp26318, AnyAlignmentIsTakenOrRefused) {
  const auto status = [](GgufType type, const std::string& value) {
    GgufBuilder builder;
    builder.Raw("general.alignment", type, value).Tensor("t", {1}, 0, std::string(4, '\0'));
    return ParseGguf(builder.Bytes());
  };
  EXPECT_TRUE(status(GgufType::kUint32, GgufBuilder::Number(32, 4)).ok());
  EXPECT_TRUE(status(GgufType::kInt32, GgufBuilder::Number(32, 4)).ok());
  const auto expect = [&](GgufType type, const std::string& value, StatusCode code) {
    ExpectError(status(type, value), code, {"m.gguf", "general.alignment is"});
  };
  expect(GgufType::kString, GgufBuilder::Text("32"), StatusCode::kCorrupt);
  expect(GgufType::kFloat32, GgufBuilder::Number(0x42000000, 4), StatusCode::kCorrupt);
  expect(GgufType::kUint32, GgufBuilder::Number(48, 4), StatusCode::kCorrupt);
  for (const uint64_t value : {0ull, 1ull << 31, 1ull << 63, ~0ull}) {
    expect(GgufType::kUint64, GgufBuilder::Number(value, 8), StatusCode::kLimitExceeded);
  }
  expect(GgufType::kInt32, GgufBuilder::Number(~0u - 31, 4), StatusCode::kLimitExceeded);
}

}  // namespace
}  // namespace eyeshot::testing
