// tokenizer.json of Hugging Face: byte-level BPE, from bytes to a struct. What the fields do is in src/text.
#ifndef EYESHOT_FORMATS_TOKENIZER_JSON_H_
#define EYESHOT_FORMATS_TOKENIZER_JSON_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

// A token that is cut out of the text before anything else.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = false;   // matched after normalization; there is none here, so after all that are not
};

// `left` followed by `right` becomes the token `result`.
struct BpeMerge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t result = 0;
};

// Where text is cut into words before merges are applied.
enum class WordPattern {
  kNone,  // nowhere
  // GPT-2, SmolVLM: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  kGpt2,
  // GPT-4, Llama 3, granite: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
  //   ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+      (one expression)
  kGpt4,
  kQwen2,  // as kGpt4, but each number alone: \p{N}
};

struct TokenizerFile {
  // By id: the token as the file spells it, each byte written as its symbol ("Ġthe"); empty: no token has this id.
  std::vector<std::string> vocabulary;
  // By rank: the first is applied first.
  std::vector<BpeMerge> merges;
  // In the order of the file; ids may lie inside or outside of the vocabulary.
  std::vector<AddedToken> added_tokens;
  // Text is cut at digits before words: each alone, or runs of them.
  bool split_digits = false;
  bool individual_digits = false;
  WordPattern words = WordPattern::kGpt2;
  // A space is put before each piece of text that has none at its start.
  bool add_prefix_space = false;
  // A word that is a token as a whole is taken as that, whatever the merges say.
  bool ignore_merges = false;
  // Ids that stand before every prompt, unless its text begins with them (Llama's <|begin_of_text|>).
  std::vector<int32_t> prefix;
};

// Splits that only tokenizer.json names, guessed from what the merges of a vocabulary join, for files that have no more
// than vocabulary and merges. Sets split_digits, individual_digits and words of `file`.
//  * A sign and the line end behind it: GPT-4's pattern (GPT-2's never lets them touch), its numbers alone if no merge
//    joins digits, as the merges of Qwen.
//  * Else GPT-2's, behind a cut at every digit if no merge joins digits, as SmolVLM's.
void GuessSplits(TokenizerFile& file);

// Reads `dir`/tokenizer.json or, where it is absent, vocab.json, merges.txt, added_tokens.json and
// tokenizer_config.json, with GuessSplits. Errors: kNotFound, kCorrupt, kLimitExceeded, kUnsupported (another model,
// normalizer, pre-tokenizer, post-processor or decoder: named).
Result<TokenizerFile> LoadTokenizerFile(const std::string& dir);

// From lists that another file holds: tokens by id, merges by rank ("Ġ the"). Sets vocabulary, merges and added tokens.
// Errors: kCorrupt, kLimitExceeded; `file_name` is the name for error messages.
Result<TokenizerFile> MakeTokenizerFile(std::span<const std::string_view> vocabulary,
                                        std::span<const std::string_view> merges, std::vector<AddedToken> added_tokens,
                                        const std::string& file_name);

// The same for the content of a tokenizer.json; `file_name` is the name for error messages.
Result<TokenizerFile> ParseTokenizerJson(std::string_view text, const std::string& file_name);

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_TOKENIZER_JSON_H_
