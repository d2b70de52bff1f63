// `eyeshot serve`: a scheduler behind OpenAI's API, with a web page.
//
//   auto server = Server::Create({.scheduler = scheduler.get(), ...}, {});
//   (*server)->Run();
#ifndef EYESHOT_SERVER_SERVER_H_
#define EYESHOT_SERVER_SERVER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/scheduler.h"
#include "eyeshot/status.h"
#include "server/estimate.h"
#include "server/http_server.h"
#include "server/media_loader.h"
#include "server/request_plan.h"

namespace eyeshot::server {

// What a server needs of a model. All members are used from several threads.
struct ServerModel {
  Scheduler* scheduler = nullptr;
  MediaNeeds media;
  std::function<std::vector<int32_t>(std::string_view)> tokenize;  // empty: /tokenize is not there
  std::function<Result<Estimate>(const EstimateRequest&)> estimate;  // empty: /v1/estimate is not there
  RequestPlanner planner = NoRequestPlanner();  // of requests with a budget
};

struct ServerOptions {
  HttpOptions http;
  MediaOptions media;
  AskOptions defaults = {.max_tokens = 1024, .detail = {PictureDetail::Kind::kAuto, 0}};
  std::string key_file;                  // empty: no keys are asked for
  std::vector<std::string> host_names;   // that a request may name beside loopback's, where no keys are asked for
  std::chrono::seconds request_time{600};  // for one answer, from its arrival
  std::chrono::seconds drain_time{60};     // for what runs, after the first signal
  int requests_per_client = limits::kMaxRequestsPerClient;
  bool page = true;  // the web page
  std::function<void(std::string_view)> log;  // is called with a line for each request and answer; empty: no log
  bool log_text = false;                      // questions and answers too
};

class Server {
 public:
  // Listens. The scheduler must outlive it. Errors: those of HttpServer::Listen and of ApiKeys.
  static Result<std::unique_ptr<Server>> Create(ServerModel model, ServerOptions options);
  virtual ~Server() = default;

  virtual uint16_t port() const = 0;
  // "http://127.0.0.1:8080"
  virtual std::string url() const = 0;
  // From now on SIGINT and SIGTERM do what ShutDown() does, and a second one ends Run() at once.
  virtual void CatchSignals() = 0;
  // Serves on this thread until it has shut down. True: nothing was cut off.
  virtual bool Run() = 0;
  // From any thread: takes no more questions, lets answers end within the drain time, then ends Run().
  virtual void ShutDown() = 0;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_SERVER_H_
