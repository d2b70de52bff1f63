#include "text/doctags.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "text/doctags_tree.h"

namespace eyeshot {
namespace {

using Kind = DocNode::Kind;
using Nodes = std::vector<DocNode>;

Status TooLong() {
  return LimitError(fmt::format("the document is longer than {} bytes", limits::kMaxDocumentBytes),
                    "take --format raw");
}

bool IsList(Kind kind) { return kind == Kind::kList || kind == Kind::kOrderedList; }

// What stands inside of a line; everything else is a block.
bool IsInline(Kind kind) {
  return kind == Kind::kWords || kind == Kind::kFormula || kind == Kind::kCode || kind == Kind::kInline ||
         kind == Kind::kParagraph;
}

void Lower(std::string& text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// "_Python_" as "python"; empty if it is unknown.
std::string Language(std::string_view words) {
  if (words.size() < 3) return {};
  std::string name(words.substr(1, words.size() - 2));
  Lower(name);
  return name == "unknown" ? std::string() : name;
}

// Words of a node and of all below it, as they are.
std::string RawWords(const Nodes& nodes, const DocNode& node) {
  std::string out = node.kind == Kind::kWords ? std::string(node.words) : std::string();
  for (const uint32_t id : node.children) out += RawWords(nodes, nodes[id]);
  return out;
}

// Code without the line ends around it.
std::string CodeOf(const Nodes& nodes, const DocNode& node) {
  const std::string raw = RawWords(nodes, node);
  const size_t end = raw.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return {};
  const size_t begin = raw.find_first_not_of("\r\n");
  return raw.substr(begin, end - begin + 1);
}

// LaTeX that neither ends its formula nor begins a tag; lines without text left out.
std::string FormulaOf(const Nodes& nodes, const DocNode& node) {
  const std::string raw = RawWords(nodes, node);
  const std::string_view latex = TrimDocText(raw);
  std::string out;
  for (size_t i = 0; i < latex.size(); ++i) {
    const char c = latex[i];
    const size_t shown = latex.find_first_not_of('\r', i + 1);  // carriage returns are left out
    const char next = shown == std::string_view::npos ? ' ' : latex[shown];
    const bool begins_tag =
        (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || next == '/' || next == '!' || next == '?';
    if (c == '<' && begins_tag) {
      out += "\\lt ";
    } else if (c == '$' && (i == 0 || latex[i - 1] != '\\')) {
      out += "\\$";
    } else if (c != '\r' && !(c == '\n' && out.ends_with('\n'))) {
      out += c;
    }
  }
  return out;
}

// ---- Markdown ----

// A text whose every character stands for itself. in_cell: of a table.
std::string EscapeMarkdown(std::string_view text, bool in_cell) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\r': break;
      case '\n':
        if (in_cell) {
          out += ' ';
        } else {
          out += c;
        }
        break;
      case '|': out += in_cell ? "&#124;" : "|"; break;
      default:
        if (std::string_view("\\`*_[]$~").find(c) != std::string_view::npos) out += '\\';
        out += c;
    }
  }
  return out;
}

// One line of a paragraph: what would make it a heading, a list or a rule loses that meaning.
std::string EscapeLineStart(std::string_view line) {
  std::string out;
  const size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
  if (!line.empty() && std::string_view("#+-=").find(line[0]) != std::string_view::npos) {
    return out.append("\\").append(line);
  }
  if (digits > 0 && digits < line.size() && (line[digits] == '.' || line[digits] == ')')) {
    return out.append(line.substr(0, digits)).append("\\").append(line.substr(digits));
  }
  return std::string(line);
}

// Lines trimmed, without the empty ones; one_line: joined by spaces.
std::string Lines(std::string_view text, bool one_line) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = TrimDocText(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (!out.empty()) out += one_line ? ' ' : '\n';
    out += one_line ? std::string(line) : EscapeLineStart(line);
  }
  return out;
}

