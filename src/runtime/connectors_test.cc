// Conversations with models whose connectors were trained for few visual tokens: small ones with weights from a seed.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "eyeshot/engine.h"
#include "eyeshot/scheduler.h"
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
  std::shared_ptr<Engine> Load(const nlohmann::json& keys, const std::string& backend = "auto") {
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
    auto engine = Engine::Load({.model = dir_.File("model"), .device = "cpu", .backend = backend, .on_progress = {}});
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

const nlohmann::json kQuecc = {
    {"scale_factor", 16},
    {"connector_type", "quecc"},
    {"connector_config", {{"num_attention_heads", 6}, {"query_layer", 1}, {"key_layers", {0, 1, 2}}}}};

TEST_F(ConnectorsTest, AQueryConditionedPictureIsSeenAnewForEachQuestion) {
  const auto engine = Load(kQuecc);
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

// In slices, with other requests' pictures, and one of two questions about one picture.
TEST_F(ConnectorsTest, AQueryConditionedPictureIsSeenWithItsOwnRequestsQuestion) {
  const auto engine = Load(kQuecc, "reference");
  const auto picture = Picture();
  const AskOptions options{.max_tokens = 4, .detail = {PictureDetail::Kind::kLow, 0}, .ignore_end = true};
  const std::vector<std::string> questions = {"Read the text.", "How many lines are there?", "Read the text."};
  std::vector<std::string> alone;
  for (const std::string& question : questions) {
    alone.push_back((*engine->NewChat())->Ask({picture, question}, options)->text);
  }
  auto scheduler = *Scheduler::Create(engine, {.slice_share = 1e-6});
  const auto submit = [&](std::vector<Message> messages) {
    auto promise = std::make_shared<std::promise<Result<Answer>>>();
    const auto id =
        scheduler->Submit({.messages = std::move(messages),
                           .options = options,
                           .on_text = {},
                           .on_done = [promise](Result<Answer> answer) { promise->set_value(std::move(answer)); }});
    if (!id.ok()) throw std::runtime_error(id.status().message());
    return promise->get_future();
  };
  std::vector<std::future<Result<Answer>>> answers;
  for (const std::string& question : questions) answers.push_back(submit({Message::User({picture, question})}));
  uint64_t encoded = 0;
  for (size_t i = 0; i < answers.size(); ++i) {
    const Result<Answer> answer = answers[i].get();
    ASSERT_TRUE(answer.ok()) << answer.status().message();
    EXPECT_EQ(answer->text, alone[i]) << questions[i];
    if (answer->ledger.cost(StageId::kEncode).runs == 0) continue;
    ++encoded;
    // The question's embedding, and the connector.
    EXPECT_EQ(answer->ledger.cost(StageId::kConnect).runs, 2u) << questions[i];
  }
  EXPECT_EQ(encoded, 2u) << "pictures that were asked about alike are seen once";

  scheduler = *Scheduler::Create(engine, {.slice_share = 1e-6});  // which has seen nothing
  const auto chat = *engine->NewChat();
  const Answer said = *chat->Ask({picture, questions[0]}, options);
  const Answer then = *chat->Ask({picture, questions[1]}, options);
  const Result<Answer> both = submit({Message::User({picture, questions[0]}), Message::Assistant(said.text),
                                      Message::User({picture, questions[1]})})
                                  .get();
  ASSERT_TRUE(both.ok()) << both.status().message();
  EXPECT_EQ(both->text, then.text);
  EXPECT_EQ(both->ledger.cost(StageId::kConnect).runs, 4u) << "each is seen with its own question";
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
