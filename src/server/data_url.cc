#include "server/data_url.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace eyeshot::server {
namespace {

constexpr uint8_t kNotOfTheAlphabet = 0xFF;
constexpr uint8_t kLineBreak = 0xFE;

constexpr std::array<uint8_t, 256> MakeBase64Values() {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = kNotOfTheAlphabet;
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  values['\r'] = values['\n'] = kLineBreak;
  return values;
}
constexpr std::array<uint8_t, 256> kBase64Values = MakeBase64Values();

constexpr const char* kMendBase64 = "send the file's bytes as base64";

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = Lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool EqualsLower(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) { return Lower(a) == b; });
}

}  // namespace

Result<std::vector<uint8_t>> DecodeBase64(std::string_view text) {
  for (int padding = 0; padding < 2 && text.ends_with('='); ++padding) text.remove_suffix(1);
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int count = 0;  // bits that are held
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t value = kBase64Values[static_cast<uint8_t>(text[i])];
    if (value == kLineBreak) continue;
    if (value == kNotOfTheAlphabet) {
      return CorruptError(fmt::format("base64 has byte {} of value {}", i, static_cast<uint8_t>(text[i])), kMendBase64);
    }
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<uint8_t>(bits >> count));
    }
  }
  if (count == 6 || (bits & ((1u << count) - 1)) != 0) {
    return CorruptError(fmt::format("base64 of {} characters ends inside a byte", text.size()), kMendBase64);
  }
  return bytes;
}

bool IsDataUrl(std::string_view url) { return EqualsLower(url.substr(0, 5), "data:"); }

Result<DataUrl> ParseDataUrl(std::string_view url) {
  const size_t comma = url.find(',');
  if (!IsDataUrl(url) || comma == std::string_view::npos) {
    return CorruptError("a data: URL without a comma", "write it as data:image/png;base64,...");
  }
  std::string_view head = url.substr(5, comma - 5);
  DataUrl result;
  result.data = url.substr(comma + 1);
  constexpr std::string_view kBase64 = ";base64";
  if (head.size() >= kBase64.size() && EqualsLower(head.substr(head.size() - kBase64.size()), kBase64)) {
    result.base64 = true;
    head.remove_suffix(kBase64.size());
  }
  result.media_type = head.substr(0, head.find(';'));
  std::transform(result.media_type.begin(), result.media_type.end(), result.media_type.begin(), Lower);
  return result;
}

Result<std::vector<uint8_t>> DecodeData(const DataUrl& url) {
  if (url.base64) return DecodeBase64(url.data);
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, DecodePercent(url.data));
  return std::vector<uint8_t>(text.begin(), text.end());
}

Result<std::string> DecodePercent(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const bool whole = text.size() - i > 2;
    const int high = whole ? HexValue(text[i + 1]) : -1;
    const int low = whole ? HexValue(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return CorruptError(fmt::format("a URL has a % at byte {} without two hexadecimal digits", i), "write % as %25");
    }
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

}  // namespace eyeshot::server
