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
  // Text is cut into words by GPT-2's pattern.
  bool split_words = true;
  // A space is put before each piece of text that has none at its start.
  bool add_prefix_space = false;
  // A word that is a token as a whole is taken as that, whatever the merges say.
  bool ignore_merges = false;
};

// Reads `dir`/tokenizer.json or, where it is absent, vocab.json, merges.txt, added_tokens.json and
// tokenizer_config.json. Errors: kNotFound, kCorrupt, kLimitExceeded, kUnsupported (another model, normalizer,
// pre-tokenizer, post-processor or decoder: named).
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
