#include "text/prompt.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using nlohmann::json;
using testing::CheckpointDir;
using testing::ExpectError;
using testing::TempDir;

// One model's tokenizer and format, as tests/data/golden/prompts.json names and describes it.
struct Model {
  Tokenizer tokenizer;
  PromptFormat format;
  double longest_edge;
  double tile;
};

const json& Golden() {
  static const json golden = json::parse(testing::ReadAll(EYESHOT_SOURCE_DIR "/tests/data/golden/prompts.json"));
  return golden;
}

const Model& GetModel(const std::string& name) {
  static std::map<std::string, Model> models;
  const auto found = models.find(name);
  if (found != models.end()) return found->second;
  const json& description = Golden().at("processors").at(name);
  const std::string folder = description.at("folder");
  const std::string dir = folder == "eyeshot-tiny" ? testing::TinyModelDir() : CheckpointDir(folder);
  Tokenizer tokenizer = Tokenizer::Load(dir).value();
  PromptFormat format = PromptFormat::Load(dir, tokenizer, description.at("image_seq_len")).value();
  return models.emplace(name, Model{tokenizer, format, description.at("longest_edge"), description.at("tile")})
      .first->second;
}

std::vector<int32_t> FromRunLengths(const json& runs) {
  std::vector<int32_t> ids;
  for (const json& run : runs) ids.insert(ids.end(), run.at(1).get<size_t>(), run.at(0).get<int32_t>());
  return ids;
}

void ExpectIds(const Result<Prompt>& prompt, const json& golden, const Model& model) {
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  const std::vector<int32_t> expected = FromRunLengths(golden.at("ids"));
  EXPECT_EQ(prompt->ids.size(), golden.at("count").get<size_t>());
  EXPECT_EQ(prompt->ids, expected) << prompt->text;
  EXPECT_EQ(prompt->visual_tokens, std::count(expected.begin(), expected.end(), model.format.image_token_id()));
}

// The grid of a picture by the rules of transformers' resize and split, in double arithmetic.
PromptImage GridOf(double width, double height, const Model& model) {
  const double aspect = width / height;
  double w = model.longest_edge, h = model.longest_edge;
  (width >= height ? h : w) = std::trunc(width >= height ? h / aspect : w * aspect);
  double& shorter = width >= height ? h : w;
  shorter += std::fmod(shorter, 2) != 0 ? 1 : 0;
  const double resized = w / h;
  const auto up = [&](double side) { return std::ceil(side / model.tile); };
  if (w >= h) return {static_cast<int>(up(std::trunc(up(w) * model.tile / resized))), static_cast<int>(up(w))};
  return {static_cast<int>(up(h)), static_cast<int>(up(std::trunc(up(h) * model.tile * resized)))};
}

PromptMessage User(std::vector<PromptPart> parts) { return {Role::kUser, std::move(parts)}; }

TEST(PromptGoldens, EveryGridOfOnePicture) {
  for (const json& c : Golden().at("grids")) {
    const Model& model = GetModel(c.at("processor"));
    const std::vector<PromptMessage> messages = {
        User({PromptImage{c.at("rows"), c.at("cols")}, Golden().at("question").get<std::string>()})};
    SCOPED_TRACE(c.at("processor").get<std::string>() + " " + c.at("rows").dump() + " x " + c.at("cols").dump());
    ExpectIds(model.format.Render(messages, /*add_generation_prompt=*/true), c, model);
  }
}

Role RoleFromName(const std::string& name) {
  return name == "system" ? Role::kSystem : name == "user" ? Role::kUser : Role::kAssistant;
}

TEST(PromptGoldens, Conversations) {
  ASSERT_GE(Golden().at("conversations").size(), 30u);
  for (const json& c : Golden().at("conversations")) {
    const Model& model = GetModel(c.at("processor"));
    std::vector<PromptMessage> messages;
    size_t picture = 0;
    for (const json& message : c.at("messages")) {
      PromptMessage& out = messages.emplace_back(PromptMessage{RoleFromName(message.at("role")), {}});
      for (const json& item : message.at("content")) {
        if (item.at("type") == "text") {
          out.parts.emplace_back(item.at("text").get<std::string>());
          continue;
        }
        const json& size = c.at("pictures").at(picture++);
        out.parts.emplace_back(c.at("split").get<bool>() ? GridOf(size.at(0), size.at(1), model) : PromptImage{});
      }
    }
    SCOPED_TRACE(c.at("processor").get<std::string>() + " " + c.at("name").get<std::string>());
    ExpectIds(model.format.Render(messages, /*add_generation_prompt=*/true), c, model);
  }
}

