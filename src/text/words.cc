#include "text/words.h"

#include <cstdint>

#include "text/unicode.h"
#include "text/utf8.h"

namespace eyeshot {
namespace {

// Bytes of the run at the start of `text` whose characters c have (CharClasses(c) & mask) == wanted.
size_t Run(std::string_view text, uint32_t mask, uint32_t wanted) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char next = DecodeUtf8(text.substr(at));
    if ((CharClasses(next.code_point) & mask) != wanted) break;
    at += next.bytes;
  }
  return at;
}

// 's|'t|'re|'ve|'m|'ll|'d: bytes of the contraction at the start of `text`, which begins with an apostrophe; 0: none.
size_t Contraction(std::string_view text) {
  const std::string_view letters = text.substr(1, 2);
  if (letters == "re" || letters == "ve" || letters == "ll") return 3;
  if (letters.empty()) return 0;
  const char c = letters[0];
  return c == 's' || c == 't' || c == 'm' || c == 'd' ? 2 : 0;
}

// \s+(?!\S)|\s+: all white space if the text ends with it, else all but the last, which goes with what follows; a
// single one is a word by itself.
size_t SpaceWord(std::string_view text) {
  const size_t run = Run(text, kSpace, kSpace);
  if (run == text.size()) return run;
  size_t last = run - 1;  // where the last character of the run begins
  while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
  return last > 0 ? last : run;
}

}  // namespace

size_t FirstWord(std::string_view text) {
  if (text[0] == '\'') {
    const size_t contraction = Contraction(text);
    if (contraction > 0) return contraction;
  }
  constexpr uint32_t kKinds = kLetter | kNumber | kSpace;
  // One space may stand before letters, numbers or other signs.
  const size_t space = text[0] == ' ' && text.size() > 1 ? 1 : 0;
  const std::string_view rest = text.substr(space);
  const uint32_t kind = CharClasses(DecodeUtf8(rest).code_point) & kKinds;
  if (kind == kSpace) return SpaceWord(text);
  // No character is in two of the three classes, so the run of equal kind is the run of its class or of none.
  return space + Run(rest, kKinds, kind);
}

size_t FirstDigitPiece(std::string_view text, bool individual) {
  const Utf8Char first = DecodeUtf8(text);
  if ((CharClasses(first.code_point) & kNumeric) == 0) return Run(text, kNumeric, 0);
  return individual ? first.bytes : Run(text, kNumeric, kNumeric);
}

}  // namespace eyeshot
