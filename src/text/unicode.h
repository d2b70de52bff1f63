// The classes of characters by which text is cut into words.
#ifndef EYESHOT_TEXT_UNICODE_H_
#define EYESHOT_TEXT_UNICODE_H_

#include <cstddef>
#include <cstdint>

namespace eyeshot {

// Bits of CharClasses(). The regular expressions of Hugging Face's tokenizers follow Unicode 16, their Digits step
// (Rust's char::is_numeric) Unicode 17: hence two classes of numbers.
inline constexpr uint32_t kLetter = 1;     // \p{L}
inline constexpr uint32_t kNumber = 2;     // \p{N}
inline constexpr uint32_t kSpace = 4;      // \s
inline constexpr uint32_t kNumeric = 8;    // categories Nd, Nl, No of Unicode 17
inline constexpr uint32_t kWordChar = 16;  // \w

// The classes of a code point, or'ed; 0 for none and for anything above U+10FFFF.
uint32_t CharClasses(char32_t code_point);

namespace internal {

// Sorted; see unicode_tables.cc.
extern const uint32_t kUnicodeRanges[];
extern const size_t kUnicodeRangeCount;

}  // namespace internal
}  // namespace eyeshot

#endif  // EYESHOT_TEXT_UNICODE_H_
