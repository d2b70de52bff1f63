#include "text/doctags_tree.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

using Kind = DocNode::Kind;
using Cell = DocNode::Cell;

constexpr char kMend[] = "take --format raw";
// Elements inside of elements: lists in lists are the deepest that a page has.
constexpr size_t kMaxDepth = 32;

struct Tag {
  std::string_view name;
  Kind kind;
  int level = 0;
};

constexpr std::array<Tag, 37> kTags = {{
    {"caption", Kind::kCaption},
    {"chart", Kind::kPicture},
    {"checkbox_selected", Kind::kChecked},
    {"checkbox_unselected", Kind::kUnchecked},
    {"code", Kind::kCode},
    {"doctag", Kind::kRoot},
    {"document_index", Kind::kRoot},
    {"footnote", Kind::kParagraph},
    {"form", Kind::kRoot},
    {"formula", Kind::kFormula},
    {"group", Kind::kRoot},
    {"handwritten_text", Kind::kParagraph},
    {"inline", Kind::kInline},
    {"key_value_region", Kind::kKeyValues},
    {"list_item", Kind::kListItem},
    {"ordered_list", Kind::kOrderedList},
    {"otsl", Kind::kTable},
    {"page_break", Kind::kPageBreak},
    {"page_footer", Kind::kFurniture},
    {"page_header", Kind::kFurniture},
    {"paragraph", Kind::kParagraph},
    {"picture", Kind::kPicture},
    {"reference", Kind::kParagraph},
    {"references", Kind::kRoot},
    {"section_header_level_0", Kind::kHeading, 1},
    {"section_header_level_1", Kind::kHeading, 1},
    {"section_header_level_2", Kind::kHeading, 2},
    {"section_header_level_3", Kind::kHeading, 3},
    {"section_header_level_4", Kind::kHeading, 4},
    {"section_header_level_5", Kind::kHeading, 5},
    {"section_header_level_6", Kind::kHeading, 6},
    {"smiles", Kind::kSmiles},
    {"table", Kind::kRoot},
    {"text", Kind::kParagraph},
    {"title", Kind::kTitle},
    {"unordered_list", Kind::kList},
    {"document", Kind::kRoot},
}};

constexpr std::array<std::pair<std::string_view, Cell>, 9> kCells = {{{"fcel", Cell::kFull},
                                                                      {"ched", Cell::kColumnHeader},
                                                                      {"rhed", Cell::kRowHeader},
                                                                      {"srow", Cell::kSection},
                                                                      {"ecel", Cell::kEmpty},
                                                                      {"lcel", Cell::kLeft},
                                                                      {"ucel", Cell::kUp},
                                                                      {"xcel", Cell::kCross},
                                                                      {"nl", Cell::kNewLine}}};

// What a picture shows: known to docling and to its older models.
constexpr std::array<std::string_view, 44> kPictureClasses = {"bar_chart",
                                                              "bar_code",
                                                              "box_plot",
                                                              "cad_drawing",
                                                              "calendar",
                                                              "chemistry_markush_structure",
                                                              "chemistry_molecular_structure",
                                                              "chemistry_structure",
                                                              "crossword_puzzle",
                                                              "decoration",
                                                              "dot_line",
                                                              "electrical_diagram",
                                                              "engineering_drawing",
                                                              "flow_chart",
                                                              "full_page_image",
                                                              "geographical_map",
                                                              "hbar_categorical",
                                                              "heatmap",
                                                              "icon",
                                                              "illustration",
                                                              "infographic",
                                                              "line",
                                                              "line_chart",
                                                              "logo",
                                                              "map",
                                                              "music",
                                                              "natural_image",
                                                              "other",
                                                              "page_thumbnail",
                                                              "person",
                                                              "photograph",
                                                              "picture_group",
                                                              "pie_chart",
                                                              "qr_code",
                                                              "remote_sensing",
                                                              "scatter_chart",
                                                              "scatter_plot",
                                                              "screenshot",
                                                              "screenshot_from_computer",
                                                              "screenshot_from_manual",
                                                              "signature",
                                                              "stacked_bar_chart",
                                                              "stamp",
                                                              "vbar_categorical"};

