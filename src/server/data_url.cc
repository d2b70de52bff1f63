#include "server/data_url.h"

#include <algorithm>

#include "base/base64.h"
#include "base/error.h"
#include "server/ascii.h"

namespace eyeshot::server {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = LowerAscii(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

}  // namespace

bool IsDataUrl(std::string_view url) { return StartsWithInAnyCase(url, "data:"); }

Result<DataUrl> ParseDataUrl(std::string_view url) {
  const size_t comma = url.find(',');
  if (!IsDataUrl(url) || comma == std::string_view::npos) {
    return CorruptError("a data: URL without a comma", "write it as data:image/png;base64,...");
  }
  std::string_view head = url.substr(5, comma - 5);
  DataUrl result;
  result.data = url.substr(comma + 1);
  constexpr std::string_view kBase64 = ";base64";
  if (head.size() >= kBase64.size() && EqualInAnyCase(head.substr(head.size() - kBase64.size()), kBase64)) {
    result.base64 = true;
    head.remove_suffix(kBase64.size());
  }
  result.media_type = head.substr(0, head.find(';'));
  std::transform(result.media_type.begin(), result.media_type.end(), result.media_type.begin(), LowerAscii);
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
