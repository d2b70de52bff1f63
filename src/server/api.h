// The server's routes: what is asked at which path, by whom, and what is answered.
#ifndef EYESHOT_SERVER_API_H_
#define EYESHOT_SERVER_API_H_

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/api_keys.h"
#include "server/generation.h"
#include "server/http.h"
#include "server/media_loader.h"
#include "server/server.h"
#include "server/workers.h"

namespace eyeshot::server {

class Api final : public HttpHandler {
 public:
  // `model.scheduler` must outlive it.
  Api(ServerModel model, ServerOptions options, std::optional<ApiKeys> keys);

  std::optional<HttpResponse> CheckHead(const HttpRequest& head) override;
  void Handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override;
  HttpResponse Refusal(int status, std::string_view why) override;
  void OnAnswered(const HttpRequest& head, int status, double seconds) override;

  // From now on questions are refused, and /ready says so.
  void StartDraining() { draining_ = true; }
  // Whose figures /metrics shows.
  void SetHttp(const HttpServer* http) { http_ = http; }

 private:
  struct Route;
  struct ClientSlots;
  // A request on its way to its worker.
  struct Asked {
    HttpRequest request;
    std::shared_ptr<HttpExchange> exchange;
    std::string client;
    std::shared_ptr<void> client_slot;
    std::chrono::steady_clock::time_point arrived;
  };
  static const Route* FindRoute(std::string_view path);

  bool IsOwnHost(std::string_view host) const;
  std::string ClientOf(const HttpRequest& head) const;
  std::shared_ptr<void> TakeClientSlot(const std::string& client);
  bool TakeClientSlots(Asked& asked, size_t prompts, std::vector<std::shared_ptr<void>>& slots);
  HttpResponse TooManyRequests() const;
  void AnswerAtOnce(const Route& route, const HttpRequest& request, HttpExchange& exchange);
  void AnswerLater(const Route& route, HttpRequest request, const std::shared_ptr<HttpExchange>& exchange);
  void Generate(bool chat, Asked& asked);
  HttpResponse Tokenize(const HttpRequest& request) const;
  HttpResponse EstimateCost(const HttpRequest& request) const;

  const ServerModel model_;
  const ServerOptions options_;
  const std::optional<ApiKeys> keys_;
  const int64_t created_;
  Metrics metrics_;
  MediaLoader media_;
  GenerationServices services_;
  std::shared_ptr<ClientSlots> clients_;
  const HttpServer* http_ = nullptr;
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> next_id_;
  Workers workers_;  // the last: ended first
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_API_H_
