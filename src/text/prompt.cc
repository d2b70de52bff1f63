#include "text/prompt.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

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
constexpr char kMendTemplate[] = "use a model with SmolVLM's own template; only that is supported so far";

Status CheckTemplate(std::string_view text, const std::string& file) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  const std::string plain = std::string(kTemplateHead).append(kTemplateTail);
  const std::string with_video = std::string(kTemplateHead).append(kTemplateVideo).append(kTemplateTail);
  if (text == plain || text == with_video) return Status::Ok();
  return UnsupportedError(
      fmt::format("{}: the chat template is not SmolVLM's (it begins '{}')", file, text.substr(0, 60)), kMendTemplate);
}

// "chat_template" of a JSON file, if it has one.
Status CheckJsonTemplate(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxConfigBytes));
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, path));
  if (!root.Has("chat_template")) return Status::Ok();
  const Json& found = *root.Find("chat_template");
  if (!found.is_string()) {
    return root.Error(StatusCode::kUnsupported, "chat_template", "one template, as a string", kMendTemplate);
  }
  return CheckTemplate(found.get_ref<const std::string&>(), path);
}

// The first file that holds a template has the word, as in transformers.
Status CheckChatTemplate(const std::string& dir) {
  const std::string jinja = JoinPath(dir, "chat_template.jinja");
  if (FileExists(jinja)) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(jinja, limits::kMaxConfigBytes));
    return CheckTemplate(text, jinja);
  }
  for (const char* name : {"chat_template.json", "tokenizer_config.json"}) {
    const std::string path = JoinPath(dir, name);
    if (FileExists(path)) return CheckJsonTemplate(path);
  }
  return Status::Ok();
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kSystem: return "System";
    case Role::kUser: return "User";
    case Role::kAssistant: return "Assistant";
  }
  return "";
}

// English words as num2words writes them: "nine", "sixty-four", "one hundred and twenty-eight".
// REQUIRES: 1 <= number <= 999.
std::string NumberWords(size_t number) {
  static_assert(limits::kMaxFramesPerPrompt < 1000);
  constexpr std::array<std::string_view, 20> kSmall = {
      "zero", "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",    "nine",
      "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  constexpr std::array<std::string_view, 10> kTens = {"",      "",      "twenty",  "thirty", "forty",
                                                      "fifty", "sixty", "seventy", "eighty", "ninety"};
  if (number >= 100) {
    const std::string hundreds = fmt::format("{} hundred", kSmall[number / 100]);
    return number % 100 == 0 ? hundreds : fmt::format("{} and {}", hundreds, NumberWords(number % 100));
  }
  if (number < 20) return std::string(kSmall[number]);
  const std::string tens(kTens[number / 10]);
  return number % 10 == 0 ? tens : fmt::format("{}-{}", tens, kSmall[number % 10]);
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
  explicit Writer(int64_t visual_tokens_per_tile) {
    for (int64_t i = 0; i < visual_tokens_per_tile; ++i) slots_ += kImage;
  }

  std::string& text() { return text_; }
  int64_t tiles() const { return tiles_; }

  Status Message(const PromptMessage& message) {
    if (message.parts.empty()) {
      return InvalidArgumentError(fmt::format("a {} message without content", RoleName(message.role)),
                                  "give it a text or a picture");
    }
    const bool picture_first = std::holds_alternative<PromptImage>(message.parts.front());
    text_.append(RoleName(message.role)).append(picture_first ? ":" : ": ");
    for (const PromptPart& part : message.parts) {
      EYESHOT_RETURN_IF_ERROR(std::visit([this](const auto& value) { return Part(value); }, part));
      if (text_.size() > limits::kMaxPromptBytes) {
        return LimitError(fmt::format("the prompt is longer than {} bytes", limits::kMaxPromptBytes),
                          "send less text or fewer pictures");
      }
    }
    text_.append(kEnd).append("\n");
    return Status::Ok();
  }

 private:
  Status Part(const std::string& text) {
    for (const std::string_view slot : {kImage, kVideo}) {
      if (text.find(slot) == std::string::npos) continue;
      return InvalidArgumentError(fmt::format("a text contains '{}', which stands for a picture or clip", slot),
                                  "pass pictures and clips as parts of the message, and leave the word out");
    }
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
    for (int row = 1; row <= image.rows; ++row) {
      for (int col = 1; col <= image.cols; ++col) Tile(fmt::format("<row_{}_col_{}>", row, col));
      text_ += '\n';
    }
    if (grid > 0) text_ += '\n';
    Unsplit();
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
    fmt::format_to(std::back_inserter(text_),
                   "You are provided the following series of {} frames from a {} [H:MM:SS] video.\n",
                   NumberWords(video.timestamps_s.size()), Duration(video.duration_s));
    for (const double seconds : video.timestamps_s) {
      fmt::format_to(std::back_inserter(text_), "\nFrame from {}:", Timestamp(seconds));
      Unsplit();
    }
    text_ += "\n\n";
    return Status::Ok();
  }

  // transformers refuses the mixture as well: nobody has trained for it.
  static Status MixedError() {
    return InvalidArgumentError("pictures and clips in one prompt", "ask about the pictures and the clips separately");
  }

  void Tile(std::string_view marker) {
    text_.append(kFake).append(marker).append(slots_);
    ++tiles_;
  }

  // One tile with the closing marker: a picture that is not split, the global view, or a frame.
  void Unsplit() {
    Tile(kGlobal);
    text_ += kFake;
  }

  std::string slots_;  // of one tile
  std::string text_ = std::string(kStart);
  int64_t tiles_ = 0;
  size_t images_ = 0;
  size_t frames_ = 0;
};

}  // namespace

