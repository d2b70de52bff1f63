// What an HTTP request and its answer are to the rooms above the sockets.
#ifndef EYESHOT_SERVER_HTTP_H_
#define EYESHOT_SERVER_HTTP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eyeshot::server {

struct HttpRequest {
  std::string method;  // "GET", "POST", ...
  std::string path;    // without the query, as it was sent
  std::string host;    // of the header
  std::string content_type;
  std::string authorization;
  std::string address;    // the client's, without its port
  std::string body;
  std::shared_ptr<void> body_room;  // while it lives, the body counts against limits::kMaxBodiesBytes
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  bool close = false;  // the connection ends with this answer
};

class HttpExchange;

// Who answers a request piece by piece. Both functions are called by the connections' thread.
class HttpProducer {
 public:
  virtual ~HttpProducer() = default;
  // After a Notify(), or several.
  virtual void Pump(HttpExchange& exchange) = 0;
  // The client has gone, or was cut off: nothing more can be sent. Not called after the answer's end.
  virtual void OnGone() = 0;
};

// One request that waits for its answer: either one Send(), or Begin(), some Write(), and End(). What is called after
// the end, or after the client has gone, does nothing.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // From any thread.
  virtual void Send(HttpResponse response) = 0;
  // From any thread, before Notify(). OnGone() is called at once if the client has gone before.
  virtual void Attach(std::shared_ptr<HttpProducer> producer) = 0;
  // From any thread; neither allocates, nor locks, nor waits.
  virtual void Notify() noexcept = 0;

  // By the connections' thread. `head` has no body.
  virtual void Begin(HttpResponse head) = 0;
  virtual void Write(std::string_view piece) = 0;
  virtual void End() = 0;
};

// Who answers requests. All functions are called by the connections' thread, and may not block.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // With the head of a request, before its body is read: an answer refuses it.
  virtual std::optional<HttpResponse> CheckHead(const HttpRequest& head) = 0;
  virtual void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) = 0;
  // What was not understood, or was too large, or too slow: the answer to an error found while reading.
  virtual HttpResponse Refusal(int status, std::string_view why) = 0;
  // An answer was sent to its end; status 499: the client went before.
  virtual void OnAnswered(const HttpRequest& head, int status, double seconds) = 0;
};

// "OK"
std::string_view ReasonOf(int status);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_HTTP_H_
