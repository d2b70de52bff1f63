// SmolVLM-Instruct (2.2B, first version) has no <global-img> and <row_r_col_c> tokens; llama.cpp fails with "invalid
// token -1" (issue 27190). There they are plain text, as in the reference.
#include <gtest/gtest.h>

#include <algorithm>

#include "formats/testing.h"
#include "text/prompt.h"

namespace eyeshot {
namespace {

TEST(LlamaCpp27190, MarkersThatAreNoTokensArePlainText) {
  const std::string dir = testing::CheckpointDir("SmolVLM-Instruct");
  const auto tokenizer = Tokenizer::Load(dir);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const auto format = PromptFormat::Load(dir, *tokenizer, 81);
  ASSERT_TRUE(format.ok()) << format.status().message();
  const PromptMessage message{.role = Role::kUser, .parts = {PromptImage{}, "Hi"}};
  const auto prompt = format->Render({&message, 1}, true);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  const std::vector<int32_t> global_img = {44, 13906, 29, 6266, 46};
  EXPECT_NE(std::search(prompt->ids.begin(), prompt->ids.end(), global_img.begin(), global_img.end()),
            prompt->ids.end());
  EXPECT_EQ(prompt->visual_tokens, 81);
}

}  // namespace
}  // namespace eyeshot
