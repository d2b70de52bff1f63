// What llama.cpp's converter got wrong: early mmproj files have ffn_up and ffn_down exchanged, and files of SmolVLM2 an
// epsilon of 1e-5 where the model has 1e-6. The first is put right, the second said, and put right on demand.
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCppOldMmproj, ExchangedProductsGiveTheSameAnswer) {
  const auto answer = [](bool swapped) {
    const AskOptions options{.max_tokens = 24, .ignore_end = true};
    return Ask(SmallGguf({.swapped_ffn = swapped}).Load(), {Noise(48, 32), "Hi"}, options).text;
  };
  EXPECT_EQ(answer(true), answer(false));
  EXPECT_FALSE(answer(true).empty());
}

TEST(LlamaCppOldMmproj, TheConvertersEpsilonIsSaid) {
  EXPECT_TRUE(HasNote(SmallGguf({.epsilon = 1e-5f}).Load(), "--hf-defaults"));
  EXPECT_FALSE(HasNote(SmallGguf().Load(), "--hf-defaults"));
}

}  // namespace
}  // namespace eyeshot::testing