bool IsDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// "key_12" with the prefix "key_".
bool IsNumbered(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) && IsDigits(name.substr(prefix.size()));
}

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {
    const size_t code = text.rfind(kCodeEnd);
    after_code_ = code == std::string_view::npos ? 0 : text.size() - code;
    nodes_.emplace_back();
    open_.push_back(0);
  }

  std::vector<DocNode> Run() {
    size_t words = 0;  // bytes of the rest that are no tag
    while (words < rest_.size()) {
      const size_t tag = rest_.find('<', words);
      const size_t end = tag == std::string_view::npos ? tag : rest_.find_first_of("<>", tag + 1);
      if (end == std::string_view::npos) break;
      if (rest_[end] == '>' && IsTag(rest_.substr(tag + 1, end - tag - 1))) {
        AddWords(rest_.substr(0, tag));
        Apply(rest_.substr(tag + 1, end - tag - 1));
        rest_.remove_prefix(end + 1);
        words = 0;
      } else {
        words = rest_[end] == '>' ? end + 1 : end;
      }
    }
    // A tag that was cut off at the end is no text.
    const size_t cut = rest_.rfind('<');
    const bool is_cut = cut != std::string_view::npos && cut >= words && MayBeTag(rest_.substr(cut + 1));
    AddWords(is_cut ? rest_.substr(0, cut) : rest_);
    return std::move(nodes_);
  }

 private:
  // Whether the end of the text could be the beginning of a tag.
  static bool MayBeTag(std::string_view begun) {
    const auto is_name = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '/';
    };
    return std::all_of(begun.begin(), begun.end(), is_name);
  }

  static const Tag* Find(std::string_view name) {
    const auto found = std::find_if(kTags.begin(), kTags.end(), [&](const Tag& tag) { return tag.name == name; });
    return found == kTags.end() ? nullptr : found;
  }
  static std::optional<Cell> FindCell(std::string_view name) {
    for (const auto& [cell_name, cell] : kCells) {
      if (cell_name == name) return cell;
    }
    return std::nullopt;
  }

  // "_Python_"
  static bool IsLanguage(std::string_view name) {
    constexpr size_t kLongest = 32;
    const auto is_fine = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '#' || c == '+';
    };
    if (name.size() < 3 || name.size() > kLongest || name.front() != '_' || name.back() != '_') return false;
    return std::all_of(name.begin() + 1, name.end() - 1, is_fine);
  }

  bool IsPictureClass(std::string_view name) const {
    const bool in_picture = nodes_[open_.back()].kind == Kind::kPicture;
    return in_picture && std::find(kPictureClasses.begin(), kPictureClasses.end(), name) != kPictureClasses.end();
  }

  bool IsTag(std::string_view name) const {
    // Code may hold tags of its own language, as long as its end comes.
    if (nodes_[open_.back()].kind == Kind::kCode && rest_.size() >= after_code_ && after_code_ > 0) {
      return name == "/code" || IsLanguage(name) || IsNumbered(name, "loc_");
    }
    if (name.starts_with('/')) name.remove_prefix(1);
    return Find(name) != nullptr || FindCell(name) || IsNumbered(name, "loc_") || IsNumbered(name, "key_") ||
           IsNumbered(name, "value_") || IsNumbered(name, "link_") || IsPictureClass(name) ||
           (IsLanguage(name) && nodes_[open_.back()].kind == Kind::kCode);
  }

  void AddWords(std::string_view words) {
    if (!words.empty()) Add({.kind = Kind::kWords, .words = words});
  }

  uint32_t Add(DocNode node) {
    const auto id = static_cast<uint32_t>(nodes_.size());
    nodes_[open_.back()].children.push_back(id);
    nodes_.push_back(std::move(node));
    return id;
  }

  // Whether an element holds no others, so that one that begins in it ends it: its own end was forgotten.
  static bool HoldsWordsOnly(Kind outer, Kind inner) {
    switch (outer) {
      case Kind::kParagraph:
      case Kind::kCaption: return inner != Kind::kFormula && inner != Kind::kCode;
      case Kind::kTitle:
      case Kind::kHeading:
      case Kind::kFurniture:
      case Kind::kChecked:
      case Kind::kUnchecked:
      case Kind::kCode:
      case Kind::kFormula:
      case Kind::kSmiles: return true;
      case Kind::kKey:
      case Kind::kValue: return inner == Kind::kKey || inner == Kind::kValue;
      case Kind::kListItem: return inner == Kind::kListItem;
      default: return false;
    }
  }

  void Open(DocNode node) {
    while (open_.size() > 1 && HoldsWordsOnly(nodes_[open_.back()].kind, node.kind)) open_.pop_back();
    const uint32_t id = Add(std::move(node));
    if (open_.size() < kMaxDepth) open_.push_back(id);
  }

  void Close(Kind kind, int level) {
    for (size_t i = open_.size(); i > 1; --i) {
      const DocNode& node = nodes_[open_[i - 1]];
      if (node.kind != kind || node.level != level) continue;
      open_.resize(i - 1);
      return;
    }
  }

  void Apply(std::string_view name) {
    const bool closes = name.starts_with('/');
    if (closes) name.remove_prefix(1);
    if (const std::optional<Cell> cell = FindCell(name)) {
      if (!closes) Add({.kind = Kind::kCell, .cell = *cell});
      return;
    }
    if (IsNumbered(name, "key_") || IsNumbered(name, "value_")) {
      const Kind kind = name[0] == 'k' ? Kind::kKey : Kind::kValue;
      if (closes) return Close(kind, 0);
      return Open({.kind = kind});
    }
    if (IsNumbered(name, "loc_") || IsNumbered(name, "link_")) return;
    if (IsPictureClass(name) || IsLanguage(name)) {
      DocNode& owner = nodes_[open_.back()];
      if (!closes && owner.words.empty()) owner.words = name;
      return;
    }
    const Tag& tag = *Find(name);
    if (tag.kind == Kind::kPageBreak) {
      if (!closes) Add({.kind = Kind::kPageBreak});
      return;
    }
    if (closes) return Close(tag.kind, tag.level);
    Open({.kind = tag.kind, .level = tag.level});
  }

  static constexpr std::string_view kCodeEnd = "</code>";

  std::string_view rest_;
  size_t after_code_ = 0;  // bytes of the text from the last end of code on; 0: there is none
  std::vector<DocNode> nodes_;
  std::vector<uint32_t> open_;  // from the root to the innermost element
};

