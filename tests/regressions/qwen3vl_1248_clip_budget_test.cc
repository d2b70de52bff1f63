// Qwen3-VL's cap on the tokens of a whole video was not applied, and engines cut long clips in silence. A clip that
// does not fit is refused with the number of frames that do, and that number is true.
#include <gtest/gtest.h>

#include "eyeshot/engine.h"

namespace eyeshot {
namespace {

Frames Clip(size_t count) {
  std::vector<Image> images(count, Image{8, 8, std::vector<uint8_t>(192, 128), 0, 0});
  return FramesFromImages(std::move(images), 1).value();
}

TEST(Qwen3Vl1248, TheNumberOfFramesThatFitIsSaidAndTrue) {
  const auto engine = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny", .on_progress = {}});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  const auto chat = (*engine)->NewChat();
  ASSERT_TRUE(chat.ok());
  const std::string question = "What happens?";
  AskOptions options;
  options.max_tokens = 1;
  const auto most = (*chat)->FramesThatFit(/*duration_s=*/64, /*most=*/64, question, options);
  ASSERT_TRUE(most.ok()) << most.status().message();
  EXPECT_GT(*most, 20);
  EXPECT_LT(*most, 32);  // 2,048 tokens, 64 and some words a frame

  const auto ask = [&](size_t frames) {
    return (*chat)->Ask({std::make_shared<const Frames>(Clip(frames)), question}, options);
  };
  const auto refused = ask(64);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kContextFull);
  EXPECT_NE(refused.status().mend().find("at most " + std::to_string(*most) + " frames"), std::string::npos)
      << refused.status().message();
  EXPECT_FALSE(ask(static_cast<size_t>(*most) + 1).ok());
  const auto answer = ask(static_cast<size_t>(*most));
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  EXPECT_EQ(answer->tiles, *most);
  // What was said before takes room from the next clip.
  EXPECT_EQ((*chat)->FramesThatFit(64, 64, question, options).value(), 0);
}

}  // namespace
}  // namespace eyeshot
