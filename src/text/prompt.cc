#include "text/prompt.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <ranges>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"
#include "text/number_words.h"

namespace eyeshot {
namespace {

constexpr std::string_view kStart = "<|im_start|>";
constexpr std::string_view kEnd = "<end_of_utterance>";
constexpr std::string_view kFake = "<fake_token_around_image>";
constexpr std::string_view kGlobal = "<global-img>";
constexpr std::string_view kImage = "<image>";
constexpr std::string_view kVideo = "<video>";

// The template of SmolVLM's folders, and the one that SmolVLMProcessor puts in its place for clips.
constexpr std::string_view kTemplateHead =
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}";
constexpr std::string_view kTemplateVideo = "{% elif line['type'] == 'video' %}{{ '<video>' }}";
constexpr std::string_view kTemplateTail =
    "{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

// Seconds: Python's timedelta ends at 999,999,999 days; a clip of ten years is a mistake already.
constexpr double kMaxSeconds = 10 * 366 * 86400.0;
// SmolVLM has 64 or 81 visual tokens a tile; 128 x 128 would be one for each 4 x 4 pixels of its tiles.
constexpr int64_t kMaxVisualTokensPerTile = 128 * 128;
static_assert(limits::kMaxFramesPerPrompt <= 9999, "NumberWords() goes no further");
constexpr char kMendTemplate[] = "use a chat template that is one text";

bool IsSmolVlms(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  const std::string plain = std::string(kTemplateHead).append(kTemplateTail);
  const std::string with_video = std::string(kTemplateHead).append(kTemplateVideo).append(kTemplateTail);
  return text.empty() || text == plain || text == with_video;
}

// "chat_template" of a JSON file: a text, or a list of named ones of which the default is taken. Empty if it has none.
Result<std::string> JsonTemplate(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxConfigBytes));
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, path));
  const Json* const found = root.Find("chat_template");
  if (found == nullptr) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& item : *found) {
      EYESHOT_ASSIGN_OR_RETURN(const JsonObject named, JsonObject::Root(item, path + ": chat_template"));
      EYESHOT_ASSIGN_OR_RETURN(const std::string name, named.StringOr("name", ""));
      if (name == "default") return named.String("template");
    }
  }
  return root.Error(StatusCode::kUnsupported, "chat_template", "a text, or a list with one named \"default\"",
                    kMendTemplate);
}

struct FoundTemplate {
  std::string text;
  std::string file;
};

// The first file that holds a template has the word, as in transformers.
Result<FoundTemplate> FindTemplate(const std::string& dir) {
  FoundTemplate found{.file = JoinPath(dir, "chat_template.jinja")};
  if (FileExists(found.file)) {
    EYESHOT_ASSIGN_OR_RETURN(found.text, ReadTextFile(found.file, limits::kMaxConfigBytes));
    return found;
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    found.file = JoinPath(dir, name);
    if (!FileExists(found.file)) continue;
    EYESHOT_ASSIGN_OR_RETURN(found.text, JsonTemplate(found.file));
    return found;
  }
  return FoundTemplate{.file = dir};
}

// A special token of a configuration: "<s>" or {"content": "<s>"}.
std::string WordOf(const JsonObject& config, const std::string& key) {
  const Json* value = config.Find(key);
  if (value != nullptr && value->is_object() && value->contains("content")) value = &(*value)["content"];
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

Result<PromptWords> ReadWords(const std::string& dir) {
  PromptWords words;
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const std::string path = JoinPath(dir, name);
    if (!FileExists(path)) continue;
    EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxConfigBytes));
    EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Root(tree, path));
    if (words.bos_token.empty()) words.bos_token = WordOf(config, "bos_token");
    if (words.eos_token.empty()) words.eos_token = WordOf(config, "eos_token");
    if (words.pad_token.empty()) words.pad_token = WordOf(config, "pad_token");
    if (words.unk_token.empty()) words.unk_token = WordOf(config, "unk_token");
  }
  return words;
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kSystem: return "System";
    case Role::kUser: return "User";
    case Role::kAssistant: return "Assistant";
  }
  return "";
}

