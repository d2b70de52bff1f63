// Conversations with models whose connectors were trained for few visual tokens: small ones with weights from a seed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eyeshot/engine.h"
#include "formats/testing.h"
#include "models/seeded_checkpoint.h"

namespace eyeshot {
namespace {

using testing::ExpectError;
using testing::TempDir;
using testing::TinyModelDir;

std::shared_ptr<const Image> Picture() {
  auto image = LoadImage(EYESHOT_SOURCE_DIR "/tests/data/golden/eyeshot-tiny/images/dev_0002_0.png");
  if (!image.ok()) throw std::runtime_error(image.status().message());
  return std::make_shared<const Image>(*std::move(image));
}

class ConnectorsTest : public ::testing::Test {
 protected:
  // The built-in model's files with two layers a part, other weights, and these keys.
  std::shared_ptr<Engine> Load(const nlohmann::json& keys) {
    std::ifstream file(TinyModelDir() + "/config.json");
    nlohmann::json config = nlohmann::json::parse(file);
    config.update(keys);
    for (const char* part : {"vision_config", "text_config"}) config[part]["num_hidden_layers"] = 2;
    const std::string source = dir_.File("source");
    std::filesystem::create_directory(source);
    for (const auto& entry : std::filesystem::directory_iterator(TinyModelDir())) {
      if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".xz") continue;
      std::filesystem::copy(entry.path(), source);
    }
    std::ofstream(source + "/config.json") << config;
    const Status written = WriteSeededCheckpoint(
        {.config_dir = source, .seed = 3, .out_dir = dir_.File("model"), .threads = 2, .on_progress = {}});
    if (!written.ok()) throw std::runtime_error(written.message());
    auto engine = Engine::Load({.model = dir_.File("model"), .device = "cpu", .on_progress = {}});
    if (!engine.ok()) throw std::runtime_error(engine.status().message());
    return *std::move(engine);
  }

  static Answer Ask(Chat& chat, std::vector<ContentPart> parts, const std::string& reduce = "none") {
    AskOptions options{.max_tokens = 4, .detail = {PictureDetail::Kind::kLow, 0}};
    options.reduce = reduce;
    auto answer = chat.Ask(std::move(parts), options);
    if (!answer.ok()) throw std::runtime_error(answer.status().message());
    return *std::move(answer);
  }

  TempDir dir_;
};

TEST_F(ConnectorsTest, AQueryConditionedPictureIsSeenAnewForEachQuestion) {
  const auto engine =
      Load({{"scale_factor", 16},
            {"connector_type", "quecc"},
            {"connector_config", {{"num_attention_heads", 6}, {"query_layer", 1}, {"key_layers", {0, 1, 2}}}}});
  const auto chat = *engine->NewChat();
  const auto picture = Picture();
  const Answer first = Ask(*chat, {picture, "Read the text."});
  EXPECT_EQ(first.visual_tokens, 1);
  EXPECT_EQ(first.ledger.cost(StageId::kConnect).runs, 2u);  // the question's embedding, and the connector
  // A second look with the same question is the first one; another question needs its own.
  EXPECT_EQ(Ask(*chat, {picture, "Read the text."}).ledger.cost(StageId::kEncode).runs, 0u);
  EXPECT_EQ(Ask(*chat, {picture, "How many lines are there?"}).ledger.cost(StageId::kEncode).runs, 1u);
  EXPECT_EQ(Ask(*chat, {"And the first line?"}).ledger.cost(StageId::kEncode).runs, 0u);
  const auto again = *engine->NewChat();
  EXPECT_EQ(Ask(*again, {picture, "Read the text."}).text, first.text);
}

TEST_F(ConnectorsTest, AnElasticModelKeepsWhatItWasTrainedWith) {
  const auto engine = Load({{"connector_type", "elastic"}, {"connector_config", {{"reduced_tokens", {1, 4, 16}}}}});
  const auto chat = *engine->NewChat();
  for (const auto& [reduce, tokens] : {std::pair("none", 64), {"elastic:16", 16}, {"elastic:1", 1}}) {
    chat->Reset();
    EXPECT_EQ(Ask(*chat, {Picture(), "Read the text."}, reduce).visual_tokens, tokens) << reduce;
  }
  AskOptions options;
  options.reduce = "elastic:9";
  ExpectError(chat->Ask({Picture(), "Read the text."}, options).status(), StatusCode::kInvalidArgument,
              {"9 tokens a tile", "1, 4, 16 and 64"});
}

TEST_F(ConnectorsTest, OtherModelsAreNotElastic) {
  const auto engine = Load({{"connector_type", "pixel_shuffle"}});
  AskOptions options;
  options.reduce = "elastic:16";
  ExpectError((*engine->NewChat())->Ask({Picture(), "Read the text."}, options).status(), StatusCode::kUnsupported,
              {"--reduce elastic", "stride"});
}

}  // namespace
}  // namespace eyeshot
