#include "base/base64.h"

#include <array>

#include "base/error.h"

namespace eyeshot {
namespace {

constexpr uint8_t kNotOfTheAlphabet = 0xFF;
constexpr uint8_t kLineBreak = 0xFE;
constexpr uint8_t kBlank = 0xFD;
constexpr size_t kMostPadding = 2;

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = kNotOfTheAlphabet;
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  values['\r'] = values['\n'] = kLineBreak;
  values[' '] = values['\t'] = kBlank;
  return values;
}
constexpr std::array<uint8_t, 256> kValues = MakeValues();

constexpr const char* kMend = "encode the file's bytes as base64 again";

bool IsSkipped(uint8_t value, Base64Blanks blanks) {
  return value == kLineBreak || (value == kBlank && blanks == Base64Blanks::kAll);
}

// Whether `text`, which begins with "=" or is empty, is padding and blanks alone.
bool IsEnd(std::string_view text, Base64Blanks blanks) {
  size_t padding = 0;
  for (const char c : text) {
    if (c == '=') {
      ++padding;
    } else if (!IsSkipped(kValues[static_cast<uint8_t>(c)], blanks)) {
      return false;
    }
  }
  return padding <= kMostPadding;
}

}  // namespace

Result<std::vector<uint8_t>> DecodeBase64(std::string_view text, Base64Blanks blanks) {
  std::vector<uint8_t> bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int count = 0;  // bits that are held
  size_t at = 0;
  for (; at < text.size() && text[at] != '='; ++at) {
    const uint8_t value = kValues[static_cast<uint8_t>(text[at])];
    if (IsSkipped(value, blanks)) continue;
    if (value >= kBlank) {
      return CorruptError(fmt::format("byte {} at character {} is not base64", static_cast<uint8_t>(text[at]), at),
                          kMend);
    }
    bits = bits << 6 | value;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<uint8_t>(bits >> count));
    }
  }
  if (count == 6 || (bits & ((1u << count) - 1)) != 0 || !IsEnd(text.substr(at), blanks)) {
    return CorruptError(fmt::format("the base64 text ends wrongly at character {}", at), kMend);
  }
  return bytes;
}

}  // namespace eyeshot
