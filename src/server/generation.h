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
#include "server/request_plan.h"

namespace eyeshot::server {

// Which requests ran with no other beside them. Thread-safe.
class Company {
 public:
  // One begins. Returns its number, to be given to End().
  uint64_t Begin() {
    const std::lock_guard<std::mutex> turn(turn_);
    if (under_way_++ > 0) shared_ = begun_ + 1;
    return ++begun_;
  }
  // Whether there was none beside it from its beginning to now.
  bool End(uint64_t number) {
    const std::lock_guard<std::mutex> turn(turn_);
    --under_way_;
    return number == begun_ && number > shared_;
  }

 private:
  std::mutex turn_;
  int64_t under_way_ = 0;
  uint64_t begun_ = 0;
  uint64_t shared_ = 0;  // the last one that began beside another
};

// What all generations share.
struct GenerationServices {
  Scheduler& scheduler;
  Metrics& metrics;
  std::function<void(std::string_view)> log;  // a line; empty: no log
  bool log_text = false;
  Company company = {};
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
    std::optional<PlannedRequest> planned;  // how it keeps to its budget
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
  // Compares the answer with its plan, and logs what was off.
  void Observe(const Answer& answer);
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
  uint64_t number_ = 0;  // in the company
  bool alone_ = false;  // no other request ran beside it

  // Of the connections' thread.
  bool begun_ = false;
  bool over_ = false;
  size_t sent_bytes_ = 0;
  std::string budget_;  // what the reply says of the plan; empty: there is none
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_GENERATION_H_
