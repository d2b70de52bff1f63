// Byte-level BPE, token for token as Hugging Face's tokenizers.
#ifndef EYESHOT_TEXT_TOKENIZER_H_
#define EYESHOT_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "eyeshot/status.h"
#include "formats/tokenizer_json.h"

namespace eyeshot {

// Immutable and shared: copies are cheap, and all members may be called from several threads.
class Tokenizer {
 public:
  // The tokenizer of a model folder. Errors: those of LoadTokenizerFile.
  static Result<Tokenizer> Load(const std::string& dir);
  // REQUIRES: what ParseTokenizerJson or LoadTokenizerFile gave, which is consistent.
  static Tokenizer FromFile(TokenizerFile file);

  // The ids of a text. Added tokens ("<image>") are found first, wherever they stand. Ill-formed UTF-8 is read as
  // U+FFFD for each maximal ill-formed part, as Python's errors="replace" does. Nothing is put before or after.
  std::vector<int32_t> Encode(std::string_view text) const;

  // The text of ids; ids that no token has are left out. Bytes that are not UTF-8 become U+FFFD, as above.
  // skip_special: special tokens are left out.
  std::string Decode(std::span<const int32_t> ids, bool skip_special = false) const;

  // The raw bytes that a token decodes to, which need not be whole characters (Utf8Stream joins them); special
  // tokens give their content. Empty for ids that no token has. Valid as long as a copy of the tokenizer lives.
  std::string_view TokenBytes(int32_t id) const;

  // The id of the token whose content, as the tokenizer file spells it, is `content`: "<image>", "Ġthe".
  std::optional<int32_t> TokenId(std::string_view content) const;

  bool IsSpecial(int32_t id) const;

  // The ids of a whole prompt: Encode(), and before it the ids that TokenizerFile::prefix says, unless the text begins
  // with them.
  std::vector<int32_t> EncodePrompt(std::string_view text) const;

  // One more than the largest id. The model's own vocabulary may be padded beyond.
  int64_t vocab_size() const;

 private:
  class Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_TOKENIZER_H_