Result<PromptFormat> PromptFormat::Load(const std::string& dir, const Tokenizer& tokenizer,
                                        int64_t visual_tokens_per_tile) {
  EYESHOT_RETURN_IF_ERROR(CheckChatTemplate(dir));
  if (visual_tokens_per_tile < 1 || visual_tokens_per_tile > kMaxVisualTokensPerTile) {
    return InvalidArgumentError(fmt::format("{}: {} visual tokens a tile, expected 1 to {}", dir,
                                            visual_tokens_per_tile, kMaxVisualTokensPerTile),
                                "check config.json");
  }
  for (const std::string_view needed : {kStart, kEnd, kFake, kImage}) {
    if (!tokenizer.TokenId(needed)) {
      return CorruptError(fmt::format("{}: the tokenizer has no token '{}', which SmolVLM's prompt needs", dir, needed),
                          "download the tokenizer files again");
    }
  }
  PromptFormat format(tokenizer);
  format.visual_tokens_per_tile_ = visual_tokens_per_tile;
  format.image_token_id_ = *tokenizer.TokenId(kImage);
  return format;
}

Result<PromptFormat> PromptFormat::Create(const std::string& chat_template, const std::string& file,
                                          const Tokenizer& tokenizer, int64_t visual_tokens_per_tile) {
  if (!chat_template.empty()) EYESHOT_RETURN_IF_ERROR(CheckTemplate(chat_template, file));
  return Load("", tokenizer, visual_tokens_per_tile);
}

Result<Prompt> PromptFormat::Render(std::span<const PromptMessage> messages, bool add_generation_prompt) const {
  if (messages.empty()) return InvalidArgumentError("a prompt without messages", "give at least one");
  if (messages.size() > limits::kMaxTurns) {
    return LimitError(fmt::format("{} messages, the limit is {}", messages.size(), limits::kMaxTurns),
                      "leave out the oldest ones");
  }
  Writer writer(visual_tokens_per_tile_);
  for (const PromptMessage& message : messages) EYESHOT_RETURN_IF_ERROR(writer.Message(message));
  if (add_generation_prompt) writer.text() += "Assistant:";

  Prompt prompt;
  prompt.text = std::move(writer.text());
  prompt.ids = tokenizer_.Encode(prompt.text);
  prompt.visual_tokens = writer.tiles() * visual_tokens_per_tile_;
  const auto found = std::count(prompt.ids.begin(), prompt.ids.end(), image_token_id_);
  if (found != prompt.visual_tokens) {
    return CorruptError(fmt::format("the tokenizer reads {} of {} visual slots", found, prompt.visual_tokens),
                        "download the tokenizer files again");
  }
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
  // Each frame adds tokens: the largest number that fits by halving.
  int fit = 0;
  int too_many = static_cast<int>(times.size()) + 1;
  while (fit + 1 < too_many) {
    const int frames = fit + (too_many - fit) / 2;
    clip.timestamps_s.assign(times.begin(), times.begin() + frames);
    EYESHOT_ASSIGN_OR_RETURN(const Prompt prompt, Render(messages, true));
    (static_cast<int64_t>(prompt.ids.size()) <= tokens ? fit : too_many) = frames;
  }
  return fit;
}

}  // namespace eyeshot