// As chat templates know them.
std::string_view TemplateRole(Role role) {
  switch (role) {
    case Role::kSystem: return "system";
    case Role::kUser: return "user";
    case Role::kAssistant: return "assistant";
  }
  return "";
}

// Refuses texts that would be read as visual slots, also where parts that follow each other make one together.
Status CheckMessage(const PromptMessage& message) {
  if (message.parts.empty()) {
    return InvalidArgumentError(fmt::format("a {} message without content", RoleName(message.role)),
                                "give it a text or a picture");
  }
  std::string run;  // the texts since the last picture
  for (const PromptPart& part : message.parts) {
    const std::string* const text = std::get_if<std::string>(&part);
    if (text == nullptr) run.clear();
    if (text == nullptr) continue;
    const size_t from = run.size() - std::min(run.size(), kVideo.size() - 1);
    run += *text;
    for (const std::string_view slot : {kImage, kVideo}) {
      if (run.find(slot, from) == std::string::npos) continue;
      return InvalidArgumentError(fmt::format("a text contains '{}', which stands for a picture or clip", slot),
                                  "pass pictures and clips as parts of the message, and leave the word out");
    }
  }
  return Status::Ok();
}

// "0:00:09", "1 day, 0:00:00": Python's str(timedelta(seconds=int(seconds))).
std::string Duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  const int64_t days = whole / 86400;
  const int64_t rest = whole % 86400;
  const std::string clock = fmt::format("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
  return days == 0 ? clock : fmt::format("{} day{}, {}", days, days == 1 ? "" : "s", clock);
}

// "01:40": minutes are not carried into hours.
std::string Timestamp(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  return fmt::format("{:02}:{:02}", whole / 60, whole % 60);
}

bool IsTime(double seconds) { return seconds >= 0 && seconds <= kMaxSeconds; }

// Writes the text of a prompt and counts what is in it.
class Writer {
 public:
  explicit Writer(int64_t visual_tokens_per_tile) : visual_tokens_per_tile_(visual_tokens_per_tile) {}

  std::string& text() { return text_; }
  // How many visual tokens each tile has.
  const std::vector<int64_t>& tiles() const { return tiles_; }

  // Where the text has a slot for a tile without tokens, so that its place among the ids can be told.
  const std::vector<size_t>& stand_ins() const { return stand_ins_; }

  // Messages as SmolVLM's template puts them. REQUIRES: CheckMessage() of each.
  Status Smolvlm(std::span<const PromptMessage> messages, bool add_generation_prompt) {
    text_ = kStart;
    for (const PromptMessage& message : messages) {
      const bool picture_first = std::holds_alternative<PromptImage>(message.parts.front());
      text_.append(RoleName(message.role)).append(picture_first ? ":" : ": ");
      for (const PromptPart& part : message.parts) EYESHOT_RETURN_IF_ERROR(Add(part));
      text_.append(kEnd).append("\n");
    }
    if (add_generation_prompt) text_ += "Assistant:";
    return Status::Ok();
  }

  // What another template made of the messages, its slots written out. `where` names the template.
  Status Rendered(std::string_view rendered, std::span<const PromptMessage> messages, const std::string& where) {
    for (const PromptMessage& message : messages) {
      for (const PromptPart& part : message.parts) {
        if (std::holds_alternative<std::string>(part)) continue;
        const std::string_view slot = std::holds_alternative<PromptImage>(part) ? kImage : kVideo;
        const size_t at = FirstSlot(rendered);
        if (!rendered.substr(at).starts_with(slot)) return SlotError(where, slot);
        text_ += rendered.substr(0, at);
        EYESHOT_RETURN_IF_ERROR(Add(part));
        rendered.remove_prefix(at + slot.size());
      }
    }
    if (const size_t at = FirstSlot(rendered); at < rendered.size()) {
      return SlotError(where, rendered.substr(at).starts_with(kImage) ? kImage : kVideo);
    }
    return Add(std::string(rendered));
  }

