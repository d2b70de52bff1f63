// Names whose letters may have any case: of hosts, schemes, types.
#ifndef EYESHOT_SERVER_ASCII_H_
#define EYESHOT_SERVER_ASCII_H_

#include <algorithm>
#include <string_view>

namespace eyeshot::server {

constexpr char LowerAscii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool EqualInAnyCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return LowerAscii(x) == LowerAscii(y); });
}

inline bool StartsWithInAnyCase(std::string_view text, std::string_view start) {
  return EqualInAnyCase(text.substr(0, start.size()), start);
}

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_ASCII_H_
