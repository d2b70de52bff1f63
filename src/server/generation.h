// One HTTP request on its way through the scheduler: its text goes to the client as it comes, and a client that goes
// cancels it.
#ifndef EYESHOT_SERVER_GENERATION_H_
#define EYESHOT_SERVER_GENERATION_H_

#include <atomic>
#include <chrono>
#include <deque>
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
    std::vector<std::string> questions;  // of each choice, for the log of texts; or none
    std::optional<PlannedRequest> planned;  // how its one choice keeps to a budget
    std::vector<std::shared_ptr<void>> client_slots;  // live as long as the request
  };

  Generation(GenerationServices& services, Options options, std::shared_ptr<HttpExchange> exchange)
      : services_(services), options_(std::move(options)), exchange_(std::move(exchange)) {}

  // Submits a request for each choice of the reply, from a worker's thread; once. Their callbacks are set here. Where
  // one is refused or fails, so does the whole, and the others are cancelled.
  void Start(std::vector<GenerateRequest> requests);

  void Pump(HttpExchange& exchange) override;
  void OnGone() override;

 private:
  using Clock = std::chrono::steady_clock;

  // One answer on its way.
  struct Choice {
    // Of the thread that decodes.
    AnswerPipe pipe;
    std::atomic<int64_t> first_text_ns{0};  // since arrival; 0: no text yet

    // Of turn_.
    std::optional<uint64_t> id;  // the scheduler's
    std::optional<Result<Answer>> result;  // once it is there, of the connections' thread
    Clock::time_point ended;
    uint64_t number = 0;  // in the company
    bool alone = false;  // no other ran beside it

    // Of the connections' thread.
    size_t sent_bytes = 0;
    bool finished = false;
  };

  // False: what comes after it need not be submitted.
  bool Submit(Choice& choice, GenerateRequest request);
  void PushText(Choice& choice, std::string_view text) noexcept;
  void Finish(Choice& choice, Result<Answer> result);
  void CancelAll();
  std::optional<Status> Refusal();
  Result<Answer>* ResultOf(Choice& choice);
  Status EndChoice(HttpExchange& exchange, size_t index, Result<Answer>& result);
  void EndReply(HttpExchange& exchange);
  void Fail(HttpExchange& exchange, const Status& status, RequestStep step);
  void BeginStream(HttpExchange& exchange);
  void WriteText(HttpExchange& exchange, size_t index, std::string_view text);
  void Account(size_t index, const Answer& answer);
  // Compares the answer with its plan, and logs what was off.
  void Observe(const Choice& choice, const Answer& answer);
  void LogAnswer(size_t index, const Answer& answer) const;
  ReplyTimes TimesOf(const Choice& choice) const;
  ReplyTimes Times() const;
  double SecondsSinceArrival(Clock::time_point when) const;

  GenerationServices& services_;
  const Options options_;
  const std::shared_ptr<HttpExchange> exchange_;
  std::deque<Choice> choices_;  // as many as were started, before the first is submitted

  std::mutex turn_;
  bool cancelled_ = false;  // the client has gone, or a choice has failed
  std::optional<Status> refusal_;  // by the scheduler, of one of them

  // Of the connections' thread.
  bool begun_ = false;
  bool over_ = false;
  std::string budget_;  // what the reply says of the plan; empty: there is none
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_GENERATION_H_