  // The answer's first words, where the model would say them: after a space, or after the template's line break.
  Status Begin(std::string_view answer_start) {
    EYESHOT_RETURN_IF_ERROR(CheckMessage({Role::kAssistant, {std::string(answer_start)}}));
    if (!text_.empty() && text_.back() != ' ' && text_.back() != '\n') text_ += ' ';
    return Add(std::string(answer_start));
  }

 private:
  static size_t FirstSlot(std::string_view text) {
    return std::min({text.find(kImage), text.find(kVideo), text.size()});
  }

  static Status SlotError(const std::string& where, std::string_view slot) {
    return UnsupportedError(
        fmt::format("{}: the chat template does not write one '{}' for each {} where the message has it", where, slot,
                    slot == kImage ? "picture" : "clip"),
        "use a template that does, or leave them out");
  }

  Status Add(const PromptPart& part) {
    EYESHOT_RETURN_IF_ERROR(std::visit([this](const auto& value) { return Part(value); }, part));
    if (text_.size() > limits::kMaxPromptBytes) {
      return LimitError(fmt::format("the prompt is longer than {} bytes", limits::kMaxPromptBytes),
                        "send less text or fewer pictures");
    }
    return Status::Ok();
  }

  Status Part(const std::string& text) {
    text_ += text;
    return Status::Ok();
  }

  Status Part(const PromptImage& image) {
    if (frames_ > 0) return MixedError();
    if (++images_ > limits::kMaxImagesPerPrompt) {
      return LimitError(fmt::format("more than {} pictures in one prompt", limits::kMaxImagesPerPrompt),
                        "send fewer pictures");
    }
    const int64_t grid = int64_t{image.rows} * image.cols;
    if (image.rows < 0 || image.cols < 0 || (grid == 0 && image.rows + image.cols != 0)) {
      return InvalidArgumentError(fmt::format("a grid of {} x {} tiles", image.rows, image.cols),
                                  "give both sides, or 0 x 0 for a picture that is not split");
    }
    if (grid + 1 > static_cast<int64_t>(limits::kMaxTilesPerImage)) {
      return LimitError(fmt::format("a grid of {} x {} tiles, the limit is {} with the global view", image.rows,
                                    image.cols, limits::kMaxTilesPerImage),
                        "use a smaller longest_edge");
    }
    EYESHOT_RETURN_IF_ERROR(CheckTokens(image.tile_tokens, static_cast<size_t>(grid) + 1, "tile"));
    size_t tile = 0;
    for (int row = 1; row <= image.rows; ++row) {
      for (int col = 1; col <= image.cols; ++col) {
        Tile(fmt::format("<row_{}_col_{}>", row, col), TokensOf(image.tile_tokens, tile++));
      }
      text_ += '\n';
    }
    if (grid > 0) text_ += '\n';
    Unsplit(TokensOf(image.tile_tokens, tile));
    return Status::Ok();
  }

  Status Part(const PromptVideo& video) {
    if (images_ > 0) return MixedError();
    if (video.timestamps_s.empty()) return InvalidArgumentError("a clip without frames", "check the clip");
    frames_ += video.timestamps_s.size();
    if (frames_ > limits::kMaxFramesPerPrompt) {
      return LimitError(fmt::format("more than {} frames in one prompt", limits::kMaxFramesPerPrompt),
                        "take fewer frames a second or a shorter clip");
    }
    const auto wrong = std::find_if_not(video.timestamps_s.begin(), video.timestamps_s.end(), IsTime);
    if (wrong != video.timestamps_s.end() || !IsTime(video.duration_s)) {
      return InvalidArgumentError(
          fmt::format("a clip's time of {} s", wrong == video.timestamps_s.end() ? video.duration_s : *wrong),
          fmt::format("give times from 0 to {} s", kMaxSeconds));
    }
    EYESHOT_RETURN_IF_ERROR(CheckTokens(video.frame_tokens, video.timestamps_s.size(), "frame"));
    fmt::format_to(std::back_inserter(text_),
                   "You are provided the following series of {} frames from a {} [H:MM:SS] video.\n",
                   NumberWords(video.timestamps_s.size()), Duration(video.duration_s));
    for (size_t frame = 0; frame < video.timestamps_s.size(); ++frame) {
      fmt::format_to(std::back_inserter(text_), "\nFrame from {}:", Timestamp(video.timestamps_s[frame]));
      Unsplit(TokensOf(video.frame_tokens, frame));
    }
    text_ += "\n\n";
    return Status::Ok();
  }

