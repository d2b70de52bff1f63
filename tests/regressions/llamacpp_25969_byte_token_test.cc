// llama.cpp took the digits of tokens such as <0x41> for the place of a byte, unchecked: <0x-1> wrote before the table
// while the model was loaded, <0xZZ> threw (25969, 26511, 27226). For byte-level BPE they are text as any other.
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp25969, ByteTokensThatAreNoneAreText) {
  constexpr int32_t kByte = 6;
  SmallGguf files;
  for (const char* token : {"<0x-1>", "<0xZZ>", "<0x>", "<0x"}) {
    files.tokens.emplace_back(token);
    files.types.push_back(kByte);
  }
  EXPECT_GE(Ask(files.Load(), {"<0x-1> <0xZZ> <0x41>"}, {.max_tokens = 1}).prompt_tokens, 20);  // letter by letter
}

}  // namespace
}  // namespace eyeshot::testing
