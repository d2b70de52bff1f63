// How byte-level tokenizers spell bytes: each of the 256 as one printable character, in GPT-2's order.
#ifndef EYESHOT_FORMATS_BYTE_SYMBOLS_H_
#define EYESHOT_FORMATS_BYTE_SYMBOLS_H_

#include <array>
#include <cstdint>
#include <string>

namespace eyeshot {

// Printable characters of Latin-1 stand for themselves, the other bytes (white space, controls, the soft hyphen) for
// U+0100 and up, in order: a space is U+0120, written Ġ; a line feed U+010A, written Ċ.
constexpr std::array<char32_t, 256> MakeByteSymbols() {
  std::array<char32_t, 256> symbols{};
  char32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    symbols[byte] = printable ? char32_t{byte} : next++;
  }
  return symbols;
}
inline constexpr std::array<char32_t, 256> kByteSymbols = MakeByteSymbols();
// One more than the largest symbol.
inline constexpr char32_t kByteSymbolsEnd = 0x144;

// The UTF-8 of a byte's symbol: one or two bytes, since all symbols are below U+0800.
inline std::string ByteSymbol(uint8_t byte) {
  const char32_t symbol = kByteSymbols[byte];
  if (symbol < 0x80) return std::string(1, static_cast<char>(symbol));
  return {static_cast<char>(0xC0 | (symbol >> 6)), static_cast<char>(0x80 | (symbol & 0x3F))};
}

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_BYTE_SYMBOLS_H_
