#include "eval/text_distance.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "eval/python_text.h"

namespace eyeshot::eval {
std::u32string Normalized(std::string_view text) { return JoinedWords(CodePoints(text)); }

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

}  // namespace eyeshot::eval
