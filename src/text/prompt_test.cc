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
  static const json golden = json::parse(testing::ReadAll(testing::UnpackedPath("golden/prompts.json")));
  return golden;
}

// The same for SmolVLM's relatives (tests/golden/prompts_family.py).
const json& FamilyGolden() {
  static const json golden = json::parse(testing::ReadAll(testing::UnpackedPath("golden/prompts-family.json")));
  return golden;
}

// All cases of one kind, of both files.
std::vector<json> Cases(const char* kind) {
  std::vector<json> cases = Golden().at(kind);
  for (const json& c : FamilyGolden().at(kind)) cases.push_back(c);
  return cases;
}

const json& Description(const std::string& name) {
  const json& processors = Golden().at("processors");
  return processors.contains(name) ? processors.at(name) : FamilyGolden().at("processors").at(name);
}

Tokenizer LoadTokenizer(const std::string& folder) {
  if (folder == "eyeshot-tiny") return Tokenizer::Load(testing::TinyModelDir()).value();
  if (folder != "granite-docling-258M") return Tokenizer::Load(CheckpointDir(folder)).value();
  const std::string path = testing::UnpackedPath("golden/tokenizer/granite-docling-258M.json");
  return Tokenizer::FromFile(ParseTokenizerJson(testing::ReadAll(path), path).value());
}