  // transformers refuses the mixture as well: nobody has trained for it.
  static Status MixedError() {
    return InvalidArgumentError("pictures and clips in one prompt", "ask about the pictures and the clips separately");
  }

  // `what` each number is of: a tile or a frame.
  Status CheckTokens(std::span<const int64_t> tokens, size_t tiles, std::string_view what) const {
    if (tokens.empty()) return Status::Ok();
    if (tokens.size() != tiles) {
      return InvalidArgumentError(fmt::format("visual tokens of {} {}s where there are {}", tokens.size(), what, tiles),
                                  fmt::format("give one number for each {}, or none", what));
    }
    const auto wrong =
        std::find_if(tokens.begin(), tokens.end(), [&](int64_t n) { return n < 0 || n > visual_tokens_per_tile_; });
    if (wrong == tokens.end()) return Status::Ok();
    return InvalidArgumentError(fmt::format("{} visual tokens a {}", *wrong, what),
                                fmt::format("give 0 to {}", visual_tokens_per_tile_));
  }

  int64_t TokensOf(std::span<const int64_t> tokens, size_t tile) const {
    return tokens.empty() ? visual_tokens_per_tile_ : tokens[tile];
  }

  void Tile(std::string_view marker, int64_t visual_tokens) {
    text_.append(kFake).append(marker);
    if (visual_tokens == 0) stand_ins_.push_back(text_.size());
    for (int64_t i = 0; i < std::max<int64_t>(visual_tokens, 1); ++i) text_ += kImage;
    tiles_.push_back(visual_tokens);
  }

  // One tile with the closing marker: a picture that is not split, the global view, or a frame.
  void Unsplit(int64_t visual_tokens) {
    Tile(kGlobal, visual_tokens);
    text_ += kFake;
  }

  int64_t visual_tokens_per_tile_;
  std::string text_;
  std::vector<int64_t> tiles_;
  std::vector<size_t> stand_ins_;
  size_t images_ = 0;
  size_t frames_ = 0;
};

// A message as chat templates take it. as_text: its content is one text, with slots in it.
Result<JinjaValue> MessageValue(const PromptMessage& message, bool as_text) {
  JinjaValue::List list;
  std::string joined;
  for (const PromptPart& part : message.parts) {
    const std::string* const text = std::get_if<std::string>(&part);
    const bool is_image = std::holds_alternative<PromptImage>(part);
    if (as_text) {
      joined += text != nullptr ? std::string_view(*text) : is_image ? kImage : kVideo;
      continue;
    }
    JinjaValue::Dict fields;
    fields.emplace_back("type", JinjaValue::Text(text != nullptr ? "text" : is_image ? "image" : "video"));
    if (text != nullptr) fields.emplace_back("text", JinjaValue::Text(*text));
    EYESHOT_ASSIGN_OR_RETURN(JinjaValue value, JinjaValue::FromDict(std::move(fields)));
    list.push_back(std::move(value));
  }
  EYESHOT_ASSIGN_OR_RETURN(JinjaValue parts, JinjaValue::FromList(std::move(list)));
  return JinjaValue::FromDict({{"role", JinjaValue::Text(std::string(TemplateRole(message.role)))},
                               {"content", as_text ? JinjaValue::Text(std::move(joined)) : std::move(parts)}});
}

