// Cutting text into the words that BPE works on.
#ifndef EYESHOT_TEXT_WORDS_H_
#define EYESHOT_TEXT_WORDS_H_

#include <cstddef>
#include <string_view>

namespace eyeshot {

// Bytes of the first word of `text` by GPT-2's pattern:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// At least 1. REQUIRES: text is valid UTF-8 and not empty. The end of `text` counts as the end of all text.
size_t FirstWord(std::string_view text);

// Bytes of the first piece of `text` when it is cut at numbers (char::is_numeric): a run without any, or one number
// (individual) or a run of numbers. At least 1. REQUIRES: as above.
size_t FirstDigitPiece(std::string_view text, bool individual);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_WORDS_H_