size_t LongestRun(std::string_view text, char wanted) {
  size_t longest = 0;
  size_t run = 0;
  for (const char c : text) {
    run = c == wanted ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

std::string CodeSpan(std::string code) {
  if (code.empty()) return code;
  std::replace(code.begin(), code.end(), '\n', ' ');
  const std::string fence(LongestRun(code, '`') + 1, '`');
  const bool touches = code.starts_with('`') || code.ends_with('`');
  const char* const gap = touches ? " " : "";
  return fence + gap + code + gap + fence;
}

class MarkdownWriter {
 public:
  explicit MarkdownWriter(const Nodes& nodes) : nodes_(nodes) {}

  Result<std::string> Run() {
    EYESHOT_RETURN_IF_ERROR(Blocks(nodes_[0].children));
    if (!out_.empty()) out_ += '\n';
    return std::move(out_);
  }

 private:
  Status Append(std::string_view text) {
    if (text.size() > limits::kMaxDocumentBytes - out_.size()) return TooLong();
    out_ += text;
    return Status::Ok();
  }

  // What stands between the last block and the next one.
  Status Begin() { return out_.empty() ? Status::Ok() : Append(tight_ ? "\n" : "\n\n"); }

  Status Put(std::string_view block) {
    if (block.empty()) return Status::Ok();
    EYESHOT_RETURN_IF_ERROR(Begin());
    return Append(block);
  }

  // What children write, each line indented.
  Result<std::string> Indented(std::span<const uint32_t> children) {
    std::string before = std::exchange(out_, {});
    const Status status = Blocks(children);
    const std::string inner = std::exchange(out_, std::move(before));
    if (!status.ok()) return status;
    std::string lines;
    for (std::string_view rest = inner; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      if (end > 0) lines.append("    ").append(rest.substr(0, end));
      if (end < rest.size()) lines += '\n';
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return lines;
  }

  Status Blocks(std::span<const uint32_t> children) {
    for (const uint32_t id : children) EYESHOT_RETURN_IF_ERROR(Block(nodes_[id]));
    return Status::Ok();
  }

  std::string Line(const DocNode& node) const { return Lines(Inline(node), /*one_line=*/true); }

  // Words, formulas and code of a node.
  std::string Inline(const DocNode& node) const {
    switch (node.kind) {
      case Kind::kWords: return EscapeMarkdown(node.words, /*in_cell=*/false);
      case Kind::kFormula: {
        const std::string latex = FormulaOf(nodes_, node);
        return latex.empty() ? latex : fmt::format("${}$", latex);
      }
      case Kind::kCode: return CodeSpan(CodeOf(nodes_, node));
      default: break;
    }
    std::string out;
    for (const uint32_t id : node.children) {
      if (!IsInline(nodes_[id].kind)) continue;
      const std::string part = Inline(nodes_[id]);
      if (node.kind != Kind::kInline) {
        out += part;
      } else if (const std::string_view trimmed = TrimDocText(part); !trimmed.empty()) {
        out.append(out.empty() ? "" : " ").append(trimmed);
      }
    }
    return out;
  }

  Status Block(const DocNode& node) {
    switch (node.kind) {
      case Kind::kRoot: return Blocks(node.children);
      case Kind::kWords:
      case Kind::kParagraph:
      case Kind::kCaption:
      case Kind::kKey:
      case Kind::kValue:
      case Kind::kInline: return Put(Lines(Inline(node), /*one_line=*/false));
      case Kind::kTitle: return Heading(node, 1);
      case Kind::kHeading: return Heading(node, std::min(node.level + 1, 6));
      case Kind::kOrderedList:
      case Kind::kList: return List(node);
      case Kind::kListItem: EYESHOT_RETURN_IF_ERROR(Begin()); return Item("- ", node, {});
      case Kind::kChecked: return Put("- [x] " + Line(node));
      case Kind::kUnchecked: return Put("- [ ] " + Line(node));
      case Kind::kCode: return Code(node);
      case Kind::kFormula: return Formula(node);
      case Kind::kTable: return Table(node);
      case Kind::kPicture: return Picture(node);
      case Kind::kSmiles: return Put(CodeSpan(CodeOf(nodes_, node)));
      case Kind::kKeyValues: return KeyValues(node);
      case Kind::kPageBreak: return Put("<!-- page break -->");
      case Kind::kFurniture:
      case Kind::kCell: return Status::Ok();
    }
    return Status::Ok();
  }

  Status Heading(const DocNode& node, int level) {
    const std::string line = Line(node);
    return line.empty() ? Status::Ok() : Put(std::string(static_cast<size_t>(level), '#') + " " + line);
  }

  Status Code(const DocNode& node) {
    const std::string code = CodeOf(nodes_, node);
    const std::string fence(std::max<size_t>(3, LongestRun(code, '`') + 1), '`');
    return Put(fence + Language(node.words) + "\n" + code + "\n" + fence);
  }

  Status Formula(const DocNode& node) {
    const std::string latex = FormulaOf(nodes_, node);
    return latex.empty() ? Status::Ok() : Put("$$" + latex + "$$");
  }

  bool IsBlank(uint32_t id) const { return nodes_[id].kind == Kind::kWords && TrimDocText(nodes_[id].words).empty(); }

  // Items follow each other without an empty line; a list in a list belongs to the item before it.
  Status List(const DocNode& node) {
    std::vector<uint32_t> children;
    std::copy_if(node.children.begin(), node.children.end(), std::back_inserter(children),
                 [this](uint32_t id) { return !IsBlank(id); });
    int number = 0;
    for (size_t i = 0; i < children.size();) {
      const size_t item = i++;
      while (i < children.size() && IsList(nodes_[children[i]].kind)) ++i;
      const std::string marker = node.kind == Kind::kOrderedList ? fmt::format("{}. ", ++number) : "- ";
      EYESHOT_RETURN_IF_ERROR(item == 0 ? Begin() : Append("\n"));
      EYESHOT_RETURN_IF_ERROR(
          Item(marker, nodes_[children[item]], std::span(children).subspan(item + 1, i - item - 1)));
    }
    return Status::Ok();
  }

  // Marker, text, and behind it the blocks of the item and the lists that belong to it.
  Status Item(const std::string& marker, const DocNode& node, std::span<const uint32_t> nested) {
    EYESHOT_RETURN_IF_ERROR(Append(marker + Line(node)));
    std::vector<uint32_t> blocks;
    for (const uint32_t id : node.children) {
      if (!IsInline(nodes_[id].kind) && nodes_[id].kind != Kind::kCell) blocks.push_back(id);
    }
    if (IsList(node.kind)) blocks.assign(node.children.begin(), node.children.end());
    blocks.insert(blocks.end(), nested.begin(), nested.end());
    const bool was_tight = std::exchange(tight_, true);
    Result<std::string> inner = Indented(blocks);
    tight_ = was_tight;
    if (!inner.ok()) return inner.status();
    return inner->empty() ? Status::Ok() : Append("\n" + *inner);
  }

  Status Captions(const DocNode& node) {
    for (const uint32_t id : node.children) {
      if (nodes_[id].kind == Kind::kCaption) EYESHOT_RETURN_IF_ERROR(Block(nodes_[id]));
    }
    return Status::Ok();
  }

  Status Table(const DocNode& node) {
    EYESHOT_RETURN_IF_ERROR(Captions(node));
    return Cells(node);
  }

  Status Cells(const DocNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const DocTable table, ReadDocTable(nodes_, node));
    if (table.cells.empty()) return Status::Ok();
    std::vector<std::string> texts;
    texts.reserve(table.cells.size());
    for (const DocTable::Cell& cell : table.cells) texts.push_back(EscapeMarkdown(cell.text, /*in_cell=*/true));
    for (size_t row = 0; row < table.rows; ++row) {
      EYESHOT_RETURN_IF_ERROR(row == 0 ? Put("|") : Append("\n|"));
      for (size_t col = 0; col < table.cols; ++col) {
        const std::string& text = texts[table.cells[row * table.cols + col].owner];
        EYESHOT_RETURN_IF_ERROR(Append(" "));
        EYESHOT_RETURN_IF_ERROR(Append(text));
        EYESHOT_RETURN_IF_ERROR(Append(" |"));
      }
      if (row > 0) continue;
      EYESHOT_RETURN_IF_ERROR(Append("\n|"));
      for (size_t col = 0; col < table.cols; ++col) EYESHOT_RETURN_IF_ERROR(Append(" --- |"));
    }
    return Status::Ok();
  }

  // Caption, mark, the numbers of a chart, and whatever else was found in it.
  Status Picture(const DocNode& node) {
    EYESHOT_RETURN_IF_ERROR(Captions(node));
    EYESHOT_RETURN_IF_ERROR(Put("<!-- image -->"));
    EYESHOT_RETURN_IF_ERROR(Cells(node));
    const bool has_cells = std::any_of(node.children.begin(), node.children.end(),
                                       [&](uint32_t id) { return nodes_[id].kind == Kind::kCell; });
    for (const uint32_t id : node.children) {
      const Kind kind = nodes_[id].kind;
      if (kind == Kind::kCaption || (has_cells && kind == Kind::kWords)) continue;
      EYESHOT_RETURN_IF_ERROR(Block(nodes_[id]));
    }
    return Status::Ok();
  }

  // A key and the value behind it are one item.
  Status KeyValues(const DocNode& node) {
    std::string list;
    bool after_key = false;
    for (const uint32_t id : node.children) {
      const DocNode& child = nodes_[id];
      const std::string line = Line(child);
      if (line.empty()) continue;
      if (child.kind == Kind::kKey) list += fmt::format("{}- **{}**:", list.empty() ? "" : "\n", line);
      if (child.kind != Kind::kKey && after_key) list += " " + line;
      if (child.kind != Kind::kKey && !after_key) list += fmt::format("{}- {}", list.empty() ? "" : "\n", line);
      after_key = child.kind == Kind::kKey;
    }
    return Put(list);
  }

  const Nodes& nodes_;
  std::string out_;
  bool tight_ = false;  // no empty lines between blocks
};

// ---- HTML ----

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

class HtmlWriter {
 public:
  explicit HtmlWriter(const Nodes& nodes) : nodes_(nodes) {}

  Result<std::string> Run() {
    EYESHOT_RETURN_IF_ERROR(Blocks(nodes_[0].children));
    return std::move(out_);
  }

 private:
  Status Append(std::string_view text) {
    if (text.size() > limits::kMaxDocumentBytes - out_.size()) return TooLong();
    out_ += text;
    return Status::Ok();
  }

  // <name>content</name> on a line of its own, if there is content.
  Status Element(std::string_view name, std::string_view content) {
    if (content.empty()) return Status::Ok();
    return Append(fmt::format("<{0}>{1}</{0}>\n", name, content));
  }

  Status Blocks(std::span<const uint32_t> children) {
    for (const uint32_t id : children) EYESHOT_RETURN_IF_ERROR(Block(nodes_[id]));
    return Status::Ok();
  }

  std::string Inline(const DocNode& node) const {
    switch (node.kind) {
      case Kind::kWords: return EscapeHtml(node.words);
      case Kind::kFormula:
        return fmt::format(R"(<span class="formula">\({}\)</span>)", EscapeHtml(FormulaOf(nodes_, node)));
      case Kind::kCode: return fmt::format("<code>{}</code>", EscapeHtml(CodeOf(nodes_, node)));
      default: break;
    }
    std::string out;
    for (const uint32_t id : node.children) {
      if (!IsInline(nodes_[id].kind)) continue;
      const std::string part = Inline(nodes_[id]);
      if (node.kind != Kind::kInline) {
        out += part;
      } else if (const std::string_view trimmed = TrimDocText(part); !trimmed.empty()) {
        out.append(out.empty() ? "" : " ").append(trimmed);
      }
    }
    return out;
  }

  std::string Line(const DocNode& node) const { return std::string(TrimDocText(Inline(node))); }

  Status Block(const DocNode& node) {
    switch (node.kind) {
      case Kind::kRoot: return Blocks(node.children);
      case Kind::kWords:
      case Kind::kParagraph:
      case Kind::kCaption:
      case Kind::kKey:
      case Kind::kValue:
      case Kind::kInline: return Element("p", Line(node));
      case Kind::kTitle: return Element("h1", Line(node));
      case Kind::kHeading: return Element(fmt::format("h{}", std::min(node.level + 1, 6)), Line(node));
      case Kind::kOrderedList: return List("ol", node);
      case Kind::kList: return List("ul", node);
      case Kind::kListItem: return LoneItem(node);
      case Kind::kChecked:
        return Append(fmt::format("<p><input type=\"checkbox\" disabled checked> {}</p>\n", Line(node)));
      case Kind::kUnchecked: return Append(fmt::format("<p><input type=\"checkbox\" disabled> {}</p>\n", Line(node)));
      case Kind::kCode: return Code(node);
      case Kind::kFormula:
        return Append(fmt::format("<div class=\"formula\">\\[{}\\]</div>\n", EscapeHtml(FormulaOf(nodes_, node))));
      case Kind::kTable: return Table(node);
      case Kind::kPicture: return Picture(node);
      case Kind::kSmiles: return Append(fmt::format("<p><code>{}</code></p>\n", EscapeHtml(CodeOf(nodes_, node))));
      case Kind::kKeyValues: return KeyValues(node);
      case Kind::kPageBreak: return Append("<hr>\n");
      case Kind::kFurniture:
      case Kind::kCell: return Status::Ok();
    }
    return Status::Ok();
  }

  Status Code(const DocNode& node) {
    const std::string language = Language(node.words);
    const std::string mark = language.empty() ? language : fmt::format(" class=\"language-{}\"", language);
    return Append(fmt::format("<pre><code{}>{}</code></pre>\n", mark, EscapeHtml(CodeOf(nodes_, node))));
  }

  Status LoneItem(const DocNode& node) {
    EYESHOT_RETURN_IF_ERROR(Append("<ul>\n<li>"));
    EYESHOT_RETURN_IF_ERROR(ItemContent(node));
    return Append("</li>\n</ul>\n");
  }

  // The text of an item, then its blocks.
  Status ItemContent(const DocNode& node) {
    if (node.kind == Kind::kListItem || IsInline(node.kind)) EYESHOT_RETURN_IF_ERROR(Append(Line(node)));
    if (node.kind != Kind::kListItem) return IsInline(node.kind) ? Status::Ok() : Block(node);
    for (const uint32_t id : node.children) {
      if (IsInline(nodes_[id].kind)) continue;
      EYESHOT_RETURN_IF_ERROR(Block(nodes_[id]));
    }
    return Status::Ok();
  }

  // A list in a list belongs to the item before it.
  Status List(std::string_view name, const DocNode& node) {
    EYESHOT_RETURN_IF_ERROR(Append(fmt::format("<{}>\n", name)));
    bool is_open = false;
    for (const uint32_t id : node.children) {
      const DocNode& child = nodes_[id];
      if (child.kind == Kind::kWords && TrimDocText(child.words).empty()) continue;
      if (!IsList(child.kind) || !is_open) {
        EYESHOT_RETURN_IF_ERROR(Append(is_open ? "</li>\n<li>" : "<li>"));
        is_open = true;
      }
      EYESHOT_RETURN_IF_ERROR(ItemContent(child));
    }
    return Append(fmt::format("{}</{}>\n", is_open ? "</li>\n" : "", name));
  }

  Status Captions(std::string_view name, const DocNode& node) {
    std::string text;
    for (const uint32_t id : node.children) {
      if (nodes_[id].kind != Kind::kCaption) continue;
      text.append(text.empty() ? "" : "<br>").append(Line(nodes_[id]));
    }
    return text.empty() ? Status::Ok() : Append(fmt::format("<{0}>{1}</{0}>", name, text));
  }

  Status Table(const DocNode& node) {
    EYESHOT_ASSIGN_OR_RETURN(const DocTable table, ReadDocTable(nodes_, node));
    if (table.cells.empty()) return Captions("p", node);
    EYESHOT_RETURN_IF_ERROR(Append("<table>"));
    EYESHOT_RETURN_IF_ERROR(Captions("caption", node));
    EYESHOT_RETURN_IF_ERROR(Append("<tbody>"));
    for (size_t row = 0; row < table.rows; ++row) {
      EYESHOT_RETURN_IF_ERROR(Append("<tr>"));
      for (size_t col = 0; col < table.cols; ++col) EYESHOT_RETURN_IF_ERROR(Cell(table.cells[row * table.cols + col]));
      EYESHOT_RETURN_IF_ERROR(Append("</tr>"));
    }
    return Append("</tbody></table>\n");
  }

  Status Cell(const DocTable::Cell& cell) {
    if (cell.row_span == 0) return Status::Ok();
    const std::string_view name = cell.is_header ? "th" : "td";
    const std::string rows = cell.row_span > 1 ? fmt::format(" rowspan=\"{}\"", cell.row_span) : std::string();
    const std::string cols = cell.col_span > 1 ? fmt::format(" colspan=\"{}\"", cell.col_span) : std::string();
    return Append(fmt::format("<{0}{1}{2}>{3}</{0}>", name, rows, cols, EscapeHtml(cell.text)));
  }

  Status Picture(const DocNode& node) {
    const std::string mark = node.words.empty() ? std::string() : fmt::format(" data-class=\"{}\"", node.words);
    EYESHOT_RETURN_IF_ERROR(Append(fmt::format("<figure{}>", mark)));
    EYESHOT_RETURN_IF_ERROR(Captions("figcaption", node));
    const bool has_cells = std::any_of(node.children.begin(), node.children.end(),
                                       [&](uint32_t id) { return nodes_[id].kind == Kind::kCell; });
    if (has_cells) {
      DocNode cells = node;
      std::erase_if(cells.children, [&](uint32_t id) { return nodes_[id].kind == Kind::kCaption; });
      EYESHOT_RETURN_IF_ERROR(Table(cells));
    }
    for (const uint32_t id : node.children) {
      const Kind kind = nodes_[id].kind;
      if (kind == Kind::kCaption || (has_cells && kind == Kind::kWords)) continue;
      EYESHOT_RETURN_IF_ERROR(Block(nodes_[id]));
    }
    return Append("</figure>\n");
  }

  // A key and the value behind it are one item.
  Status KeyValues(const DocNode& node) {
    std::string list;
    bool after_key = false;
    for (const uint32_t id : node.children) {
      const DocNode& child = nodes_[id];
      const std::string line = Line(child);
      if (line.empty()) continue;
      if (child.kind == Kind::kKey || !after_key) list += list.empty() ? "<li>" : "</li>\n<li>";
      list += child.kind == Kind::kKey ? fmt::format("<strong>{}</strong>:", line) : after_key ? " " + line : line;
      after_key = child.kind == Kind::kKey;
    }
    return list.empty() ? Status::Ok() : Append(fmt::format("<ul>\n{}</li>\n</ul>\n", list));
  }

  const Nodes& nodes_;
  std::string out_;
};

}  // namespace

Result<std::string> DocTagsToMarkdown(std::string_view text) {
  EYESHOT_ASSIGN_OR_RETURN(const Nodes nodes, ParseDocTags(text));
  return MarkdownWriter(nodes).Run();
}

Result<std::string> DocTagsToHtml(std::string_view text) {
  EYESHOT_ASSIGN_OR_RETURN(const Nodes nodes, ParseDocTags(text));
  return HtmlWriter(nodes).Run();
}

}  // namespace eyeshot
