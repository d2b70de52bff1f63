#include "server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "base/error.h"
#include "server/api.h"

namespace eyeshot::server {
namespace {

// After the last answer was made, for clients to take it.
constexpr std::chrono::seconds kLastBytesTime{2};
// How soon a second signal is noticed.
constexpr std::chrono::milliseconds kHurryTime{200};

class ServerImpl final : public Server {
 public:
  ServerImpl(ServerModel model, ServerOptions options, std::optional<ApiKeys> keys)
      : scheduler_(*model.scheduler),
        address_(options.http.address),
        drain_time_(options.drain_time),
        api_(std::move(model), std::move(options), std::move(keys)) {}
  ~ServerImpl() override {
    if (drainer_.joinable()) drainer_.join();
  }

  Status Listen(const HttpOptions& options) {
    EYESHOT_ASSIGN_OR_RETURN(http_, HttpServer::Listen(options, api_));
    api_.SetHttp(http_.get());
    return Status::Ok();
  }

  uint16_t port() const override { return http_->port(); }
  std::string url() const override {
    const bool v6 = address_.find(':') != std::string::npos;
    return fmt::format("http://{}{}{}:{}", v6 ? "[" : "", address_, v6 ? "]" : "", port());
  }

  void CatchSignals() override {
    http_->CatchSignals([this] { OnSignal(); });
  }

  bool Run() override {
    http_->Run();
    if (drainer_.joinable()) drainer_.join();
    return drained_;
  }

  void ShutDown() override {
    http_->Post([this] { Drain(); });
  }

 private:
  void OnSignal() {
    if (!drainer_.joinable()) return Drain();
    hurry_ = true;
    http_->Stop();
  }

  void Drain() {
    if (drainer_.joinable()) return;
    api_.StartDraining();
    drainer_ = std::thread([this] {
      const auto until = std::chrono::steady_clock::now() + drain_time_;
      while (!drained_ && !hurry_ && std::chrono::steady_clock::now() < until) {
        const bool empty = scheduler_.Drain(std::min(until, std::chrono::steady_clock::now() + kHurryTime));
        drained_ = empty && !hurry_;  // in a hurry what ran was cancelled
      }
      http_->Finish(kLastBytesTime);
    });
  }

  Scheduler& scheduler_;
  const std::string address_;
  const std::chrono::seconds drain_time_;
  std::unique_ptr<HttpServer> http_;  // outlives the workers, which answer by it
  Api api_;
  std::thread drainer_;  // of the connections' thread
  std::atomic<bool> drained_{false}, hurry_{false};
};

}  // namespace

Result<std::unique_ptr<Server>> Server::Create(ServerModel model, ServerOptions options) {
  std::optional<ApiKeys> keys;
  if (!options.key_file.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(keys, ApiKeys::Load(options.key_file));
  }
  const HttpOptions http = options.http;
  auto server = std::make_unique<ServerImpl>(std::move(model), std::move(options), std::move(keys));
  EYESHOT_RETURN_IF_ERROR(server->Listen(http));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace eyeshot::server