// Cells as they follow each other, in rows.
struct Grid {
  struct Place {
    Cell cell = Cell::kEmpty;
    std::string text;
  };
  std::vector<std::vector<Place>> rows;
};

// Text of all words below a node.
void CollectWords(const std::vector<DocNode>& nodes, const DocNode& node, std::string& out) {
  if (node.kind == Kind::kWords) out += node.words;
  for (const uint32_t id : node.children) CollectWords(nodes, nodes[id], out);
}

Grid ReadGrid(const std::vector<DocNode>& nodes, const DocNode& node) {
  Grid grid;
  bool row_is_open = false;
  for (const uint32_t id : node.children) {
    const DocNode& child = nodes[id];
    if (child.kind != Kind::kCell) {
      const bool in_cell = row_is_open && child.kind != Kind::kCaption && child.kind != Kind::kTable;
      if (in_cell) CollectWords(nodes, child, grid.rows.back().back().text);
      continue;
    }
    if (child.cell == Cell::kNewLine) {
      row_is_open = false;
      continue;
    }
    if (!row_is_open) grid.rows.emplace_back();
    row_is_open = true;
    grid.rows.back().push_back({child.cell, {}});
  }
  return grid;
}

bool Continues(Cell cell) { return cell == Cell::kLeft || cell == Cell::kUp || cell == Cell::kCross; }

