// DocTags as a tree.
#ifndef EYESHOT_TEXT_DOCTAGS_TREE_H_
#define EYESHOT_TEXT_DOCTAGS_TREE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

struct DocNode {
  enum class Kind {
    kRoot,  // and what only holds others: doctag, group, form, document_index
    kWords,
    kTitle,
    kHeading,    // level
    kParagraph,  // text, paragraph, footnote, reference
    kCaption,
    kFurniture,  // page_header, page_footer
    kInline,
    kOrderedList,
    kList,
    kListItem,
    kChecked,
    kUnchecked,
    kCode,  // words: the language, if any
    kFormula,
    kTable,    // otsl
    kPicture,  // picture, chart; words: its class, if any
    kSmiles,
    kKeyValues,
    kKey,
    kValue,
    kCell,  // cell: which; in front of the words that belong to it
    kPageBreak,
  };
  enum class Cell { kFull, kColumnHeader, kRowHeader, kSection, kEmpty, kLeft, kUp, kCross, kNewLine };

  Kind kind = Kind::kRoot;
  int level = 0;
  Cell cell = Cell::kEmpty;
  std::string_view words;
  std::vector<uint32_t> children;
};

// Nodes of a text, which must outlive them; the first is the root. kLimitExceeded: too many bytes.
Result<std::vector<DocNode>> ParseDocTags(std::string_view text);

// Cells of a table in rows and columns.
struct DocTable {
  struct Cell {
    std::string text;  // trimmed
    bool is_header = false;
    int row_span = 1;  // 0: another cell reaches over this place,
    int col_span = 1;
    size_t owner = 0;  // which is this one
  };
  size_t rows = 0;
  size_t cols = 0;
  std::vector<Cell> cells;  // row by row
};

// The cells among the children of a node. kLimitExceeded: too many.
Result<DocTable> ReadDocTable(const std::vector<DocNode>& nodes, const DocNode& node);

// `text` without white space at both ends.
std::string_view TrimDocText(std::string_view text);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_DOCTAGS_TREE_H_
