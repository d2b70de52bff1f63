#include "eval/base64.h"

#include <algorithm>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot::eval {
namespace {

constexpr std::string_view kMend = "encode the picture's file again";

int ValueOf(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

Result<std::vector<uint8_t>> DecodeBase64(std::string_view text, const std::string& where) {
  constexpr std::string_view kMark = ";base64,";
  if (text.starts_with("data:")) {
    const size_t mark = text.substr(0, limits::kMaxTokenBytes).find(kMark);
    if (mark != std::string_view::npos) text.remove_prefix(mark + kMark.size());
  }
  if (text.size() / 4 * 3 > limits::kMaxImageBytes) {
    return LimitError(fmt::format("{}: {} characters of base64, more than kMaxImageBytes ({}) in bytes", where,
                                  text.size(), limits::kMaxImageBytes),
                      "use a smaller picture");
  }
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int count = 0;  // of characters in `bits`
  size_t at = 0;
  for (; at < text.size() && text[at] != '='; ++at) {
    if (IsBlank(text[at])) continue;
    const int value = ValueOf(text[at]);
    if (value < 0) {
      return CorruptError(fmt::format("{}: byte {} at character {} is not base64", where,
                                      static_cast<int>(static_cast<uint8_t>(text[at])), at),
                          std::string(kMend));
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++count < 4) continue;
    for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<uint8_t>(bits >> shift));
    bits = 0;
    count = 0;
  }
  const auto rest = text.substr(at);
  if (count == 1 || !std::all_of(rest.begin(), rest.end(), [](char c) { return c == '=' || IsBlank(c); })) {
    return CorruptError(fmt::format("{}: the base64 text ends wrongly at character {}", where, at), std::string(kMend));
  }
  if (count >= 2) bytes.push_back(static_cast<uint8_t>(bits >> (count == 2 ? 4 : 10)));
  if (count == 3) bytes.push_back(static_cast<uint8_t>(bits >> 2));
  return bytes;
}

}  // namespace eyeshot::eval
