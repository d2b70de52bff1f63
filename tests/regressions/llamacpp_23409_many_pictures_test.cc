// llama.cpp's server died of an assertion where pictures have more tokens than a batch: "non-causal attention requires
// n_ubatch >= n_tokens" (23409).
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(LlamaCpp23409, PicturesOfMoreTokensThanAStepAreAnswered) {
  std::vector<ContentPart> parts = {"Which one?"};
  for (int i = 0; i < 10; ++i) parts.emplace_back(Plain(20 + i, 20));
  const Answer answer =
      Ask(Engine::Load({.model = TinyModelDir()}), parts, {.max_tokens = 2, .detail = {PictureDetail::Kind::kLow, 0}});
  EXPECT_EQ(answer.visual_tokens, 10 * 64);  // a step takes 512 tokens at most
}

}  // namespace
}  // namespace eyeshot::testing
