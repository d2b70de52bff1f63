// llama.cpp took memory for as many tensors, keys, bytes of a string or elements of an array as a GGUF file says, and
// their sizes wrapped around 2^64 (15711, 19856).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp19856, CountsThatWrapAreRefused) {
  const auto array = [](GgufType element, uint64_t count) {
    const std::string bytes = GgufBuilder::Number(static_cast<uint32_t>(element), 4) + GgufBuilder::Number(count, 8);
    return ParseGguf(GgufBuilder().Raw("k", GgufType::kArray, bytes + std::string(64, '\0')).Bytes());
  };
  constexpr auto kCorrupt = StatusCode::kCorrupt;
  ExpectError(array(GgufType::kUint64, 1ull << 61), kCorrupt, {"m.gguf", "within k"});  // 0 bytes, wrapped
  ExpectError(array(GgufType::kUint64, (1ull << 61) + 1), kCorrupt, {"within k"});
  ExpectError(array(GgufType::kString, 1ull << 61), kCorrupt, {"within k"});
  const auto text = [](uint64_t length) {
    return ParseGguf(GgufBuilder().Raw("k", GgufType::kString, GgufBuilder::Number(length, 8)).Bytes());
  };
  ExpectError(text(~0ull), kCorrupt, {"within k"});
  ExpectError(text(~0ull - 40), kCorrupt, {"within k"});  // the place behind it would wrap into the file
}

TEST(LlamaCpp19856, NumbersOfTensorsAndKeysAreBounded) {
  const auto header = [](uint64_t tensors, uint64_t keys) {
    return ParseGguf("GGUF" + GgufBuilder::Number(3, 4) + GgufBuilder::Number(tensors, 8) +
                     GgufBuilder::Number(keys, 8));
  };
  ExpectError(header((1ull << 63) / 48, 0), StatusCode::kLimitExceeded, {"tensors", "16384"});
  ExpectError(header(0, ~0ull), StatusCode::kLimitExceeded, {"keys", "4096"});
}

}  // namespace
}  // namespace eyeshot::testing
