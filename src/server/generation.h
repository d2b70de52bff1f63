// One request on its way through the scheduler: its text goes to the client as it comes, and a client that goes cancels
// it.
#ifndef EYESHOT_SERVER_GENERATION_H_
#define EYESHOT_SERVER_GENERATION_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/scheduler.h"
#include "server/answer_pipe.h"
#include "server/http.h"
#include "server/metrics.h"
#include "server/replies.h"

namespace eyeshot::server {

// What all generations share.
struct GenerationServices {
  Scheduler& scheduler;
  Metrics& metrics;
  std::function<void(std::string_view)> log;  // a line; empty: no log
  bool log_text = false;
};

class Generation final : public HttpProducer, public std::enable_shared_from_this<Generation> {
 public:
  struct Options {
    ReplyName name;
    bool stream = false;
    bool include_usage = false;
    std::chrono::steady_clock::time_point arrived;
    Ledger media_ledger;  // what reading its pictures cost
    std::string question;  // for the log of texts
    std::shared_ptr<void> client_slot;  // lives as long as the request
  };

  Generation(GenerationServices& services, Options options, std::shared_ptr<HttpExchange> exchange)
      : services_(services), options_(std::move(options)), exchange_(std::move(exchange)) {}

  // Submits it, from a worker's thread. The request's callbacks are set here.
  void Start(GenerateRequest request);

  void Pump(HttpExchange& exchange) override;
  void OnGone() override;

 private:
  using Clock = std::chrono::steady_clock;

  void PushText(std::string_view text) noexcept;
  void Finish(Result<Answer> answer);
  std::optional<Result<Answer>> TakeAnswer();
  void BeginStream(HttpExchange& exchange);
  void WriteText(HttpExchange& exchange, std::string_view text);
  void EndStream(HttpExchange& exchange, const Result<Answer>& answer);
  void Reply(HttpExchange& exchange, const Result<Answer>& answer);
  void Account(const Answer& answer);
  void LogAnswer(const Answer& answer) const;
  ReplyTimes Times() const;
  double SecondsSinceArrival(Clock::time_point when) const;

  GenerationServices& services_;
  const Options options_;
  const std::shared_ptr<HttpExchange> exchange_;

  // Of the thread that decodes.
  AnswerPipe pipe_;
  std::atomic<int64_t> first_text_ns_{0};  // since arrival; 0: no text yet

  std::mutex turn_;
  std::optional<uint64_t> id_;  // the scheduler's
  bool gone_ = false;
  std::optional<Result<Answer>> answer_;  // until it is taken
  Clock::time_point ended_;

  // Of the connections' thread.
  bool begun_ = false;
  bool over_ = false;
  size_t sent_bytes_ = 0;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_GENERATION_H_
