// llama.cpp's built-in template writes "User: " even before a picture; the reference writes "User:" there and "User: "
// before text.
#include <gtest/gtest.h>

#include "text/prompt.h"

namespace eyeshot {
namespace {

TEST(LlamaCppSpaceBeforeImage, NoSpaceWhenThePictureComesFirst) {
  const std::string dir = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
  const auto tokenizer = Tokenizer::Load(dir);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  const auto format = PromptFormat::Load(dir, *tokenizer, 64);
  ASSERT_TRUE(format.ok()) << format.status().message();
  const auto text = [&](std::vector<PromptPart> parts) {
    const PromptMessage message{.role = Role::kUser, .parts = std::move(parts)};
    const auto prompt = format->Render({&message, 1}, true);
    return prompt.ok() ? prompt->text : prompt.status().message();
  };
  EXPECT_TRUE(text({PromptImage{}, "Hi"}).starts_with("<|im_start|>User:<fake_token_around_image>"));
  EXPECT_TRUE(text({"Hi", PromptImage{}}).starts_with("<|im_start|>User: Hi<fake_token_around_image>"));
}

}  // namespace
}  // namespace eyeshot
