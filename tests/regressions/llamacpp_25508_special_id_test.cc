// llama.cpp and mistral.rs took ids of special tokens from a GGUF file, or llama.cpp's defaults where it names none,
// for places in the vocabulary, unchecked (llama.cpp 25475, 25508; mistral.rs 2282).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp25508, IdsBeyondTheVocabularyAreRefused) {
  for (const char* name : {"eos", "eot", "bos"}) {
    const std::string key = std::string("tokenizer.ggml.") + name + "_token_id";
    for (const uint32_t id : {263u, 1u << 31, ~0u}) {
      const SmallGguf files{.integers = {{key, id}}};
      ExpectError(files.Load().status(), StatusCode::kLimitExceeded, {key + " is " + std::to_string(id), "[0, 262]"});
    }
    EXPECT_TRUE(SmallGguf({.integers = {{key, 262}}}).Load().ok()) << key;
  }
}

// None is guessed: an answer then ends at its length.
TEST(LlamaCpp25508, WithoutIdsNoneIsTaken) {
  EXPECT_EQ(Ask(SmallGguf().Load(), {"Hi"}, {.max_tokens = 3}).finish_reason, FinishReason::kLength);
}

}  // namespace
}  // namespace eyeshot::testing
