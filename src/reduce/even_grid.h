// EvenGrid: tokens of a tile that stand evenly apart, and the areas around them.
#ifndef EYESHOT_REDUCE_EVEN_GRID_H_
#define EYESHOT_REDUCE_EVEN_GRID_H_

#include <cstdint>
#include <vector>

namespace eyeshot {

// Part i of `parts` of a line of `length` places begins at Begin(i) and has its middle, or the place before it, at
// Middle(i). REQUIRES: 1 <= parts <= length.
struct EvenParts {
  int64_t length = 0;
  int64_t parts = 0;

  int64_t Begin(int64_t i) const { return i * length / parts; }
  int64_t Middle(int64_t i) const { return ((2 * i + 1) * length - parts) / (2 * parts); }
};

// `keep` areas of a tile of side x side tokens: rows and columns of them where `keep` is such a product, neither side
// more than twice the other; else runs of the tokens row by row.
class EvenGrid {
 public:
  // REQUIRES: 1 <= keep <= side * side.
  EvenGrid(int64_t side, int64_t keep);

  int64_t keep() const { return rows_.parts * cols_.parts; }
  // The token in the middle of area i, ascending with i.
  int64_t Middle(int64_t i) const;
  // The tokens of area i. Every token is in one area.
  std::vector<int64_t> Area(int64_t i) const;

 private:
  EvenParts rows_;  // of one row: all tokens are one line of columns
  EvenParts cols_;
};

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_EVEN_GRID_H_
