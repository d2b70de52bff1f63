// UTF-8: one character at a time, and a stream that holds incomplete characters back.
#ifndef EYESHOT_TEXT_UTF8_H_
#define EYESHOT_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace eyeshot {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

struct Utf8Char {
  char32_t code_point = kReplacementCharacter;
  // Bytes taken: at least 1. Of ill-formed text, the maximal part that could have begun a character, as in the
  // Unicode Standard 3.9 (and Python's errors="replace").
  uint32_t bytes = 1;
  bool valid = false;
  // Ill-formed only because the text ends: more bytes could complete it.
  bool incomplete = false;
};

// The character at the start of `text`. REQUIRES: text is not empty.
Utf8Char DecodeUtf8(std::string_view text);

// Appends the UTF-8 of a code point.
void AppendUtf8(char32_t code_point, std::string& out);

bool IsValidUtf8(std::string_view text);

// `text` with U+FFFD in place of each maximal ill-formed part.
std::string RepairUtf8(std::string_view text);

// Turns the bytes of tokens, which may end inside a character, into whole characters. Allocates only in `out`.
class Utf8Stream {
 public:
  // Appends to `out` what is complete by now; ill-formed parts become U+FFFD. At most 3 bytes are held back.
  void Push(std::string_view bytes, std::string& out);
  // The text ends: what was held back becomes U+FFFD. The stream may be used again.
  void Finish(std::string& out);
  // Bytes held back.
  size_t pending() const { return held_; }

 private:
  char hold_[4] = {};
  size_t held_ = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_UTF8_H_
