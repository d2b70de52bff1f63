// The input is a conversation: parts, each of which a byte begins. SmolVLM's template, known by content, and the same
// one run must agree on what they write and on what they refuse; the ids hold as many visual slots as there are tiles.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "formats/byte_symbols.h"
#include "text/prompt.h"

namespace {

using eyeshot::PromptFormat;

constexpr std::string_view kTemplate =
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% elif line['type'] == 'video' %}{{ '<video>' }}"
    "{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

// Bytes, and the tokens that prompts need.
eyeshot::Tokenizer SmallTokenizer() {
  eyeshot::TokenizerFile file;
  for (int byte = 0; byte < 256; ++byte) file.vocabulary.push_back(eyeshot::ByteSymbol(static_cast<uint8_t>(byte)));
  int32_t id = 256;
  for (const char* content :
       {"<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<row_1_col_1>"}) {
    file.added_tokens.push_back({.id = id++, .content = content, .special = true});
  }
  return eyeshot::Tokenizer::FromFile(std::move(file));
}

std::vector<eyeshot::PromptMessage> Messages(std::string_view input) {
  std::vector<eyeshot::PromptMessage> messages;
  while (!input.empty()) {
    const auto kind = static_cast<uint8_t>(input[0]);
    input.remove_prefix(1);
    if (messages.empty() || (kind & 0x40) != 0) messages.push_back({static_cast<eyeshot::Role>(kind % 3), {}});
    std::vector<eyeshot::PromptPart>& parts = messages.back().parts;
    if ((kind & 0x80) != 0) {
      const size_t bytes = std::min<size_t>(kind & 0x3F, input.size());
      parts.emplace_back(std::string(input.substr(0, bytes)));
      input.remove_prefix(bytes);
    } else if ((kind & 0x20) != 0) {
      parts.emplace_back(eyeshot::PromptVideo{std::vector<double>(kind & 3, kind * 100.0), kind * 1000.0});
    } else {
      parts.emplace_back(eyeshot::PromptImage{kind & 3, kind >> 2 & 3});
    }
  }
  return messages;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const eyeshot::Tokenizer tokenizer = SmallTokenizer();
  static const PromptFormat known = PromptFormat::Create(kTemplate, "known", tokenizer, 3).value();
  static const PromptFormat run = PromptFormat::Create("{# #}" + std::string(kTemplate), "run", tokenizer, 3).value();
  const auto messages = Messages({reinterpret_cast<const char*>(data), size});
  const bool asks = size % 2 == 0;
  const auto prompt = known.Render(messages, asks);
  const auto other = run.Render(messages, asks);
  EYESHOT_CHECK(prompt.ok() == other.ok());
  if (!prompt.ok()) {
    EYESHOT_CHECK(prompt.status().code() == other.status().code());
    return 0;
  }
  EYESHOT_CHECK(prompt->text == other->text && prompt->ids == other->ids);
  int64_t slots = 0;
  for (const int32_t id : prompt->ids) slots += id == known.image_token_id() ? 1 : 0;
  EYESHOT_CHECK(slots == prompt->visual_tokens && slots % 3 == 0);
  return 0;
}