// Finds the tiles' visual tokens among the ids, and takes those out that stand for empty tiles.
Status PlaceTiles(const Writer& writer, int32_t image_token, Prompt& prompt) {
  std::vector<int32_t> ids;
  ids.reserve(prompt.ids.size());
  size_t at = 0;
  const auto copy_text = [&] {
    while (at < prompt.ids.size() && prompt.ids[at] != image_token) ids.push_back(prompt.ids[at++]);
  };
  bool complete = true;
  for (const int64_t tokens : writer.tiles()) {
    copy_text();
    prompt.tiles.push_back({static_cast<int64_t>(ids.size()), tokens});
    prompt.visual_tokens += tokens;
    const auto slots = static_cast<size_t>(std::max<int64_t>(tokens, 1));
    for (const size_t end = at + slots; complete && at < end; ++at) {
      complete = at < prompt.ids.size() && prompt.ids[at] == image_token;
    }
    ids.insert(ids.end(), static_cast<size_t>(tokens), image_token);
  }
  copy_text();
  if (!complete || at < prompt.ids.size()) {
    return CorruptError(fmt::format("the tokenizer does not read {} visual slots as such", prompt.visual_tokens),
                        "download the tokenizer files again");
  }
  prompt.ids = std::move(ids);
  for (const size_t place : std::views::reverse(writer.stand_ins())) prompt.text.erase(place, kImage.size());
  return Status::Ok();
}

Status CheckTokens(const Tokenizer& tokenizer, bool is_smolvlm, bool takes_pictures, const std::string& where) {
  std::vector<std::string_view> needed;
  if (is_smolvlm) needed = {kStart, kEnd};
  if (takes_pictures) needed.insert(needed.end(), {kFake, kImage});
  for (const std::string_view word : needed) {
    if (tokenizer.TokenId(word)) continue;
    return CorruptError(fmt::format("{}: the tokenizer has no token '{}', which the prompt needs", where, word),
                        "download the tokenizer files again");
  }
  return Status::Ok();
}

}  // namespace

Result<PromptFormat> PromptFormat::Load(const std::string& dir, const Tokenizer& tokenizer,
                                        int64_t visual_tokens_per_tile) {
  EYESHOT_ASSIGN_OR_RETURN(const FoundTemplate found, FindTemplate(dir));
  PromptWords words;
  if (!IsSmolVlms(found.text)) {
    EYESHOT_ASSIGN_OR_RETURN(words, ReadWords(dir));
  }
  return Create(found.text, found.file, tokenizer, visual_tokens_per_tile, words);
}

Result<PromptFormat> PromptFormat::Create(std::string_view template_text, const std::string& where,
                                          const Tokenizer& tokenizer, int64_t visual_tokens_per_tile,
                                          const PromptWords& words) {
  if (visual_tokens_per_tile < 0 || visual_tokens_per_tile > kMaxVisualTokensPerTile) {
    return InvalidArgumentError(fmt::format("{}: {} visual tokens a tile, expected 0 to {}", where,
                                            visual_tokens_per_tile, kMaxVisualTokensPerTile),
                                "check config.json");
  }
  const bool is_smolvlm = IsSmolVlms(template_text);
  EYESHOT_RETURN_IF_ERROR(CheckTokens(tokenizer, is_smolvlm, visual_tokens_per_tile > 0, where));
  PromptFormat format(tokenizer);
  format.where_ = where;
  format.words_ = words;
  format.visual_tokens_per_tile_ = visual_tokens_per_tile;
  if (visual_tokens_per_tile > 0) format.image_token_id_ = *tokenizer.TokenId(kImage);
  if (is_smolvlm) return format;
  EYESHOT_ASSIGN_OR_RETURN(format.template_, JinjaTemplate::Parse(template_text, where));
  EYESHOT_RETURN_IF_ERROR(format.Probe());
  return format;
}

Status PromptFormat::Probe() {
  const std::string mark = "What is this?";
  const PromptMessage message{Role::kUser, {mark}};
  Status first;
  for (const bool as_text : {false, true}) {
    content_is_text_ = as_text;
    const Result<std::string> rendered = RunTemplate({&message, 1}, /*add_generation_prompt=*/true);
    if (rendered.ok() && rendered->find(mark) != std::string::npos) return Status::Ok();
    if (!as_text) first = rendered.status();
  }
  // It may want more than one message; but what this build can't run, it can't run later either.
  content_is_text_ = false;
  return first.code() == StatusCode::kUnsupported ? first : Status::Ok();
}

