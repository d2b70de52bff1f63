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
// any_case: (?i:...), where U+017F (long s) is an s too.
size_t Contraction(std::string_view text, bool any_case) {
  constexpr std::string_view kLongS = "\xC5\xBF";
  if (any_case && text.substr(1).starts_with(kLongS)) return 1 + kLongS.size();
  const auto letter = [&](size_t at) {
    const char c = at < text.size() ? text[at] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1);
  const char second = letter(2);
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  return first == 's' || first == 't' || first == 'm' || first == 'd' ? 2 : 0;
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

constexpr uint32_t kKinds = kLetter | kNumber | kSpace;

size_t Gpt2Word(std::string_view text) {
  if (text[0] == '\'') {
    const size_t contraction = Contraction(text, /*any_case=*/false);
    if (contraction > 0) return contraction;
  }
  // One space may stand before letters, numbers or other signs.
  const size_t space = text[0] == ' ' && text.size() > 1 ? 1 : 0;
  const std::string_view rest = text.substr(space);
  const uint32_t kind = CharClasses(DecodeUtf8(rest).code_point) & kKinds;
  if (kind == kSpace) return SpaceWord(text);
  // No character is in two of the three classes, so the run of equal kind is the run of its class or of none.
  return space + Run(rest, kKinds, kind);
}

bool IsLineEnd(char c) { return c == '\r' || c == '\n'; }

// \s*[\r\n]+: up to the last line end of the white space at the start; 0: there is none.
size_t LineEnds(std::string_view text) {
  size_t bytes = Run(text, kSpace, kSpace);
  while (bytes > 0 && !IsLineEnd(text[bytes - 1])) --bytes;
  return bytes;
}

// [^\s\p{L}\p{N}]+[\r\n]*: 0 if the first character is none of these.
size_t Signs(std::string_view text) {
  size_t bytes = Run(text, kKinds, 0);
  while (bytes > 0 && bytes < text.size() && IsLineEnd(text[bytes])) ++bytes;
  return bytes;
}

// The first `most` characters of the run of numbers at the start.
size_t Numbers(std::string_view text, int most) {
  size_t bytes = 0;
  for (int i = 0; i < most && bytes < text.size(); ++i) {
    const Utf8Char next = DecodeUtf8(text.substr(bytes));
    if ((CharClasses(next.code_point) & kNumber) == 0) break;
    bytes += next.bytes;
  }
  return bytes;
}

size_t Gpt4Word(std::string_view text, int digits) {
  if (text[0] == '\'') {
    const size_t contraction = Contraction(text, /*any_case=*/true);
    if (contraction > 0) return contraction;
  }
  const Utf8Char first = DecodeUtf8(text);
  const uint32_t kind = CharClasses(first.code_point) & kKinds;
  if (kind == kLetter) return Run(text, kKinds, kLetter);
  if (kind == kNumber) return Numbers(text, digits);
  if (!IsLineEnd(text[0])) {  // one other character may stand before letters
    const size_t letters = Run(text.substr(first.bytes), kKinds, kLetter);
    if (letters > 0) return first.bytes + letters;
  }
  const size_t space = text[0] == ' ' ? 1 : 0;
  const size_t signs = Signs(text.substr(space));
  if (signs > 0) return space + signs;
  const size_t lines = LineEnds(text);
  return lines > 0 ? lines : SpaceWord(text);
}

}  // namespace

size_t FirstWord(std::string_view text, WordPattern pattern) {
  switch (pattern) {
    case WordPattern::kNone: return text.size();
    case WordPattern::kGpt2: return Gpt2Word(text);
    case WordPattern::kGpt4: return Gpt4Word(text, 3);
    case WordPattern::kQwen2: return Gpt4Word(text, 1);
  }
  return text.size();
}

size_t FirstDigitPiece(std::string_view text, bool individual) {
  const Utf8Char first = DecodeUtf8(text);
  if ((CharClasses(first.code_point) & kNumeric) == 0) return Run(text, kNumeric, 0);
  return individual ? first.bytes : Run(text, kNumeric, kNumeric);
}

}  // namespace eyeshot
