// The prompt of SmolVLM: chat template and visual slots, string for string as SmolVLMProcessor writes them.
//
// docs/prompts.md shows the layout with ids and token counts.
#ifndef EYESHOT_TEXT_PROMPT_H_
#define EYESHOT_TEXT_PROMPT_H_

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/status.h"
#include "text/tokenizer.h"

namespace eyeshot {

// A picture's grid of tiles; the global view comes after them. 0 x 0: the picture is one tile.
struct PromptImage {
  int rows = 0;
  int cols = 0;
};

// A clip: one unsplit tile a frame.
struct PromptVideo {
  std::vector<double> timestamps_s;  // of each frame, from the start of the clip
  double duration_s = 0;             // of the whole clip
};

using PromptPart = std::variant<std::string, PromptImage, PromptVideo>;

struct PromptMessage {
  Role role = Role::kUser;
  std::vector<PromptPart> parts;
};

struct Prompt {
  std::string text;          // with every visual slot written out
  std::vector<int32_t> ids;  // of the text
  // How many ids are the image token: visual_tokens_per_tile for each tile, in the order of messages, parts,
  // tiles (row by row, the global view last) and frames.
  int64_t visual_tokens = 0;
};

// How messages become a prompt for one model. Copies are cheap; safe to use from several threads.
class PromptFormat {
 public:
  // Reads the chat template of `dir` (chat_template.jinja, chat_template.json, or tokenizer_config.json). Only
  // SmolVLM's own template is known: another is kUnsupported; none at all means SmolVLM's.
  // kCorrupt: the tokenizer lacks a token that the prompt needs.
  static Result<PromptFormat> Load(const std::string& dir, const Tokenizer& tokenizer, int64_t visual_tokens_per_tile);

  // The same for a template that another file holds; empty: SmolVLM's.
  static Result<PromptFormat> Create(const std::string& chat_template, const std::string& file,
                                     const Tokenizer& tokenizer, int64_t visual_tokens_per_tile);

  // add_generation_prompt: ends with "Assistant:". Errors: kInvalidArgument (no messages, a message without parts,
  // "<image>" or "<video>" in a text, pictures and clips together, a clip without frames, times that are none),
  // kLimitExceeded (turns, pictures, tiles, frames, bytes of the whole text).
  Result<Prompt> Render(std::span<const PromptMessage> messages, bool add_generation_prompt) const;

  // The most frames, as many as it has at most, that the first clip of the last message may have (its first ones) so
  // that the prompt of `messages` has at most `tokens` ids; 0: not one, or there is no clip. Errors: those of Render().
  Result<int> FramesThatFit(std::vector<PromptMessage> messages, int64_t tokens) const;

  int32_t image_token_id() const { return image_token_id_; }

 private:
  explicit PromptFormat(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  Tokenizer tokenizer_;
  int64_t visual_tokens_per_tile_ = 0;
  int32_t image_token_id_ = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_PROMPT_H_
