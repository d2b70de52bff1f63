// granite-docling's tokenizer knows <end_of_utterance> as token 100352, for which the model has no row of its
// embedding: a question with that word read memory behind the table.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "eyeshot/engine.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

namespace fs = std::filesystem;

TEST(PromptTokenBeyondVocabulary, IsRefused) {
  const testing::TempDir dir;
  for (const fs::directory_entry& entry : fs::directory_iterator(testing::TinyModelDir())) {
    fs::create_symlink(entry.path(), dir.File(entry.path().filename().string()));
  }
  fs::remove(dir.File("tokenizer.json"));
  nlohmann::json tokenizer = nlohmann::json::parse(testing::ReadAll(testing::TinyModelDir() + "/tokenizer.json"));
  tokenizer["added_tokens"].push_back({{"id", 4096}, {"content", "<beyond>"}, {"special", true}});
  dir.Write("tokenizer.json", tokenizer.dump());

  const auto engine = Engine::Load({.model = dir.path(), .on_progress = {}});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  ASSERT_EQ((*engine)->info().vocabulary, 4096);
  const auto chat = (*engine)->NewChat({});
  ASSERT_TRUE(chat.ok());
  testing::ExpectError((*chat)->Ask({"What is <beyond>?"}, {.max_tokens = 1}).status(), StatusCode::kInvalidArgument,
                       {"'<beyond>'", "4096"});
  EXPECT_TRUE((*chat)->Ask({"What is beyond?"}, {.max_tokens = 1}).ok());
}

}  // namespace
}  // namespace eyeshot
