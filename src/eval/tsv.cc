#include "eval/tsv.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot::eval {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

std::string TsvField::Text() const {
  std::string text;
  text.reserve(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    text += raw[i];
    if (quoted && raw[i] == '"' && i + 1 < raw.size() && raw[i + 1] == '"') ++i;
  }
  return text;
}

TsvReader::TsvReader(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {
  if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
}

std::string TsvReader::Where() const { return fmt::format("{}:{}", where_, row_line_); }

Result<bool> TsvReader::Next(std::vector<TsvField>& row) {
  row.clear();
  while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) {
    line_ += text_[at_++] == '\n' ? 1 : 0;
  }
  row_line_ = line_;
  if (at_ >= text_.size()) return false;
  while (true) {
    if (row.size() == limits::kMaxSetColumns) {
      return LimitError(fmt::format("{}: more than kMaxSetColumns ({}) columns", Where(), limits::kMaxSetColumns),
                        "leave out those that nobody needs");
    }
    EYESHOT_ASSIGN_OR_RETURN(const TsvField field, Field());
    row.push_back(field);
    if (at_ >= text_.size()) return true;
    const char end = text_[at_++];
    if (end == '\t') {
      // A tab at the end of the file: an empty field follows.
      if (at_ == text_.size()) row.emplace_back();
      if (at_ == text_.size()) return true;
      continue;
    }
    if (end == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++line_;
    return true;
  }
}

Result<TsvField> TsvReader::Field() {
  if (text_[at_] == '"') return QuotedField();
  const size_t end = std::min(text_.find_first_of("\t\r\n", at_), text_.size());
  const TsvField field{text_.substr(at_, end - at_), false};
  at_ = end;
  return field;
}

Result<TsvField> TsvReader::QuotedField() {
  const size_t begin = at_ + 1;
  size_t end = begin;
  while (true) {
    end = text_.find('"', end);
    if (end == std::string_view::npos) {
      return CorruptError(fmt::format("{}: a field begins with a quotation mark and never ends", Where()),
                          "close it, or double the mark within quotes");
    }
    if (end + 1 >= text_.size() || text_[end + 1] != '"') break;
    end += 2;
  }
  const TsvField field{text_.substr(begin, end - begin), true};
  line_ += static_cast<size_t>(std::count(field.raw.begin(), field.raw.end(), '\n'));
  at_ = end + 1;
  if (at_ < text_.size() && text_[at_] != '\t' && text_[at_] != '\n' && text_[at_] != '\r') {
    return CorruptError(fmt::format("{}: text follows the closing quotation mark of a field", Where()),
                        "put a tab or a line break there, or double the mark within quotes");
  }
  return field;
}

}  // namespace eyeshot::eval