Result<std::string> PromptFormat::RunTemplate(std::span<const PromptMessage> messages,
                                              bool add_generation_prompt) const {
  JinjaValue::List list;
  for (const PromptMessage& message : messages) {
    EYESHOT_ASSIGN_OR_RETURN(JinjaValue value, MessageValue(message, content_is_text_));
    list.push_back(std::move(value));
  }
  EYESHOT_ASSIGN_OR_RETURN(JinjaValue values, JinjaValue::FromList(std::move(list)));
  JinjaValue::Dict variables = {{"messages", std::move(values)},
                                {"add_generation_prompt", JinjaValue::Bool(add_generation_prompt)},
                                {"tools", JinjaValue::None()},
                                {"documents", JinjaValue::None()}};
  const auto add = [&](const char* name, const std::string& word) {
    if (!word.empty()) variables.emplace_back(name, JinjaValue::Text(word));
  };
  add("bos_token", words_.bos_token);
  add("eos_token", words_.eos_token);
  add("pad_token", words_.pad_token);
  add("unk_token", words_.unk_token);
  return template_->Render(variables);
}

Result<Prompt> PromptFormat::Render(std::span<const PromptMessage> messages, bool add_generation_prompt,
                                    std::string_view answer_start) const {
  if (messages.empty()) return InvalidArgumentError("a prompt without messages", "give at least one");
  if (messages.size() > limits::kMaxTurns) {
    return LimitError(fmt::format("{} messages, the limit is {}", messages.size(), limits::kMaxTurns),
                      "leave out the oldest ones");
  }
  for (const PromptMessage& message : messages) EYESHOT_RETURN_IF_ERROR(CheckMessage(message));
  Writer writer(visual_tokens_per_tile_);
  if (template_) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string rendered, RunTemplate(messages, add_generation_prompt));
    EYESHOT_RETURN_IF_ERROR(writer.Rendered(rendered, messages, where_));
  } else {
    EYESHOT_RETURN_IF_ERROR(writer.Smolvlm(messages, add_generation_prompt));
  }
  if (!writer.tiles().empty() && visual_tokens_per_tile_ == 0) {
    return UnsupportedError("pictures for a model that takes texts alone",
                            "leave them out, or use a model with a vision tower");
  }

  if (!answer_start.empty()) EYESHOT_RETURN_IF_ERROR(writer.Begin(answer_start));

  Prompt prompt;
  prompt.text = std::move(writer.text());
  prompt.ids = tokenizer_.EncodePrompt(prompt.text);
  EYESHOT_RETURN_IF_ERROR(PlaceTiles(writer, image_token_id_, prompt));
  return prompt;
}

Result<int> PromptFormat::FramesThatFit(std::vector<PromptMessage> messages, int64_t tokens) const {
  if (messages.empty()) return 0;
  std::vector<PromptPart>& parts = messages.back().parts;
  const auto is_clip = [](const PromptPart& part) { return std::holds_alternative<PromptVideo>(part); };
  const auto place = std::find_if(parts.begin(), parts.end(), is_clip);
  if (place == parts.end()) return 0;
  auto& clip = std::get<PromptVideo>(*place);
  const std::vector<double> times = clip.timestamps_s;
  const std::vector<int64_t> tokens_of_frames = clip.frame_tokens;
  // Each frame adds tokens: the largest number that fits by halving.
  int fit = 0;
  int too_many = static_cast<int>(times.size()) + 1;
  while (fit + 1 < too_many) {
    const int frames = fit + (too_many - fit) / 2;
    clip.timestamps_s.assign(times.begin(), times.begin() + frames);
    if (!tokens_of_frames.empty())
      clip.frame_tokens.assign(tokens_of_frames.begin(), tokens_of_frames.begin() + frames);
    EYESHOT_ASSIGN_OR_RETURN(const Prompt prompt, Render(messages, true));
    (static_cast<int64_t>(prompt.ids.size()) <= tokens ? fit : too_many) = frames;
  }
  return fit;
}

}  // namespace eyeshot
