// llama.cpp multiplied the dimensions of a tensor to a number of bytes that wrapped around 2^64, so that a file could
// ask for little memory and name a large tensor (18674, 19856, 24759, 24997, 27200: CVE-2026-33298 and its kin).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp18674, SizesThatWrapAreRefused) {
  constexpr uint32_t kF32 = 0, kQ4_0 = 2;
  const auto status = [](const std::vector<uint64_t>& dims, uint32_t type, int64_t offset = -1) {
    const std::string data(64, '\0');
    return ParseGguf(GgufBuilder().Tensor("t", dims, type, data, offset).Bytes());
  };
  EXPECT_TRUE(status({4, 4}, kF32).ok());
  constexpr auto kLimit = StatusCode::kLimitExceeded;
  ExpectError(status({1152, (1ull << 42) + 1}, kF32), kLimit, {"m.gguf", "tensor t"});
  ExpectError(status({~0ull / 4}, kF32), kLimit, {"tensor t"});                // padded, it wraps to 0
  ExpectError(status({5124095576030431008ull}, kQ4_0), kLimit, {"tensor t"});  // 64 bytes, wrapped
  // Each dimension is allowed; the product is 2^64 elements, or 2^64 bytes.
  ExpectError(status({1u << 16, 1u << 16, 1u << 16, 1u << 16}, kF32), kLimit, {"tensor t"});
  ExpectError(status({1ull << 31, 1ull << 31}, kF32), kLimit, {"tensor t"});
  ExpectError(status({16}, kF32, (1ull << 63) - 32), StatusCode::kCorrupt, {"tensor t"});
}

}  // namespace
}  // namespace eyeshot::testing