const Model& GetModel(const std::string& name) {
  static std::map<std::string, Model> models;
  const auto found = models.find(name);
  if (found != models.end()) return found->second;
  const json& description = Description(name);
  const std::string folder = description.at("folder");
  const std::string dir = folder == "eyeshot-tiny" ? testing::TinyModelDir() : CheckpointDir(folder);
  const Tokenizer tokenizer = LoadTokenizer(folder);
  const int64_t tokens_per_tile = description.at("image_seq_len");
  PromptFormat format =
      description.contains("template")
          ? PromptFormat::Create(description.at("template").get<std::string>(), name, tokenizer, tokens_per_tile)
                .value()
          : PromptFormat::Load(dir, tokenizer, tokens_per_tile).value();
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
  for (const json& c : Cases("grids")) {
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

std::vector<PromptMessage> MessagesOf(const json& c, const Model& model) {
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
  return messages;
}

TEST(PromptGoldens, Conversations) {
  ASSERT_GE(Cases("conversations").size(), 80u);
  for (const json& c : Cases("conversations")) {
    const Model& model = GetModel(c.at("processor"));
    SCOPED_TRACE(c.at("processor").get<std::string>() + " " + c.at("name").get<std::string>());
    ExpectIds(model.format.Render(MessagesOf(c, model), /*add_generation_prompt=*/true), c, model);
  }
}

TEST(PromptGoldens, Videos) {
  ASSERT_GE(Cases("video_prompts").size(), 45u);
  for (const json& c : Cases("video_prompts")) {
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

TEST(PromptTest, TheAnswersFirstWordsStandAfterTheColon) {
  const Model& model = GetModel("eyeshot-tiny");
  const std::vector<PromptMessage> messages = {User({"A or B?"})};
  const Result<Prompt> prompt = model.format.Render(messages, true, "Answer:");
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->text, "<|im_start|>User: A or B?<end_of_utterance>\nAssistant: Answer:");
  ExpectError(model.format.Render(messages, true, "<image>").status(), StatusCode::kInvalidArgument, {"<image>"});
}

PromptVideo Clip(size_t frames, double duration_s) {
  return {.timestamps_s = std::vector<double>(frames, 0.0), .duration_s = duration_s};
}

std::string ClipIntroduction(size_t frames, double duration_s) {
  const std::string text = TextOf({User({Clip(frames, duration_s)})});
  const std::string head = "<|im_start|>User: You are provided the following series of ";
  EXPECT_EQ(text.substr(0, head.size()), head);
  return text.substr(head.size(), text.find('\n') - head.size());
}

TEST(PromptTest, FramesMayHaveFewerVisualTokens) {
  const Model& model = GetModel("eyeshot-tiny");
  PromptVideo clip = Clip(3, 3);
  EXPECT_EQ(model.format.Render(std::vector{User({clip})}, true)->visual_tokens, 3 * 64);
  clip.frame_tokens = {64, 0, 16};
  EXPECT_EQ(model.format.Render(std::vector{User({clip})}, true)->visual_tokens, 80);
  clip.frame_tokens = {64, 65, 16};
  ExpectError(model.format.Render(std::vector{User({clip})}, true).status(), StatusCode::kInvalidArgument,
              {"65 visual tokens a frame", "0 to 64"});
  clip.frame_tokens = {64, 16};
  ExpectError(model.format.Render(std::vector{User({clip})}, true).status(), StatusCode::kInvalidArgument,
              {"2 frames where there are 3"});
}

// Markers stay, so that the model is told of every tile; the prompt says where each tile's tokens are.
TEST(PromptTest, TilesMayHaveFewerVisualTokens) {
  const Model& model = GetModel("eyeshot-tiny");
  const auto prompt = model.format.Render(std::vector{User({PromptImage{1, 2, {2, 0, 1}}, "What?"})}, true);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->text,
            "<|im_start|>User:<fake_token_around_image><row_1_col_1><image><image><fake_token_around_image>"
            "<row_1_col_2>\n\n<fake_token_around_image><global-img><image><fake_token_around_image>What?"
            "<end_of_utterance>\nAssistant:");
  EXPECT_EQ(prompt->ids, model.tokenizer.Encode(prompt->text));
  EXPECT_EQ(prompt->visual_tokens, 3);
  ASSERT_EQ(prompt->tiles.size(), 3u);
  const int32_t image = model.format.image_token_id();
  for (const PromptTile& tile : prompt->tiles) {
    EXPECT_NE(prompt->ids[static_cast<size_t>(tile.first) - 1], image);
    EXPECT_NE(prompt->ids[static_cast<size_t>(tile.first + tile.tokens)], image);
  }
  EXPECT_EQ(prompt->tiles[0].tokens, 2);
  // "<fake_token_around_image><row_1_col_2>" lies between the first two tiles.
  EXPECT_EQ(prompt->tiles[1].first, prompt->tiles[0].first + 4);
}

TEST(PromptTest, FramesAreCountedInWords) {
  for (const auto& [number, words] :
       std::map<size_t, std::string>{{1, "one"}, {64, "sixty-four"}, {512, "five hundred and twelve"}}) {
    EXPECT_EQ(ClipIntroduction(number, 9.9), words + " frames from a 0:00:09 [H:MM:SS] video.");
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

// The text of a user's message by the template of a folder.
std::string TextBy(const PromptFormat& format, std::vector<PromptPart> parts) {
  const std::vector<PromptMessage> messages = {User(std::move(parts))};
  const Result<Prompt> prompt = format.Render(messages, /*add_generation_prompt=*/true);
  return prompt.ok() ? prompt->text : prompt.status().message();
}

std::string HiBy(const std::string& dir) {
  const Result<PromptFormat> format = PromptFormat::Load(dir, GetModel("smolvlm-256m").tokenizer, 64);
  return format.ok() ? TextBy(*format, {std::string("Hi")}) : format.status().message();
}

TEST(PromptTest, TheFirstFileWithATemplateHasTheWord) {
  const std::string known = testing::ReadAll(testing::TinyModelDir() + "/chat_template.jinja");
  const std::string hi = "<|im_start|>User: Hi<end_of_utterance>\nAssistant:";
  const std::string other = "{{ messages[0]['content'][0]['text'] }}";
  const TempDir dir;
  EXPECT_EQ(HiBy(dir.path()), hi) << "no template at all";
  dir.Write("tokenizer_config.json", json{{"chat_template", other + "1"}}.dump());
  EXPECT_EQ(HiBy(dir.path()), "Hi1");
  const json named = {{{"name", "tools"}, {"template", "x"}}, {{"name", "default"}, {"template", other + "2"}}};
  dir.Write("tokenizer_config.json", json{{"chat_template", named}}.dump());
  EXPECT_EQ(HiBy(dir.path()), "Hi2");
  dir.Write("chat_template.json", json{{"chat_template", known + "\n"}}.dump());
  EXPECT_EQ(HiBy(dir.path()), hi);
  dir.Write("chat_template.jinja", other + "3");
  EXPECT_EQ(HiBy(dir.path()), "Hi3");
}

TEST(PromptTest, NamesWhatATemplateLacks) {
  const Tokenizer& tokenizer = GetModel("smolvlm-256m").tokenizer;
  const TempDir dir;
  dir.Write("tokenizer_config.json", json{{"chat_template", json::array()}}.dump());
  ExpectError(PromptFormat::Load(dir.path(), tokenizer, 64).status(), StatusCode::kUnsupported,
              {"tokenizer_config.json", "chat_template is []"});
  const auto create = [&](const char* text) { return PromptFormat::Create(text, "x.jinja", tokenizer, 64).status(); };
  ExpectError(create("a\n{% for message in messages %}"), StatusCode::kCorrupt, {"x.jinja", "line 2", "endfor"});
  ExpectError(create("a\nb {% macro m() %}"), StatusCode::kUnsupported, {"x.jinja", "line 2", "'macro'"});
  ExpectError(create("\n\n{{ messages | shuffle }}"), StatusCode::kUnsupported, {"line 3", "filter 'shuffle'"});
}

TEST(PromptTest, TemplatesKnowTheSpecialTokens) {
  const TempDir dir;
  dir.Write("chat_template.jinja",
            "{{ bos_token }}{{ messages[0].content[0].text }}{{ eos_token }}{{ pad_token is defined }}");
  dir.Write("special_tokens_map.json", R"({"bos_token": "<a>", "eos_token": {"content": "<b>"}})");
  EXPECT_EQ(HiBy(dir.path()), "<a>Hi<b>False");
  dir.Write("tokenizer_config.json", R"({"bos_token": {"content": "<c>"}, "eos_token": null})");
  EXPECT_EQ(HiBy(dir.path()), "<c>Hi<b>False");
}

TEST(PromptTest, ContentIsATextWhereTheTemplateTakesNoParts) {
  const Model& model = GetModel("smolvlm-256m");
  const char* text = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] + ';' }}{% endfor %}";
  const PromptFormat format = PromptFormat::Create(text, "x", model.tokenizer, 1).value();
  EXPECT_EQ(TextBy(format, {std::string("Hi")}), "[user] Hi;");
  EXPECT_EQ(TextBy(format, {std::string("See "), PromptImage{}, std::string("!")}),
            "[user] See <fake_token_around_image><global-img><image><fake_token_around_image>!;");
}

TEST(PromptTest, RefusesTemplatesWithoutAPlaceForPictures) {
  const Model& model = GetModel("smolvlm-256m");
  const auto render = [&](const char* text, std::vector<PromptPart> parts) {
    const PromptFormat format = PromptFormat::Create(text, "x.jinja", model.tokenizer, 64).value();
    const std::vector<PromptMessage> messages = {User(std::move(parts))};
    return format.Render(messages, true).status();
  };
  constexpr auto kUnsupported = StatusCode::kUnsupported;
  const std::string hi = "Hi";
  ExpectError(render("{{ messages[0].content[0].text }}", {hi, PromptImage{}}), kUnsupported, {"x.jinja", "'<image>'"});
  ExpectError(render("{{ messages[0].content[0].text }}<image>", {hi}), kUnsupported, {"'<image>'"});
  ExpectError(render("{{ messages[0].content[0].text }}<image>", {hi, Clip(1, 1)}), kUnsupported, {"'<video>'"});
  const PromptFormat granite = GetModel("granite-docling").format;
  const std::vector<PromptMessage> clip = {User({Clip(1, 1), hi})};
  ExpectError(granite.Render(clip, true).status(), kUnsupported, {"granite-docling-258M", "'<video>'", "clip"});
}

TEST(PromptTest, TemplatesRefuseConversationsInTheirOwnWords) {
  const char* text =
      "{{ messages[0].content[0].text }}"
      "{% if messages[0].role == 'system' %}\n{{ raise_exception('System role not supported') }}{% endif %}";
  const PromptFormat format = PromptFormat::Create(text, "x", GetModel("smolvlm-256m").tokenizer, 64).value();
  const std::vector<PromptMessage> messages = {{Role::kSystem, {std::string("Be brief.")}}};
  ExpectError(format.Render(messages, true).status(), StatusCode::kInvalidArgument,
              {"x", "line 2", "refuses this conversation", "System role not supported"});
}

TEST(PromptTest, RefusesSlotsThatPartsMakeTogether) {
  for (const char* name : {"smolvlm-256m", "granite-docling"}) {
    const PromptFormat& format = GetModel(name).format;
    const std::vector<PromptMessage> apart = {User({std::string("<im"), std::string("ag"), std::string("e>")})};
    ExpectError(format.Render(apart, true).status(), StatusCode::kInvalidArgument, {"'<image>'"});
    const std::vector<PromptMessage> between = {User({std::string("<im"), PromptImage{}, std::string("age>")})};
    EXPECT_TRUE(format.Render(between, true).ok());
  }
}

TEST(PromptTest, TokensBeforeEveryPromptStandOnce) {
  TokenizerFile file;
  file.vocabulary = {"<s>", "<fake_token_around_image>", "<image>", "H", "i"};
  file.added_tokens = {{.id = 0, .content = "<s>", .special = true}};
  file.prefix = {0};
  const Tokenizer tokenizer = Tokenizer::FromFile(file);
  const std::vector<PromptMessage> messages = {User({std::string("Hi")})};
  for (const char* text : {"{{ messages[0].content[0].text }}", "<s>{{ messages[0].content[0].text }}"}) {
    const PromptFormat format = PromptFormat::Create(text, "x", tokenizer, 64).value();
    EXPECT_EQ(format.Render(messages, true)->ids, (std::vector<int32_t>{0, 3, 4})) << text;
  }
}

TEST(PromptTest, TextModelsTakeNoPictures) {
  TokenizerFile file;
  file.vocabulary = {"H", "i"};
  const char* text = "{{ messages[0]['content'] + '' }}";
  const PromptFormat format = PromptFormat::Create(text, "x", Tokenizer::FromFile(file), 0).value();
  EXPECT_EQ(format.image_token_id(), -1);
  EXPECT_EQ(TextBy(format, {std::string("Hi")}), "Hi");
  const std::vector<PromptMessage> messages = {User({PromptImage{}})};
  ExpectError(format.Render(messages, true).status(), StatusCode::kUnsupported, {"texts alone"});
}

TEST(PromptTest, RefusesATokenizerWithoutThePromptsTokens) {
  TokenizerFile file;
  file.vocabulary = {"<|im_start|>", "<end_of_utterance>", "<image>"};
  const TempDir dir;
  ExpectError(PromptFormat::Load(dir.path(), Tokenizer::FromFile(file), 64).status(), StatusCode::kCorrupt,
              {"<fake_token_around_image>"});
  ExpectError(PromptFormat::Load(dir.path(), GetModel("smolvlm-256m").tokenizer, -1).status(),
              StatusCode::kInvalidArgument, {"-1 visual tokens"});
}

// SmolVLM's template by both ways: with a difference that writes nothing it is not recognized, and run.
TEST(PromptTest, TheKnownTemplateAndItsRunAreAlike) {
  const Model& model = GetModel("smolvlm-256m");
  const std::string text = "{# run #}" + testing::ReadAll(testing::TinyModelDir() + "/chat_template.jinja");
  const PromptFormat run = PromptFormat::Create(text, "x", model.tokenizer, 64).value();
  for (const json& c : Golden().at("conversations")) {
    if (c.at("processor") != "smolvlm-256m") continue;
    const std::vector<PromptMessage> messages = MessagesOf(c, model);
    EXPECT_EQ(run.Render(messages, true)->text, model.format.Render(messages, true)->text) << c.at("name");
    EXPECT_EQ(run.Render(messages, false)->ids, model.format.Render(messages, false)->ids) << c.at("name");
  }
}

}  // namespace
}  // namespace eyeshot
