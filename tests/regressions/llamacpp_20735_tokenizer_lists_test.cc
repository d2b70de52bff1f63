// llama.cpp read as many types of tokens as there are tokens, whatever the length of that list (20735), and died of an
// assertion where two tokens were alike (24885).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

Status Load(const SmallGguf& files) { return files.Load().status(); }

TEST(LlamaCpp20735, ListsOfOtherLengthsAreRefused) {
  SmallGguf files;
  files.types.pop_back();
  ExpectError(Load(files), StatusCode::kCorrupt, {"tokenizer.ggml.token_type", "263 tokens"});
  files.types.insert(files.types.end(), 100, 1);
  ExpectError(Load(files), StatusCode::kCorrupt, {"tokenizer.ggml.token_type", "263 tokens"});
}

TEST(LlamaCpp20735, MergesOfWhatIsNoTokenAreRefused) {
  for (const char* merge : {"t q", "tt h", "th", "", " ", "t "}) {
    ExpectError(Load({.merges = {merge}}), StatusCode::kCorrupt, {"small.gguf"});
  }
}

TEST(LlamaCpp24885, TokensThatAreAlikeAreRefused) {
  SmallGguf files;
  files.tokens.back() = "<image>";
  ExpectError(Load(files), StatusCode::kCorrupt, {"<image>"});
}

}  // namespace
}  // namespace eyeshot::testing
