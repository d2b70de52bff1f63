#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "hub/listing.h"

namespace eyeshot {
namespace {

constexpr const char* kMendNetwork = "check the network and try again; --offline uses what was downloaded before";
// A wait that a server asks for is kept to this.
constexpr int kMaxRetryAfterSeconds = 60;

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string_view Trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// "bytes 100-199/200" or "bytes */200"
void ReadContentRange(std::string_view value, HttpHead& head) {
  if (!value.starts_with("bytes ")) return;
  value.remove_prefix(6);
  const size_t slash = value.find('/');
  if (slash == std::string_view::npos) return;
  head.range_total = Number(value.substr(slash + 1));
  head.range_first = Number(value.substr(0, value.find('-')));
}

void ReadHeader(std::string_view line, HttpHead& head) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  const std::string_view value = Trimmed(line.substr(colon + 1));
  if (name == "etag") head.etag = value;
  if (name == "content-length") head.content_length = Number(value);
  if (name == "content-range") ReadContentRange(value, head);
  if (name == "x-error-code") head.error_code = PrintableText(value);
  if (name == "x-error-message") head.error_message = PrintableText(value);
  if (name == "retry-after") {
    head.retry_after_s = static_cast<int>(std::min<uint64_t>(Number(value).value_or(0), kMaxRetryAfterSeconds));
  }
}

}  // namespace

// One request and answer, as libcurl's callbacks see it.
struct HttpClient::Transfer {
  const HttpRequest* request = nullptr;
  const std::atomic<bool>* cancel = nullptr;
  HttpHead head;
  Status status;        // of the callbacks
  bool began = false;   // the body
  curl_slist* headers = nullptr;

  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() { curl_slist_free_all(headers); }

  bool IsSuccess() const { return head.code >= 200 && head.code < 300; }

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::string_view line(data, size * count);
    if (line.starts_with("HTTP/")) {  // the first line of an answer; there are several behind a proxy
      transfer.head = {};
      const size_t space = line.find(' ');
      if (space != std::string_view::npos) {
        transfer.head.code = static_cast<long>(Number(line.substr(space + 1, 3)).value_or(0));
      }
    } else {
      ReadHeader(line, transfer.head);
    }
    return size * count;
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    auto& transfer = *static_cast<Transfer*>(self);
    if (!transfer.IsSuccess()) return size * count;  // error pages and redirects say nothing that is needed
    transfer.Begin();
    if (transfer.status.ok()) {
      transfer.status = transfer.request->on_body({reinterpret_cast<const uint8_t*>(data), size * count});
    }
    return transfer.status.ok() ? size * count : 0;  // fewer bytes than came end the transfer
  }

  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& transfer = *static_cast<Transfer*>(self);
    return transfer.cancel != nullptr && transfer.cancel->load() ? 1 : 0;
  }

  void Begin() {
    if (began) return;
    began = true;
    if (request->on_head) status = request->on_head(head);
  }
};

Result<std::unique_ptr<HttpClient>> HttpClient::Create(const HubSettings& settings, const std::atomic<bool>* cancel) {
  EYESHOT_ASSIGN_OR_RETURN(HubUrl endpoint, ParseHubUrl(settings.endpoint));
  EYESHOT_RETURN_IF_ERROR(CheckTransport(settings, endpoint, "the hub"));
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  std::unique_ptr<HttpClient> client(new HttpClient(settings, std::move(endpoint), cancel));
  if (global != CURLE_OK || client->curl_ == nullptr) {
    return IoError("libcurl can't be started", "install libcurl4 again");
  }
  return client;
}

HttpClient::HttpClient(HubSettings settings, HubUrl endpoint, const std::atomic<bool>* cancel)
    : settings_(std::move(settings)), endpoint_(std::move(endpoint)), cancel_(cancel), curl_(curl_easy_init()) {}

HttpClient::~HttpClient() { curl_easy_cleanup(curl_); }