// How far the cell at (row, col) reaches: over the <lcel> to its right, and the rows below that have <ucel> under it
// and a continuation under each of the others.
void Span(const Grid& grid, size_t row, size_t col, DocTable& table) {
  const auto at = [&](size_t r, size_t c) { return c < grid.rows[r].size() ? grid.rows[r][c].cell : Cell::kEmpty; };
  const auto is_free = [&](size_t r, size_t c) {
    const DocTable::Cell& cell = table.cells[r * table.cols + c];
    return cell.row_span == 1 && cell.col_span == 1;
  };
  size_t right = col + 1;
  while (right < table.cols && at(row, right) == Cell::kLeft && is_free(row, right)) ++right;
  size_t below = row + 1;
  const auto continues = [&](size_t r) {
    if (at(r, col) != Cell::kUp || !is_free(r, col)) return false;
    for (size_t c = col + 1; c < right; ++c) {
      if (!Continues(at(r, c)) || !is_free(r, c)) return false;
    }
    return true;
  };
  while (below < table.rows && continues(below)) ++below;
  const size_t owner = row * table.cols + col;
  for (size_t r = row; r < below; ++r) {
    for (size_t c = col; c < right; ++c) {
      DocTable::Cell& cell = table.cells[r * table.cols + c];
      cell.row_span = cell.col_span = 0;
      cell.owner = owner;
    }
  }
  table.cells[owner].row_span = static_cast<int>(below - row);
  table.cells[owner].col_span = static_cast<int>(right - col);
}

}  // namespace

std::string_view TrimDocText(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

Result<std::vector<DocNode>> ParseDocTags(std::string_view text) {
  if (text.size() > limits::kMaxDocTagsBytes) {
    return LimitError(fmt::format("{} bytes of DocTags, the limit is {}", text.size(), limits::kMaxDocTagsBytes),
                      kMend);
  }
  return Parser(text).Run();
}

Result<DocTable> ReadDocTable(const std::vector<DocNode>& nodes, const DocNode& node) {
  Grid grid = ReadGrid(nodes, node);
  DocTable table;
  table.rows = grid.rows.size();
  for (const auto& row : grid.rows) table.cols = std::max(table.cols, row.size());
  if (table.rows * table.cols > limits::kMaxDocTagsCells) {
    return LimitError(fmt::format("a table of {} x {} cells, the limit is {} in all", table.rows, table.cols,
                                  limits::kMaxDocTagsCells),
                      kMend);
  }
  table.cells.resize(table.rows * table.cols);
  for (size_t row = 0; row < table.rows; ++row) {
    for (size_t col = 0; col < grid.rows[row].size(); ++col) {
      const Grid::Place& place = grid.rows[row][col];
      DocTable::Cell& cell = table.cells[row * table.cols + col];
      cell.text = TrimDocText(place.text);
      cell.owner = row * table.cols + col;
      cell.is_header =
          place.cell == Cell::kColumnHeader || place.cell == Cell::kRowHeader || place.cell == Cell::kSection;
    }
  }
  for (size_t row = 0; row < table.rows; ++row) {
    for (size_t col = 0; col < table.cols; ++col) {
      const bool starts = col < grid.rows[row].size() && !Continues(grid.rows[row][col].cell);
      if (starts) Span(grid, row, col, table);
    }
  }
  for (size_t i = 0; i < table.cells.size(); ++i) {
    if (table.cells[i].row_span > 0) table.cells[i].owner = i;
  }
  return table;
}

}  // namespace eyeshot
