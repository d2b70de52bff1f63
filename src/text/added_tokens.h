// Finding added tokens ("<image>") in text, before it is cut into words.
#ifndef EYESHOT_TEXT_ADDED_TOKENS_H_
#define EYESHOT_TEXT_ADDED_TOKENS_H_

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/tokenizer_json.h"

namespace eyeshot {

// A part of a text: plain, or an added token.
struct TextPart {
  std::string_view text;
  int32_t id = -1;  // of the added token; -1: plain text
};

// Finds the tokens of one list, leftmost first and of those the longest, as the Aho-Corasick automaton of Hugging
// Face's tokenizers does, with its rules for the flags.
class AddedTokenMatcher {
 public:
  // The tokens must outlive the matcher. REQUIRES: contents are not empty and stand once.
  explicit AddedTokenMatcher(std::vector<const AddedToken*> tokens);

  // Appends the parts of `text` in order. Plain parts are not empty.
  void Split(std::string_view text, std::vector<TextPart>& parts) const;

 private:
  struct Match {
    const AddedToken* token = nullptr;
    size_t begin = 0;
  };
  // The first match that begins at `from` or later; its token is nullptr if there is none.
  Match Find(std::string_view text, size_t from) const;
  const AddedToken* LongestAt(std::string_view text) const;

  std::vector<const AddedToken*> tokens_;  // by content
  std::bitset<256> begins_;                // first bytes of the contents
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_ADDED_TOKENS_H_
