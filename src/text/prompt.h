// Prompts: chat template and visual slots, string for string as transformers' SmolVLMProcessor and Idefics3Processor
// write them.
//
// docs/prompts.md shows the layout with ids and token counts, and what templates may hold.
#ifndef EYESHOT_TEXT_PROMPT_H_
#define EYESHOT_TEXT_PROMPT_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/status.h"
#include "text/jinja.h"
#include "text/tokenizer.h"

namespace eyeshot {

// A picture's grid of tiles; the global view comes after them. 0 x 0: the picture is one tile.
struct PromptImage {
  int rows = 0;
  int cols = 0;
  std::vector<int64_t> tile_tokens;  // visual tokens of each, the global view last; empty: as many as the model has
};

// A clip: one unsplit tile a frame.
struct PromptVideo {
  std::vector<double> timestamps_s;  // of each frame, from the start of the clip
  double duration_s = 0;             // of the whole clip
  std::vector<int64_t> frame_tokens;  // visual tokens of each; empty: as many as the model has for a tile
};

using PromptPart = std::variant<std::string, PromptImage, PromptVideo>;

struct PromptMessage {
  Role role = Role::kUser;
  std::vector<PromptPart> parts;
};

// Where a tile's visual tokens are in a prompt: ids [first, first + tokens) are the image token.
struct PromptTile {
  int64_t first = 0;
  int64_t tokens = 0;
};

struct Prompt {
  std::string text;          // with every visual slot written out
  std::vector<int32_t> ids;  // of the text
  // In the order of messages, parts, tiles (row by row, the global view last) and frames: visual_tokens_per_tile of
  // each, unless the part wants fewer. A tile without tokens has its markers all the same.
  std::vector<PromptTile> tiles;
  int64_t visual_tokens = 0;  // of all tiles
};

// What a chat template may call special tokens: the variables bos_token, eos_token, ... Empty ones are undefined.
struct PromptWords {
  std::string bos_token;
  std::string eos_token;
  std::string pad_token;
  std::string unk_token;
};

// How messages become a prompt for one model. Copies are cheap; safe to use from several threads.
class PromptFormat {
 public:
  // Create() with the chat template of `dir` (chat_template.jinja, chat_template.json, or tokenizer_config.json) and
  // the words of tokenizer_config.json or special_tokens_map.json.
  static Result<PromptFormat> Load(const std::string& dir, const Tokenizer& tokenizer, int64_t visual_tokens_per_tile);

  // From the text of a template; empty: SmolVLM's. SmolVLM's own is recognized by its content and needs no Jinja; any
  // other is run (text/jinja.h). `where` names it in errors. visual_tokens_per_tile 0: the model takes no pictures.
  // Errors: those of JinjaTemplate; kCorrupt (the tokenizer lacks a token that the prompt needs).
  static Result<PromptFormat> Create(std::string_view template_text, const std::string& where,
                                     const Tokenizer& tokenizer, int64_t visual_tokens_per_tile,
                                     const PromptWords& words = {});

  // add_generation_prompt: ends with what the model answers to, "Assistant:", and with the answer's first words where
  // they are given, "Assistant: Answer:". Errors: kInvalidArgument (no messages, a
  // message without parts, "<image>" or "<video>" in a text, pictures and clips together, a clip without frames, times
  // that are none, what the template refuses), kLimitExceeded (turns, pictures, tiles, frames, bytes of the whole text,
  // steps of the template), kUnsupported (a part or a construct for which template or model have no place).
  Result<Prompt> Render(std::span<const PromptMessage> messages, bool add_generation_prompt,
                        std::string_view answer_start = {}) const;

  // The most frames, as many as it has at most, that the first clip of the last message may have (its first ones) so
  // that the prompt of `messages` has at most `tokens` ids; 0: not one, or there is no clip. Errors: those of Render().
  Result<int> FramesThatFit(std::vector<PromptMessage> messages, int64_t tokens) const;

  // -1 if the model takes no pictures.
  int32_t image_token_id() const { return image_token_id_; }

 private:
  explicit PromptFormat(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  // Finds out whether the template takes the content of a message as a list of parts or as one text.
  Status Probe();
  Result<std::string> RunTemplate(std::span<const PromptMessage> messages, bool add_generation_prompt) const;

  Tokenizer tokenizer_;
  std::string where_;
  std::optional<JinjaTemplate> template_;  // nullopt: SmolVLM's
  PromptWords words_;
  bool content_is_text_ = false;
  int64_t visual_tokens_per_tile_ = 0;
  int32_t image_token_id_ = -1;
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_PROMPT_H_