TEST(PromptGoldens, Videos) {
  ASSERT_GE(Golden().at("video_prompts").size(), 30u);
  for (const json& c : Golden().at("video_prompts")) {
    const Model& model = GetModel(c.at("processor"));
    PromptVideo video;
    video.duration_s = c.at("duration");
    for (const json& index : c.at("frames_indices")) {
      video.timestamps_s.push_back(index.get<double>() / c.at("fps").get<double>());
    }
    const std::vector<PromptMessage> messages = {User({video, Golden().at("video_question").get<std::string>()})};
    SCOPED_TRACE(c.at("processor").get<std::string>() + " " + c.at("text").get<std::string>());
    ExpectIds(model.format.Render(messages, /*add_generation_prompt=*/true), c, model);
  }
}

// The text of a prompt without the generation prompt.
std::string TextOf(const std::vector<PromptMessage>& messages) {
  const Result<Prompt> prompt = GetModel("eyeshot-tiny").format.Render(messages, /*add_generation_prompt=*/false);
  return prompt.ok() ? prompt->text : prompt.status().message();
}

PromptVideo Clip(size_t frames, double duration_s) { return {std::vector<double>(frames, 0.0), duration_s}; }

std::string ClipIntroduction(size_t frames, double duration_s) {
  const std::string text = TextOf({User({Clip(frames, duration_s)})});
  const std::string head = "<|im_start|>User: You are provided the following series of ";
  EXPECT_EQ(text.substr(0, head.size()), head);
  return text.substr(head.size(), text.find('\n') - head.size());
}

TEST(PromptTest, NumbersInWords) {
  const std::map<size_t, std::string> words = {{1, "one"},
                                               {12, "twelve"},
                                               {20, "twenty"},
                                               {21, "twenty-one"},
                                               {40, "forty"},
                                               {64, "sixty-four"},
                                               {99, "ninety-nine"},
                                               {100, "one hundred"},
                                               {101, "one hundred and one"},
                                               {115, "one hundred and fifteen"},
                                               {128, "one hundred and twenty-eight"},
                                               {300, "three hundred"},
                                               {512, "five hundred and twelve"}};
  for (const auto& [number, expected] : words) {
    EXPECT_EQ(ClipIntroduction(number, 9.9), expected + " frames from a 0:00:09 [H:MM:SS] video.");
  }
}

TEST(PromptTest, Durations) {
  const std::map<double, std::string> clocks = {
      {0, "0:00:00"},      {59.999, "0:00:59"},       {3600, "1:00:00"},
      {86399, "23:59:59"}, {86400, "1 day, 0:00:00"}, {200000, "2 days, 7:33:20"}};
  for (const auto& [seconds, expected] : clocks) {
    EXPECT_EQ(ClipIntroduction(2, seconds), "two frames from a " + expected + " [H:MM:SS] video.");
  }
}

TEST(PromptTest, TimestampsDoNotCarryIntoHours) {
  PromptVideo video = Clip(1, 6000);
  video.timestamps_s[0] = 5999.9;
  EXPECT_NE(TextOf({User({video})}).find("\nFrame from 99:59:<fake"), std::string::npos);
  video.timestamps_s[0] = 6000;
  EXPECT_NE(TextOf({User({video})}).find("\nFrame from 100:00:<fake"), std::string::npos);
}

TEST(PromptTest, ColonBeforePictureAndText) {
  EXPECT_EQ(TextOf({User({std::string("Hi")})}), "<|im_start|>User: Hi<end_of_utterance>\n");
  EXPECT_EQ(TextOf({User({PromptImage{}, std::string("Hi")})}).substr(0, 47),
            "<|im_start|>User:<fake_token_around_image><glob");
  EXPECT_EQ(TextOf({User({std::string(), PromptImage{}})}).substr(0, 48),
            "<|im_start|>User: <fake_token_around_image><glob");
}

TEST(PromptTest, RefusesSlotsInText) {
  const PromptFormat& format = GetModel("smolvlm-256m").format;
  for (const std::string slot : {"<image>", "<video>"}) {
    const std::vector<PromptMessage> messages = {User({std::string("a ") + slot + " b"})};
    ExpectError(format.Render(messages, true).status(), StatusCode::kInvalidArgument, {"'" + slot + "'"});
  }
}

