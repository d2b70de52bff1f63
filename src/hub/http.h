// HTTP GET by libcurl, with the rules that a download of models needs.
#ifndef EYESHOT_HUB_HTTP_H_
#define EYESHOT_HUB_HTTP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "eyeshot/status.h"
#include "hub/settings.h"

namespace eyeshot {

// What a server said before the body.
struct HttpHead {
  long code = 0;
  std::string url;  // that answered, after redirects
  std::string etag;
  std::optional<uint64_t> content_length;
  std::optional<uint64_t> range_first, range_total;  // of Content-Range
  std::string error_code, error_message;             // the hub's X-Error-Code and X-Error-Message, printable
  int retry_after_s = 0;
};

struct HttpRequest {
  std::string url;
  uint64_t first = 0;    // byte to begin at: asks for the range from there
  std::string if_range;  // ETag that the earlier bytes had; empty: unknown
  // Called once, before the body of an answer that is a success; an error ends the transfer.
  std::function<Status(const HttpHead&)> on_head;
  std::function<Status(std::span<const uint8_t>)> on_body;
};

// How a request ended. A code of 400 or more is no error here.
struct HttpOutcome {
  Status status;
  bool transient = false;  // may be gone on the next try: a cut connection, a timeout, a busy server
  HttpHead head;
};

// One connection at a time, kept open between requests. Not thread-safe.
class HttpClient {
 public:
  // `cancel` (may be null) ends a transfer with kCancelled.
  static Result<std::unique_ptr<HttpClient>> Create(const HubSettings& settings, const std::atomic<bool>* cancel);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Follows redirects. The token is sent to the endpoint's own origin only, https is never left for http, and each host
  // on the way must pass CheckTransport.
  HttpOutcome Get(const HttpRequest& request);

 private:
  struct Transfer;
  HttpClient(HubSettings settings, HubUrl endpoint, const std::atomic<bool>* cancel);
  Status Prepare(const std::string& url, const HubUrl& parsed, Transfer& transfer);
  HttpOutcome GetOne(const HttpRequest& request, const std::string& url, std::string& redirect);
  HttpOutcome TransportError(int curl_code, const char* text, const HubUrl& url) const;

  HubSettings settings_;
  HubUrl endpoint_;
  const std::atomic<bool>* cancel_;
  void* curl_ = nullptr;  // CURL*
};

}  // namespace eyeshot

#endif  // EYESHOT_HUB_HTTP_H_