Status HttpClient::Prepare(const std::string& url, const HubUrl& parsed, Transfer& transfer) {
  curl_easy_reset(curl_);  // keeps connections
  const HttpRequest& request = *transfer.request;
  const auto add = [&](const std::string& header) {
    transfer.headers = curl_slist_append(transfer.headers, header.c_str());
  };
  if (!settings_.token.empty() && parsed.SameOrigin(endpoint_)) add("Authorization: Bearer " + settings_.token);
  if (request.first > 0) {
    add(fmt::format("Range: bytes={}-", request.first));
    // Weak tags can't be used for ranges (RFC 9110, 13.1.5).
    if (!request.if_range.empty() && !request.if_range.starts_with("W/")) add("If-Range: " + request.if_range);
  }
  curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, transfer.headers);
  curl_easy_setopt(curl_, CURLOPT_USERAGENT, "eyeshot");
  curl_easy_setopt(curl_, CURLOPT_PROTOCOLS_STR, "https,http");
  curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl_, CURLOPT_CONNECTTIMEOUT, static_cast<long>(settings_.timeout_s));
  curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl_, CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_.timeout_s));
  curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl_, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl_, CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  curl_easy_setopt(curl_, CURLOPT_XFERINFODATA, &transfer);
  if (!settings_.ca_file.empty()) curl_easy_setopt(curl_, CURLOPT_CAINFO, settings_.ca_file.c_str());
  return Status::Ok();
}

HttpOutcome HttpClient::TransportError(int curl_code, const char* text, const HubUrl& url) const {
  HttpOutcome outcome;
  switch (curl_code) {
    case CURLE_SSL_CACERT_BADFILE:
      outcome.status = IoError(fmt::format("{}: there are no certificates to check it by ({})", url.host,
                                           settings_.ca_file.empty() ? "the system's" : settings_.ca_file),
                               "install the package ca-certificates, or name a bundle with SSL_CERT_FILE");
      return outcome;
    case CURLE_PEER_FAILED_VERIFICATION:
      outcome.status = IoError(fmt::format("{}: its certificate can't be trusted ({})", url.host, text),
                               "check the clock; behind a proxy that reads along, name its certificate with "
                               "SSL_CERT_FILE");
      return outcome;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR: outcome.transient = true; break;
    default: break;
  }
  outcome.status = IoError(fmt::format("{}: {}", url.host, PrintableText(text)), kMendNetwork);
  return outcome;
}

HttpOutcome HttpClient::GetOne(const HttpRequest& request, const std::string& url, std::string& redirect) {
  const Result<HubUrl> parsed = ParseHubUrl(url);
  HttpOutcome outcome;
  outcome.status = parsed.ok() ? CheckTransport(settings_, *parsed, "the file") : parsed.status();
  if (!outcome.status.ok()) return outcome;

  Transfer transfer;
  transfer.request = &request;
  transfer.cancel = cancel_;
  outcome.status = Prepare(url, *parsed, transfer);
  if (!outcome.status.ok()) return outcome;
  char error[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl_, CURLOPT_ERRORBUFFER, error);
  const CURLcode code = curl_easy_perform(curl_);
  if (cancel_ != nullptr && cancel_->load()) {
    outcome.status = CancelledError("the download was cancelled");
    return outcome;
  }
  if (!transfer.status.ok()) {
    outcome.status = transfer.status;
    return outcome;
  }
  if (code != CURLE_OK) {
    outcome = TransportError(code, *error != '\0' ? error : curl_easy_strerror(code), *parsed);
    outcome.head = transfer.head;
    return outcome;
  }
  const char* location = nullptr;
  curl_easy_getinfo(curl_, CURLINFO_REDIRECT_URL, &location);
  if (location != nullptr && transfer.head.code >= 300 && transfer.head.code < 400) redirect = location;
  if (transfer.IsSuccess()) transfer.Begin();  // of an empty body
  outcome.status = transfer.status;
  outcome.transient = transfer.head.code == 429 || transfer.head.code >= 500;
  outcome.head = std::move(transfer.head);
  outcome.head.url = url;
  return outcome;
}

HttpOutcome HttpClient::Get(const HttpRequest& request) {
  std::string url = request.url;
  for (int redirects = 0; redirects <= limits::kMaxHubRedirects; ++redirects) {
    std::string next;
    HttpOutcome outcome = GetOne(request, url, next);
    if (!outcome.status.ok() || next.empty()) return outcome;
    if (url.starts_with("https://") && !next.starts_with("https://")) {
      outcome.status = IoError(fmt::format("{} leads from https:// to {}", PrintableText(url), PrintableText(next)),
                               "don't trust this hub");
      return outcome;
    }
    url = std::move(next);
  }
  HttpOutcome outcome;
  outcome.status =
      LimitError(fmt::format("{}: more than {} redirects", PrintableText(request.url), limits::kMaxHubRedirects),
                 "check HF_ENDPOINT");
  return outcome;
}

}  // namespace eyeshot
