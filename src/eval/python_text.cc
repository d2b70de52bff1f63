#include "eval/python_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>

#include "text/unicode.h"
#include "text/utf8.h"

namespace eyeshot::eval {
namespace {

// Every `step`-th character from `first` to `last` has its small letter `distance` above it. Of Unicode 14, made with
// Python 3.11's str.lower.
struct LowerRange {
  char32_t first;
  char32_t last;
  char32_t step;
  int32_t distance;
};
constexpr LowerRange kLower[] = {
    {0x0041, 0x005A, 1, 32},     {0x00C0, 0x00D6, 1, 32},     {0x00D8, 0x00DE, 1, 32},     {0x0100, 0x012E, 2, 1},
    {0x0132, 0x0136, 2, 1},      {0x0139, 0x0147, 2, 1},      {0x014A, 0x0176, 2, 1},      {0x0178, 0x0178, 1, -121},
    {0x0179, 0x017D, 2, 1},      {0x0181, 0x0181, 1, 210},    {0x0182, 0x0184, 2, 1},      {0x0186, 0x0186, 1, 206},
    {0x0187, 0x0187, 1, 1},      {0x0189, 0x018A, 1, 205},    {0x018B, 0x018B, 1, 1},      {0x018E, 0x018E, 1, 79},
    {0x018F, 0x018F, 1, 202},    {0x0190, 0x0190, 1, 203},    {0x0191, 0x0191, 1, 1},      {0x0193, 0x0193, 1, 205},
    {0x0194, 0x0194, 1, 207},    {0x0196, 0x0196, 1, 211},    {0x0197, 0x0197, 1, 209},    {0x0198, 0x0198, 1, 1},
    {0x019C, 0x019C, 1, 211},    {0x019D, 0x019D, 1, 213},    {0x019F, 0x019F, 1, 214},    {0x01A0, 0x01A4, 2, 1},
    {0x01A6, 0x01A6, 1, 218},    {0x01A7, 0x01A7, 1, 1},      {0x01A9, 0x01A9, 1, 218},    {0x01AC, 0x01AC, 1, 1},
    {0x01AE, 0x01AE, 1, 218},    {0x01AF, 0x01AF, 1, 1},      {0x01B1, 0x01B2, 1, 217},    {0x01B3, 0x01B5, 2, 1},
    {0x01B7, 0x01B7, 1, 219},    {0x01B8, 0x01B8, 1, 1},      {0x01BC, 0x01BC, 1, 1},      {0x01C4, 0x01C4, 1, 2},
    {0x01C5, 0x01C5, 1, 1},      {0x01C7, 0x01C7, 1, 2},      {0x01C8, 0x01C8, 1, 1},      {0x01CA, 0x01CA, 1, 2},
    {0x01CB, 0x01DB, 2, 1},      {0x01DE, 0x01EE, 2, 1},      {0x01F1, 0x01F1, 1, 2},      {0x01F2, 0x01F4, 2, 1},
    {0x01F6, 0x01F6, 1, -97},    {0x01F7, 0x01F7, 1, -56},    {0x01F8, 0x021E, 2, 1},      {0x0220, 0x0220, 1, -130},
    {0x0222, 0x0232, 2, 1},      {0x023A, 0x023A, 1, 10795},  {0x023B, 0x023B, 1, 1},      {0x023D, 0x023D, 1, -163},
    {0x023E, 0x023E, 1, 10792},  {0x0241, 0x0241, 1, 1},      {0x0243, 0x0243, 1, -195},   {0x0244, 0x0244, 1, 69},
    {0x0245, 0x0245, 1, 71},     {0x0246, 0x024E, 2, 1},      {0x0370, 0x0372, 2, 1},      {0x0376, 0x0376, 1, 1},
    {0x037F, 0x037F, 1, 116},    {0x0386, 0x0386, 1, 38},     {0x0388, 0x038A, 1, 37},     {0x038C, 0x038C, 1, 64},
    {0x038E, 0x038F, 1, 63},     {0x0391, 0x03A1, 1, 32},     {0x03A3, 0x03AB, 1, 32},     {0x03CF, 0x03CF, 1, 8},
    {0x03D8, 0x03EE, 2, 1},      {0x03F4, 0x03F4, 1, -60},    {0x03F7, 0x03F7, 1, 1},      {0x03F9, 0x03F9, 1, -7},
    {0x03FA, 0x03FA, 1, 1},      {0x03FD, 0x03FF, 1, -130},   {0x0400, 0x040F, 1, 80},     {0x0410, 0x042F, 1, 32},
    {0x0460, 0x0480, 2, 1},      {0x048A, 0x04BE, 2, 1},      {0x04C0, 0x04C0, 1, 15},     {0x04C1, 0x04CD, 2, 1},
    {0x04D0, 0x052E, 2, 1},      {0x0531, 0x0556, 1, 48},     {0x10A0, 0x10C5, 1, 7264},   {0x10C7, 0x10C7, 1, 7264},
    {0x10CD, 0x10CD, 1, 7264},   {0x13A0, 0x13EF, 1, 38864},  {0x13F0, 0x13F5, 1, 8},      {0x1C90, 0x1CBA, 1, -3008},
    {0x1CBD, 0x1CBF, 1, -3008},  {0x1E00, 0x1E94, 2, 1},      {0x1E9E, 0x1E9E, 1, -7615},  {0x1EA0, 0x1EFE, 2, 1},
    {0x1F08, 0x1F0F, 1, -8},     {0x1F18, 0x1F1D, 1, -8},     {0x1F28, 0x1F2F, 1, -8},     {0x1F38, 0x1F3F, 1, -8},
    {0x1F48, 0x1F4D, 1, -8},     {0x1F59, 0x1F5F, 2, -8},     {0x1F68, 0x1F6F, 1, -8},     {0x1F88, 0x1F8F, 1, -8},
    {0x1F98, 0x1F9F, 1, -8},     {0x1FA8, 0x1FAF, 1, -8},     {0x1FB8, 0x1FB9, 1, -8},     {0x1FBA, 0x1FBB, 1, -74},
    {0x1FBC, 0x1FBC, 1, -9},     {0x1FC8, 0x1FCB, 1, -86},    {0x1FCC, 0x1FCC, 1, -9},     {0x1FD8, 0x1FD9, 1, -8},
    {0x1FDA, 0x1FDB, 1, -100},   {0x1FE8, 0x1FE9, 1, -8},     {0x1FEA, 0x1FEB, 1, -112},   {0x1FEC, 0x1FEC, 1, -7},
    {0x1FF8, 0x1FF9, 1, -128},   {0x1FFA, 0x1FFB, 1, -126},   {0x1FFC, 0x1FFC, 1, -9},     {0x2126, 0x2126, 1, -7517},
    {0x212A, 0x212A, 1, -8383},  {0x212B, 0x212B, 1, -8262},  {0x2132, 0x2132, 1, 28},     {0x2160, 0x216F, 1, 16},
    {0x2183, 0x2183, 1, 1},      {0x24B6, 0x24CF, 1, 26},     {0x2C00, 0x2C2F, 1, 48},     {0x2C60, 0x2C60, 1, 1},
    {0x2C62, 0x2C62, 1, -10743}, {0x2C63, 0x2C63, 1, -3814},  {0x2C64, 0x2C64, 1, -10727}, {0x2C67, 0x2C6B, 2, 1},
    {0x2C6D, 0x2C6D, 1, -10780}, {0x2C6E, 0x2C6E, 1, -10749}, {0x2C6F, 0x2C6F, 1, -10783}, {0x2C70, 0x2C70, 1, -10782},
    {0x2C72, 0x2C72, 1, 1},      {0x2C75, 0x2C75, 1, 1},      {0x2C7E, 0x2C7F, 1, -10815}, {0x2C80, 0x2CE2, 2, 1},
    {0x2CEB, 0x2CED, 2, 1},      {0x2CF2, 0x2CF2, 1, 1},      {0xA640, 0xA66C, 2, 1},      {0xA680, 0xA69A, 2, 1},
    {0xA722, 0xA72E, 2, 1},      {0xA732, 0xA76E, 2, 1},      {0xA779, 0xA77B, 2, 1},      {0xA77D, 0xA77D, 1, -35332},
    {0xA77E, 0xA786, 2, 1},      {0xA78B, 0xA78B, 1, 1},      {0xA78D, 0xA78D, 1, -42280}, {0xA790, 0xA792, 2, 1},
    {0xA796, 0xA7A8, 2, 1},      {0xA7AA, 0xA7AA, 1, -42308}, {0xA7AB, 0xA7AB, 1, -42319}, {0xA7AC, 0xA7AC, 1, -42315},
    {0xA7AD, 0xA7AD, 1, -42305}, {0xA7AE, 0xA7AE, 1, -42308}, {0xA7B0, 0xA7B0, 1, -42258}, {0xA7B1, 0xA7B1, 1, -42282},
    {0xA7B2, 0xA7B2, 1, -42261}, {0xA7B3, 0xA7B3, 1, 928},    {0xA7B4, 0xA7C2, 2, 1},      {0xA7C4, 0xA7C4, 1, -48},
    {0xA7C5, 0xA7C5, 1, -42307}, {0xA7C6, 0xA7C6, 1, -35384}, {0xA7C7, 0xA7C9, 2, 1},      {0xA7D0, 0xA7D0, 1, 1},
    {0xA7D6, 0xA7D8, 2, 1},      {0xA7F5, 0xA7F5, 1, 1},      {0xFF21, 0xFF3A, 1, 32},     {0x10400, 0x10427, 1, 40},
    {0x104B0, 0x104D3, 1, 40},   {0x10570, 0x1057A, 1, 39},   {0x1057C, 0x1058A, 1, 39},   {0x1058C, 0x10592, 1, 39},
    {0x10594, 0x10595, 1, 39},   {0x10C80, 0x10CB2, 1, 64},   {0x118A0, 0x118BF, 1, 32},   {0x16E40, 0x16E5F, 1, 32},
    {0x1E900, 0x1E921, 1, 34},
};

// Letters whose capital is more than one character: str.upper.
struct UpperRange {
  char32_t first;
  char32_t last;
  size_t length;
};
constexpr UpperRange kLongUpper[] = {
    {0x00DF, 0x00DF, 2}, {0x0149, 0x0149, 2}, {0x01F0, 0x01F0, 2}, {0x0390, 0x0390, 3}, {0x03B0, 0x03B0, 3},
    {0x0587, 0x0587, 2}, {0x1E96, 0x1E9A, 2}, {0x1F50, 0x1F50, 2}, {0x1F52, 0x1F52, 3}, {0x1F54, 0x1F54, 3},
    {0x1F56, 0x1F56, 3}, {0x1F80, 0x1FAF, 2}, {0x1FB2, 0x1FB4, 2}, {0x1FB6, 0x1FB6, 2}, {0x1FB7, 0x1FB7, 3},
    {0x1FBC, 0x1FBC, 2}, {0x1FC2, 0x1FC4, 2}, {0x1FC6, 0x1FC6, 2}, {0x1FC7, 0x1FC7, 3}, {0x1FCC, 0x1FCC, 2},
    {0x1FD2, 0x1FD3, 3}, {0x1FD6, 0x1FD6, 2}, {0x1FD7, 0x1FD7, 3}, {0x1FE2, 0x1FE3, 3}, {0x1FE4, 0x1FE4, 2},
    {0x1FE6, 0x1FE6, 2}, {0x1FE7, 0x1FE7, 3}, {0x1FF2, 0x1FF4, 2}, {0x1FF6, 0x1FF6, 2}, {0x1FF7, 0x1FF7, 3},
    {0x1FFC, 0x1FFC, 2}, {0xFB00, 0xFB02, 2}, {0xFB03, 0xFB04, 3}, {0xFB05, 0xFB06, 2}, {0xFB13, 0xFB17, 2},
};

// The zeros of all scripts; the other nine digits follow each.
constexpr char32_t kZeros[] = {
    0x0030,  0x0660,  0x06F0,  0x07C0,  0x0966,  0x09E6,  0x0A66,  0x0AE6,  0x0B66,  0x0BE6,  0x0C66,
    0x0CE6,  0x0D66,  0x0DE6,  0x0E50,  0x0ED0,  0x0F20,  0x1040,  0x1090,  0x17E0,  0x1810,  0x1946,
    0x19D0,  0x1A80,  0x1A90,  0x1B50,  0x1BB0,  0x1C40,  0x1C50,  0xA620,  0xA8D0,  0xA900,  0xA9D0,
    0xA9F0,  0xAA50,  0xABF0,  0xFF10,  0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0,
    0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60,
    0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
};

constexpr char32_t kDottedI = 0x130;  // its small letter is two characters
constexpr char32_t kSigma = 0x3A3;

bool IsLetter(char32_t c) { return (CharClasses(c) & kLetter) != 0; }

char32_t LowerOf(char32_t c) {
  const auto* range =
      std::partition_point(std::begin(kLower), std::end(kLower), [&](const LowerRange& r) { return r.last < c; });
  if (range == std::end(kLower) || c < range->first || (c - range->first) % range->step != 0) return c;
  return static_cast<char32_t>(static_cast<int32_t>(c) + range->distance);
}

// The value of a decimal digit; -1: none.
int DigitOf(char32_t c) {
  const auto* zero = std::upper_bound(std::begin(kZeros), std::end(kZeros), c);
  if (zero == std::begin(kZeros)) return -1;
  const char32_t distance = c - *std::prev(zero);
  return distance < 10 ? static_cast<int>(distance) : -1;
}

// Digits with single underscores between them, as of Python 3.6; false: there is none.
bool TakeDigits(std::u32string_view& text, std::string& out) {
  const size_t before = out.size();
  while (!text.empty()) {
    const bool underscore = text.front() == U'_' && out.size() > before && text.size() > 1;
    const int digit = DigitOf(underscore ? text[1] : text.front());
    if (digit < 0) break;
    out += static_cast<char>('0' + digit);
    text.remove_prefix(underscore ? 2 : 1);
  }
  return out.size() > before;
}

// Digits, a point and an exponent, without a sign, in ASCII.
std::optional<std::string> PlainNumber(std::u32string_view text) {
  std::string plain;
  const bool whole = TakeDigits(text, plain);
  bool fraction = false;
  if (!text.empty() && text.front() == U'.') {
    text.remove_prefix(1);
    plain += whole ? "." : "0.";
    fraction = TakeDigits(text, plain);
    if (!fraction) plain += '0';
  }
  if (!whole && !fraction) return std::nullopt;
  if (!text.empty() && (text.front() == U'e' || text.front() == U'E')) {
    text.remove_prefix(1);
    plain += 'e';
    if (!text.empty() && (text.front() == U'+' || text.front() == U'-')) {
      if (text.front() == U'-') plain += '-';
      text.remove_prefix(1);
    }
    if (!TakeDigits(text, plain)) return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return plain;
}

// Reads what Python may print as an item of a list.
class ListReader {
 public:
  explicit ListReader(std::string_view text) : rest_(text) {}

  std::optional<std::vector<std::string>> Read() {
    std::vector<std::string> items;
    if (!Take('[')) return std::nullopt;
    while (!Take(']')) {
      if (!items.empty() && !Take(',')) return std::nullopt;
      if (!items.empty() && Take(']')) break;  // a comma may end the list
      std::optional<std::string> item = Item();
      if (!item) return std::nullopt;
      items.push_back(*std::move(item));
    }
    SkipSpace();
    if (!rest_.empty()) return std::nullopt;
    return items;
  }

 private:
  void SkipSpace() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }

  bool Take(char c) {
    SkipSpace();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::optional<std::string> Item() {
    SkipSpace();
    if (rest_.empty()) return std::nullopt;
    if (rest_.front() == '\'' || rest_.front() == '"') return Quoted();
    const size_t end = rest_.find_first_of(",]");
    if (end == std::string_view::npos) return std::nullopt;
    std::string word(rest_.substr(0, end));
    while (!word.empty() && (word.back() == ' ' || word.back() == '\n')) word.pop_back();
    rest_.remove_prefix(end);
    const bool constant = word == "None" || word == "True" || word == "False";
    if (!constant && !Number(CodePoints(word))) return std::nullopt;
    return word;
  }

  std::optional<std::string> Quoted() {
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    std::string text;
    while (!rest_.empty() && rest_.front() != quote) {
      if (rest_.front() == '\\' && rest_.size() > 1) {
        if (!Escaped(text)) return std::nullopt;
        continue;
      }
      text += rest_.front();
      rest_.remove_prefix(1);
    }
    if (rest_.empty()) return std::nullopt;
    rest_.remove_prefix(1);
    return text;
  }

  // A backslash and what follows it; unknown ones stay as they are.
  bool Escaped(std::string& text) {
    const char kind = rest_[1];
    rest_.remove_prefix(2);
    switch (kind) {
      case 'n': text += '\n'; return true;
      case 't': text += '\t'; return true;
      case 'r': text += '\r'; return true;
      case '\\':
      case '\'':
      case '"': text += kind; return true;
      case 'x': return Hex(2, text);
      case 'u': return Hex(4, text);
      case 'U': return Hex(8, text);
      default:
        text += '\\';
        text += kind;
        return true;
    }
  }

  bool Hex(size_t digits, std::string& text) {
    uint32_t value = 0;
    if (rest_.size() < digits) return false;
    const std::string_view hex = rest_.substr(0, digits);
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
    if (error != std::errc() || end != hex.data() + hex.size() || value > 0x10FFFF) return false;
    AppendUtf8(value >= 0xD800 && value < 0xE000 ? kReplacementCharacter : value, text);
    rest_.remove_prefix(digits);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

std::u32string CodePoints(std::string_view utf8) {
  std::u32string text;
  while (!utf8.empty()) {
    const Utf8Char next = DecodeUtf8(utf8);
    text.push_back(next.code_point);
    utf8.remove_prefix(next.bytes);
  }
  return text;
}

std::string Utf8(std::u32string_view text) {
  std::string utf8;
  for (const char32_t c : text) AppendUtf8(c, utf8);
  return utf8;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsDigit(char32_t c) { return DigitOf(c) >= 0; }

std::u32string_view Strip(std::u32string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

std::u32string Lower(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == kDottedI) {
      lower += U"i\u0307";
    } else if (text[i] == kSigma) {
      const bool last = i > 0 && IsLetter(text[i - 1]) && (i + 1 == text.size() || !IsLetter(text[i + 1]));
      lower += last ? U'\u03C2' : U'\u03C3';
    } else {
      lower += LowerOf(text[i]);
    }
  }
  return lower;
}

std::vector<std::u32string> Words(std::u32string_view text) {
  std::vector<std::u32string> words;
  bool inside = false;
  for (const char32_t c : text) {
    if (IsSpace(c)) {
      inside = false;
      continue;
    }
    if (!inside) words.emplace_back();
    inside = true;
    words.back() += c;
  }
  return words;
}

std::u32string JoinedWords(std::u32string_view text) {
  std::u32string joined;
  for (const std::u32string& word : Words(text)) {
    if (!joined.empty()) joined += U' ';
    joined += word;
  }
  return joined;
}

std::u32string Replaced(std::u32string text, std::u32string_view from, std::u32string_view to) {
  for (size_t at = text.find(from); at != std::u32string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

size_t UpperLength(std::u32string_view text) {
  size_t length = 0;
  for (const char32_t c : text) {
    const auto* range = std::partition_point(std::begin(kLongUpper), std::end(kLongUpper),
                                             [&](const UpperRange& r) { return r.last < c; });
    length += range != std::end(kLongUpper) && c >= range->first ? range->length : 1;
  }
  return length;
}

std::optional<double> Number(std::u32string_view text) {
  text = Strip(text);
  const bool negative = !text.empty() && text.front() == U'-';
  if (negative || (!text.empty() && text.front() == U'+')) text.remove_prefix(1);
  const double sign = negative ? -1 : 1;
  const std::u32string lower = Lower(text);
  if (lower == U"inf" || lower == U"infinity") return sign * std::numeric_limits<double>::infinity();
  if (lower == U"nan") return std::numeric_limits<double>::quiet_NaN();
  const std::optional<std::string> plain = PlainNumber(text);
  if (!plain) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(plain->data(), plain->data() + plain->size(), value);
  if (error == std::errc::result_out_of_range) {
    value = plain->find("e-") == std::string::npos ? std::numeric_limits<double>::infinity() : 0;
  }
  return sign * value;
}

std::optional<std::vector<std::string>> ListItems(std::string_view text) { return ListReader(text).Read(); }

}  // namespace eyeshot::eval
