#include "server/fetch.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "base/error.h"
#include "base/limits.h"
#include "server/ascii.h"

namespace eyeshot::server {
namespace {

// One transfer, as libcurl's callbacks see it.
struct Transfer {
  const FetchRules* rules = nullptr;
  std::vector<uint8_t> body;
  bool refused = false;   // an address
  bool too_large = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const size_t bytes = size * count;
  if (transfer.body.size() + bytes > transfer.rules->max_bytes) {
    transfer.too_large = true;
    return 0;
  }
  transfer.body.insert(transfer.body.end(), data, data + bytes);
  return bytes;
}

// libcurl asks for a socket with the very address that it will connect to.
curl_socket_t OnOpenSocket(void* self, curlsocktype /*purpose*/, curl_sockaddr* address) {
  auto& transfer = *static_cast<Transfer*>(self);
  if (!transfer.rules->allow_private_addresses && !IsPublicAddress(address->addr)) {
    transfer.refused = true;
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

// The host of a URL as libcurl reads it, so that both mean the same; empty: it is none.
std::string HostOf(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  char* host = nullptr;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK ||
      curl_url_get(parsed.get(), CURLUPART_HOST, &host, 0) != CURLUE_OK) {
    return {};
  }
  std::string result = host;
  curl_free(host);
  return result;
}

}  // namespace

Result<std::vector<uint8_t>> FetchUrl(const std::string& url, const FetchRules& rules) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::string host = HostOf(url);
  const auto is_host = [&](const std::string& allowed) { return EqualInAnyCase(allowed, host); };
  if (std::none_of(rules.hosts.begin(), rules.hosts.end(), is_host)) {
    return InvalidArgumentError(fmt::format("a URL of the host '{}', from which this server fetches nothing", host),
                                "send the bytes as a data: URL, or start the server with --allow-host");
  }
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (global != CURLE_OK || curl == nullptr) return IoError("libcurl can't be started", "install libcurl4 again");
  Transfer transfer{.rules = &rules};
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "https,http");
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");  // it would connect for us, to whatever the name means there
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "eyeshot");
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, static_cast<long>(limits::kFetchSeconds));
  curl_easy_setopt(curl.get(), CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(rules.max_bytes));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl.get(), CURLOPT_OPENSOCKETFUNCTION, &OnOpenSocket);
  curl_easy_setopt(curl.get(), CURLOPT_OPENSOCKETDATA, &transfer);
  const CURLcode code = curl_easy_perform(curl.get());
  if (transfer.refused && code != CURLE_OK) {
    return InvalidArgumentError(fmt::format("'{}' is an address of this machine or of a private network", host),
                                "send the bytes as a data: URL");
  }
  if (transfer.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return LimitError(fmt::format("{}: more than {} bytes", host, rules.max_bytes), "take a smaller file");
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK || status != 200) {
    const std::string why = code == CURLE_OK ? fmt::format("answered {}", status) : curl_easy_strerror(code);
    return IoError(fmt::format("{}: {}", host, why), "check the URL, or send the bytes as a data: URL");
  }
  return std::move(transfer.body);
}

}  // namespace eyeshot::server
