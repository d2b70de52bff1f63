#include "cli/text_distance.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "text/utf8.h"

namespace eyeshot::cli {
namespace {

// What Python's str.isspace takes for white space.
bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace

std::u32string Normalized(std::string_view text) {
  std::u32string result;
  bool space = false;
  while (!text.empty()) {
    const Utf8Char next = DecodeUtf8(text);
    text.remove_prefix(next.bytes);
    if (IsSpace(next.code_point)) {
      space = true;
      continue;
    }
    if (space && !result.empty()) result.push_back(U' ');
    space = false;
    result.push_back(next.code_point);
  }
  return result;
}

size_t EditDistance(std::u32string_view a, std::u32string_view b) {
  // row[j]: distance between the part of `a` seen so far and the first j of `b`.
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replace = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replace});
    }
  }
  return row.back();
}

}  // namespace eyeshot::cli
