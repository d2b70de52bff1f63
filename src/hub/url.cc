#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "hub/listing.h"
#include "hub/settings.h"

namespace eyeshot {

Result<HubUrl> ParseHubUrl(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  const auto part = [&](CURLUPart which, unsigned flags) {
    char* text = nullptr;
    std::string copy;
    if (curl_url_get(parsed.get(), which, &text, flags) == CURLUE_OK) copy = text;
    curl_free(text);
    return copy;
  };
  const auto error = [&](std::string_view why) {
    return InvalidArgumentError(fmt::format("'{}' {}", PrintableText(url), why),
                                "give a URL like https://huggingface.co");
  };
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return error("is no URL");
  HubUrl result;
  result.scheme = part(CURLUPART_SCHEME, 0);
  result.host = part(CURLUPART_HOST, 0);
  result.port = part(CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (result.scheme != "http" && result.scheme != "https") return error("is neither https:// nor http://");
  if (!part(CURLUPART_USER, 0).empty() || !part(CURLUPART_PASSWORD, 0).empty()) {
    return error(
        "has a name or password in it, which logs and redirects would show; HF_TOKEN is the place for a token");
  }
  std::transform(result.host.begin(), result.host.end(), result.host.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const auto is_address = [](std::string_view host) {
    return std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
  };
  result.loopback = result.host == "localhost" || result.host == "[::1]" ||
                    (result.host.starts_with("127.") && is_address(result.host));
  return result;
}

}  // namespace eyeshot
