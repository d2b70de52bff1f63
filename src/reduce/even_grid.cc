#include "reduce/even_grid.h"

#include "base/check.h"

namespace eyeshot {

EvenGrid::EvenGrid(int64_t side, int64_t keep) : rows_{1, 1}, cols_{side * side, keep} {
  EYESHOT_CHECK(keep >= 1 && keep <= side * side);
  for (int64_t rows = 1; rows * rows <= keep; ++rows) {
    const int64_t cols = keep / rows;
    if (rows * cols != keep || cols > 2 * rows || cols > side) continue;
    rows_ = {side, rows};
    cols_ = {side, cols};
  }
}

int64_t EvenGrid::Middle(int64_t i) const {
  return rows_.Middle(i / cols_.parts) * cols_.length + cols_.Middle(i % cols_.parts);
}

std::vector<int64_t> EvenGrid::Area(int64_t i) const {
  const int64_t row = i / cols_.parts;
  const int64_t col = i % cols_.parts;
  std::vector<int64_t> tokens;
  for (int64_t y = rows_.Begin(row); y < rows_.Begin(row + 1); ++y) {
    for (int64_t x = cols_.Begin(col); x < cols_.Begin(col + 1); ++x) tokens.push_back(y * cols_.length + x);
  }
  return tokens;
}

}  // namespace eyeshot