TEST(PromptTest, RefusesWhatIsNoPrompt) {
  const PromptFormat& format = GetModel("smolvlm-256m").format;
  const auto render = [&](std::vector<PromptMessage> messages) { return format.Render(messages, true).status(); };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  ExpectError(render({}), StatusCode::kInvalidArgument, {"without messages"});
  ExpectError(render({User({})}), StatusCode::kInvalidArgument, {"User message without content"});
  ExpectError(render({User({PromptImage{2, 0}})}), StatusCode::kInvalidArgument, {"2 x 0"});
  ExpectError(render({User({PromptImage{-1, -1}})}), StatusCode::kInvalidArgument, {"-1 x -1"});
  ExpectError(render({User({PromptVideo{}})}), StatusCode::kInvalidArgument, {"without frames"});
  ExpectError(render({User({Clip(1, nan)})}), StatusCode::kInvalidArgument, {"nan"});
  ExpectError(render({User({PromptVideo{{-1.0}, 5}})}), StatusCode::kInvalidArgument, {"-1 s"});
  ExpectError(render({User({PromptImage{}, Clip(1, 1)})}), StatusCode::kInvalidArgument, {"pictures and clips"});
  ExpectError(render({User({Clip(1, 1)}), User({PromptImage{}})}), StatusCode::kInvalidArgument,
              {"pictures and clips"});
}

TEST(PromptTest, RefusesTooMuch) {
  const PromptFormat& format = GetModel("eyeshot-tiny").format;
  const auto render = [&](std::vector<PromptMessage> messages) { return format.Render(messages, true).status(); };
  ExpectError(render({User({PromptImage{5, 13}})}), StatusCode::kLimitExceeded, {"5 x 13", "65"});
  ExpectError(render({User({PromptImage{1 << 30, 1 << 30}})}), StatusCode::kLimitExceeded, {"65"});
  ExpectError(render(std::vector<PromptMessage>(limits::kMaxTurns + 1, User({std::string("a")}))),
              StatusCode::kLimitExceeded, {"1025", "1024"});
  ExpectError(render({User(std::vector<PromptPart>(limits::kMaxImagesPerPrompt + 1, PromptImage{}))}),
              StatusCode::kLimitExceeded, {"256 pictures"});
  ExpectError(render({User({Clip(limits::kMaxFramesPerPrompt + 1, 1)})}), StatusCode::kLimitExceeded, {"512 frames"});
  ExpectError(render({User({std::string(limits::kMaxPromptBytes + 1, 'a')})}), StatusCode::kLimitExceeded,
              {"4194304 bytes"});
}

TEST(PromptTest, KnowsTemplatesByContent) {
  const Tokenizer& tokenizer = GetModel("smolvlm-256m").tokenizer;
  const std::string known = testing::ReadAll(testing::TinyModelDir() + "/chat_template.jinja");
  const TempDir dir;
  EXPECT_TRUE(PromptFormat::Load(dir.path(), tokenizer, 64).ok()) << "no template at all";
  dir.Write("tokenizer_config.json", json{{"chat_template", "{{ other }}"}}.dump());
  ExpectError(PromptFormat::Load(dir.path(), tokenizer, 64).status(), StatusCode::kUnsupported,
              {"tokenizer_config.json", "{{ other }}", "only that is supported"});
  dir.Write("tokenizer_config.json", json{{"chat_template", json::array()}}.dump());
  ExpectError(PromptFormat::Load(dir.path(), tokenizer, 64).status(), StatusCode::kUnsupported,
              {"tokenizer_config.json", "chat_template is []"});
  dir.Write("tokenizer_config.json", json{{"chat_template", known + "\n"}}.dump());
  EXPECT_TRUE(PromptFormat::Load(dir.path(), tokenizer, 64).ok());
  dir.Write("chat_template.json", json{{"chat_template", known}}.dump());
  EXPECT_TRUE(PromptFormat::Load(dir.path(), tokenizer, 64).ok());
  dir.Write("chat_template.jinja", "{% for message in messages %}");
  ExpectError(PromptFormat::Load(dir.path(), tokenizer, 64).status(), StatusCode::kUnsupported,
              {"chat_template.jinja"});
}

TEST(PromptTest, RefusesGraniteDoclingsTemplate) {
  ExpectError(
      PromptFormat::Load(CheckpointDir("granite-docling-258M"), GetModel("smolvlm-256m").tokenizer, 64).status(),
      StatusCode::kUnsupported, {"granite-docling-258M/chat_template.jinja"});
}

TEST(PromptTest, RefusesATokenizerWithoutThePromptsTokens) {
  TokenizerFile file;
  file.vocabulary = {"<|im_start|>", "<end_of_utterance>", "<image>"};
  const TempDir dir;
  ExpectError(PromptFormat::Load(dir.path(), Tokenizer::FromFile(file), 64).status(), StatusCode::kCorrupt,
              {"<fake_token_around_image>"});
  ExpectError(PromptFormat::Load(dir.path(), GetModel("smolvlm-256m").tokenizer, 0).status(),
              StatusCode::kInvalidArgument, {"0 visual tokens"});
}

}  // namespace
}  // namespace eyeshot
