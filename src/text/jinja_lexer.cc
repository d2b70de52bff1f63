#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "text/jinja_value.h"
#include "text/utf8.h"

namespace eyeshot {
namespace {

using Kind = JinjaToken::Kind;

constexpr char kMend[] = "check the chat template";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsName(char c) { return IsNameStart(c) || IsDigit(c); }

// Line ends as line feeds, and none at the very end.
std::string Normalized(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      out += '\n';
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
    } else {
      out += text[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : rest_(text) {}

  Result<std::vector<JinjaToken>> Run() {
    while (!rest_.empty()) {
      const size_t tag = FindTag();
      const std::string_view data = rest_.substr(0, tag);
      Skip(tag);
      if (rest_.empty()) {
        AddData(data);
        break;
      }
      EYESHOT_RETURN_IF_ERROR(Tag(data));
    }
    Add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  // Where the next tag begins; the size of the rest if there is none.
  size_t FindTag() const {
    for (size_t at = rest_.find('{'); at != std::string_view::npos; at = rest_.find('{', at + 1)) {
      const char next = at + 1 < rest_.size() ? rest_[at + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return rest_.size();
  }

  void Skip(size_t bytes) {
    const std::string_view skipped = rest_.substr(0, bytes);
    line_ += static_cast<int>(std::count(skipped.begin(), skipped.end(), '\n'));
    if (!skipped.empty()) line_starts_ = skipped.back() == '\n';
    rest_.remove_prefix(bytes);
  }

  void Add(Kind kind, std::string_view text) { tokens_.push_back({kind, std::string(text), line_}); }
  void AddData(std::string_view data) {
    if (!data.empty()) Add(Kind::kData, data);
  }

  Status Error(std::string found) const { return CorruptError(fmt::format("line {}: {}", line_, found), kMend); }

  // What is left of the text before a tag. line_starts: the text begins its line.
  static std::string_view Stripped(std::string_view data, char kind, char sign, bool line_starts) {
    if (sign == '-') return data.substr(0, data.size() - JinjaTrailingSpace(data));
    if (sign == '+' || kind == '{') return data;
    const size_t line = data.rfind('\n') + 1;  // 0 if there is none
    if (line == 0 && !line_starts) return data;
    return JinjaTrailingSpace(data.substr(line)) == data.size() - line ? data.substr(0, line) : data;
  }

  // The rest begins with a tag, before which stands `data`.
  Status Tag(std::string_view data) {
    const char kind = rest_[1];
    const char sign = rest_.size() > 2 && (rest_[2] == '-' || rest_[2] == '+') ? rest_[2] : '\0';
    AddData(Stripped(data, kind, sign, started_));
    Skip(sign == '\0' ? 2 : 3);
    if (kind == '#') return Comment();
    Add(kind == '{' ? Kind::kVariableBegin : Kind::kBlockBegin, "");
    return Inside(kind == '{' ? '}' : '%');
  }

  Status Comment() {
    const size_t end = rest_.find("#}");
    if (end == std::string_view::npos) return Error("a comment without '#}'");
    const char sign = end > 0 ? rest_[end - 1] : '\0';
    Skip(end + 2);
    AfterTag(sign, /*trims=*/true);
    return Status::Ok();
  }

  // Behind a tag that ended with `sign`.
  void AfterTag(char sign, bool trims) {
    if (sign == '-') {
      Skip(JinjaLeadingSpace(rest_));
    } else if (trims && sign != '+' && rest_.starts_with('\n')) {
      Skip(1);
    }
    started_ = line_starts_;
  }

  // Tokens up to the end of a tag: "}}" or "%}".
  Status Inside(char first_of_end) {
    std::vector<char> open;
    while (true) {
      Skip(JinjaLeadingSpace(rest_));
      if (rest_.empty()) return Error(fmt::format("a tag without '{}}}'", first_of_end));
      if (open.empty() && TakeEnd(first_of_end)) return Status::Ok();
      EYESHOT_RETURN_IF_ERROR(One(open));
      if (tokens_.back().text == "raw" && tokens_.size() > 1 && tokens_[tokens_.size() - 2].kind == Kind::kBlockBegin) {
        return UnsupportedError(fmt::format("line {}: '{{% raw %}}'", line_), "use a chat template without it");
      }
    }
  }

  bool TakeEnd(char first_of_end) {
    const bool is_block = first_of_end == '%';
    const bool signed_end = rest_[0] == '-' || (is_block && rest_[0] == '+');
    const std::array<char, 2> end = {first_of_end, '}'};
    const std::string_view at = rest_.substr(signed_end ? 1 : 0);
    if (!at.starts_with(std::string_view(end.data(), end.size()))) return false;
    const char sign = signed_end ? rest_[0] : '\0';
    Skip(signed_end ? 3 : 2);
    Add(is_block ? Kind::kBlockEnd : Kind::kVariableEnd, "");
    AfterTag(sign, is_block);
    return true;
  }

  // One token; `open` are the brackets that are open.
  Status One(std::vector<char>& open) {
    const char c = rest_[0];
    if (IsNameStart(c)) {
      const auto end = std::find_if_not(rest_.begin(), rest_.end(), IsName);
      Take(Kind::kName, static_cast<size_t>(end - rest_.begin()));
      return Status::Ok();
    }
    if (IsDigit(c)) return Number();
    if (c == '\'' || c == '"') return String();
    return Operator(open);
  }

  void Take(Kind kind, size_t bytes) {
    Add(kind, rest_.substr(0, bytes));
    Skip(bytes);
  }

  size_t DigitsAt(size_t at) const {
    const size_t begin = at;
    while (at < rest_.size() && IsDigit(rest_[at])) ++at;
    return at - begin;
  }

  Status Number() {
    size_t bytes = DigitsAt(0);
    bool is_float = false;
    if (bytes < rest_.size() && rest_[bytes] == '.' && DigitsAt(bytes + 1) > 0) {
      is_float = true;
      bytes += 1 + DigitsAt(bytes + 1);
    }
    if (bytes < rest_.size() && (rest_[bytes] == 'e' || rest_[bytes] == 'E')) {
      size_t at = bytes + 1;
      if (at < rest_.size() && (rest_[at] == '+' || rest_[at] == '-')) ++at;
      if (DigitsAt(at) > 0) {
        is_float = true;
        bytes = at + DigitsAt(at);
      }
    }
    if (bytes < rest_.size() && IsName(rest_[bytes])) {
      return Error(fmt::format("a number that goes on with '{}'", rest_[bytes]));
    }
    Take(is_float ? Kind::kFloat : Kind::kInteger, bytes);
    return Status::Ok();
  }

  Status String() {
    const char quote = rest_[0];
    const int line = line_;
    std::string content;
    size_t at = 1;
    while (at < rest_.size() && rest_[at] != quote) {
      if (rest_[at] == '\\') {
        EYESHOT_ASSIGN_OR_RETURN(const size_t bytes, Escape(rest_.substr(at), content));
        at += bytes;
      } else {
        content += rest_[at++];
      }
    }
    if (at >= rest_.size()) return Error("a text in quotes without end");
    Skip(at + 1);
    tokens_.push_back({Kind::kString, std::move(content), line});
    return Status::Ok();
  }

  // Appends what an escape means, and gives its bytes: Python's "unicode-escape".
  Result<size_t> Escape(std::string_view text, std::string& content) const {
    if (text.size() < 2) return Error("a text in quotes without end");
    constexpr std::string_view kNames = "nrtabfv\\'\"";
    constexpr std::string_view kMeanings = "\n\r\t\a\b\f\v\\'\"";
    const char name = text[1];
    if (const size_t at = kNames.find(name); at != std::string_view::npos) {
      content += kMeanings[at];
      return size_t{2};
    }
    if (name == '\n') return size_t{2};
    const size_t digits = name == 'x' ? 2 : name == 'u' ? 4 : name == 'U' ? 8 : 0;
    if (digits > 0) {
      uint32_t code = 0;
      const char* const begin = text.data() + 2;
      const char* const end = begin + std::min(digits, text.size() - 2);
      const auto [stop, error] = std::from_chars(begin, end, code, 16);
      const bool wrong = error != std::errc() || stop != begin + digits || code > 0x10FFFF;
      if (wrong || (code >= 0xD800 && code < 0xE000))
        return Error(fmt::format("'{}' is no character", text.substr(0, 10)));
      AppendUtf8(code, content);
      return digits + 2;
    }
    if (IsDigit(name)) return Error("an octal escape in a text");
    content.append(text.substr(0, 1));
    return size_t{1};
  }

  Status Operator(std::vector<char>& open) {
    constexpr std::array<std::string_view, 6> kLong = {"//", "**", "==", "!=", "<=", ">="};
    for (const std::string_view op : kLong) {
      if (!rest_.starts_with(op)) continue;
      Take(Kind::kOperator, op.size());
      return Status::Ok();
    }
    const char c = rest_[0];
    if (std::string_view("+-*/%~[](){}.:|,=<>").find(c) == std::string_view::npos) {
      return Error(fmt::format("'{}' in a tag", rest_.substr(0, DecodeUtf8(rest_).bytes)));
    }
    if (c == '(' || c == '[' || c == '{') open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) return Error(fmt::format("'{}' closes nothing", c));
      open.pop_back();
    }
    Take(Kind::kOperator, 1);
    return Status::Ok();
  }

  std::string_view rest_;
  int line_ = 1;
  bool line_starts_ = true;  // a line feed stands before the rest, or nothing
  bool started_ = true;      // the same, where the last tag ended
  std::vector<JinjaToken> tokens_;
};

}  // namespace

Result<std::vector<JinjaToken>> LexJinja(std::string_view text) {
  const std::string normalized = Normalized(text);
  return Lexer(normalized).Run();
}

}  // namespace eyeshot
