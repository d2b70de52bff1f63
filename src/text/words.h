// Cutting text into the words that BPE works on.
#ifndef EYESHOT_TEXT_WORDS_H_
#define EYESHOT_TEXT_WORDS_H_

#include <cstddef>
#include <string_view>

#include "formats/tokenizer_json.h"

namespace eyeshot {

// Bytes of the first word of `text` by a pattern (WordPattern has the expressions); kNone: all of it.
// At least 1. REQUIRES: text is valid UTF-8 and not empty. The end of `text` counts as the end of all text.
size_t FirstWord(std::string_view text, WordPattern pattern);

// Bytes of the first piece of `text` when it is cut at numbers (char::is_numeric): a run without any, or one number
// (individual) or a run of numbers. At least 1. REQUIRES: as above.
size_t FirstDigitPiece(std::string_view text, bool individual);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_WORDS_H_
