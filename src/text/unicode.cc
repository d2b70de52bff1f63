#include "text/unicode.h"

#include <algorithm>
#include <array>

namespace eyeshot {
namespace {

uint32_t SearchClasses(char32_t code_point) {
  using internal::kUnicodeRangeCount;
  using internal::kUnicodeRanges;
  if (code_point > 0x10FFFF) return 0;
  const uint32_t* const end = kUnicodeRanges + kUnicodeRangeCount;
  // The first range that begins beyond the code point; the one before it holds it.
  const uint32_t* const beyond = std::upper_bound(kUnicodeRanges, end, (uint32_t{code_point} << 8) | 0xFF);
  return beyond[-1] & 0xFF;
}

// Most text is below U+0800, where UTF-8 takes one or two bytes.
constexpr size_t kDirect = 0x800;

std::array<uint8_t, kDirect> MakeDirect() {
  std::array<uint8_t, kDirect> table{};
  for (uint32_t i = 0; i < kDirect; ++i) table[i] = static_cast<uint8_t>(SearchClasses(i));
  return table;
}

}  // namespace

uint32_t CharClasses(char32_t code_point) {
  static const std::array<uint8_t, kDirect> direct = MakeDirect();
  return code_point < kDirect ? direct[code_point] : SearchClasses(code_point);
}

}  // namespace eyeshot
