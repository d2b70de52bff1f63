#include "eval/base64.h"

#include "base/base64.h"
#include "base/error.h"
#include "base/limits.h"

namespace eyeshot::eval {

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
  Result<std::vector<uint8_t>> bytes = eyeshot::DecodeBase64(text, Base64Blanks::kAll);
  if (!bytes.ok()) return bytes.status().At(where);
  return bytes;
}

}  // namespace eyeshot::eval
