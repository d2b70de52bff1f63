// HTTP/1.1 over TCP: many connections on one thread, with limits on all that a client can send, hold open or leave
// unread.
#ifndef EYESHOT_SERVER_HTTP_SERVER_H_
#define EYESHOT_SERVER_HTTP_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/limits.h"
#include "eyeshot/status.h"
#include "server/http.h"

namespace eyeshot::server {

struct HttpOptions {
  std::string address = "127.0.0.1";  // of an interface, as a number
  uint16_t port = 8080;               // 0: any that is free
  uint64_t max_body_bytes = limits::kMaxBodyBytes;
  int max_connections = limits::kMaxConnections;
  // Tests make them short.
  std::chrono::milliseconds header_time = std::chrono::seconds(limits::kHeaderSeconds);
  std::chrono::milliseconds body_time = std::chrono::seconds(limits::kBodySeconds);
  std::chrono::milliseconds write_time = std::chrono::seconds(limits::kWriteSeconds);
  std::chrono::milliseconds idle_time = std::chrono::seconds(limits::kIdleSeconds);
  size_t max_unsent_bytes = limits::kMaxUnsentBytes;
};

struct HttpStats {
  int64_t connections = 0;  // now
  uint64_t accepted = 0;
  uint64_t refused = 0;  // for their number
  uint64_t dropped = 0;  // that did not read, or not send, in time
};

class HttpServer {
 public:
  // Begins to listen. The handler must outlive the server. Errors: kInvalidArgument (no address), kIo (the port is
  // taken, or not ours).
  static Result<std::unique_ptr<HttpServer>> Listen(const HttpOptions& options, HttpHandler& handler);
  virtual ~HttpServer() = default;

  virtual uint16_t port() const = 0;
  // Serves on this thread until Finish() has finished or Stop() was called.
  virtual void Run() = 0;

  // The rest may be called from any thread. Calls `task` on the thread of Run().
  virtual void Post(std::function<void()> task) = 0;
  // Calls `on_signal` on the thread of Run() for each SIGINT and SIGTERM, which then do nothing else.
  virtual void CatchSignals(std::function<void()> on_signal) = 0;
  // Takes no more connections, closes those that wait for a request, and ends when the others have got their answers,
  // at the latest after `grace`.
  virtual void Finish(std::chrono::milliseconds grace) = 0;
  virtual void Stop() = 0;
  virtual HttpStats stats() const = 0;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_HTTP_SERVER_H_
