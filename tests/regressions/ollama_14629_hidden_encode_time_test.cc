// Ollama's answer accounted for 1 of 20 seconds: the vision encoder's time was nowhere (issue 14629), and neither were
// the picture's tokens (7592). Here every stage is in the ledger, and the prompt counts its visual tokens.
#include <gtest/gtest.h>

#include <chrono>

#include "eyeshot/engine.h"

namespace eyeshot {
namespace {

TEST(Ollama14629, EncodingIsAStageOfItsOwn) {
  auto engine = Engine::Load({.model = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny", .on_progress = {}});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  auto chat = (*engine)->NewChat();
  ASSERT_TRUE(chat.ok());
  auto image = std::make_shared<Image>();
  image->width = 640;
  image->height = 480;
  image->rgb.assign(640 * 480 * 3, 200);
  const auto start = std::chrono::steady_clock::now();
  const auto answer = (*chat)->Ask({std::shared_ptr<const Image>(image), "What is this?"}, {.max_tokens = 8});
  const auto wall = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(answer.ok()) << answer.status().message();
  const Ledger& ledger = answer->ledger;
  EXPECT_GT(ledger.cost(StageId::kEncode).wall_ns, 0u);
  EXPECT_GT(ledger.cost(StageId::kEncode).flops, ledger.cost(StageId::kPrefill).flops);
  const auto wall_ns = static_cast<uint64_t>(std::chrono::nanoseconds(wall).count());
  EXPECT_LE(ledger.total_wall_ns(), wall_ns);
  EXPECT_GT(answer->prompt_tokens, answer->visual_tokens);
  EXPECT_EQ(answer->visual_tokens, answer->tiles * 64);
}

}  // namespace
}  // namespace eyeshot
