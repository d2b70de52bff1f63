// A scheduler that says what a test wants, and a client of raw sockets.
#ifndef EYESHOT_SERVER_TESTING_H_
#define EYESHOT_SERVER_TESTING_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "eyeshot/scheduler.h"
#include "plan/question.h"

namespace eyeshot::server::testing {

// Answers requests one after the other on a thread of its own, with `pieces`, once it may.
class FakeScheduler final : public Scheduler {
 public:
  FakeScheduler() : thread_([this] { Work(); }) {}
  ~FakeScheduler() override {
    {
      const std::lock_guard<std::mutex> turn(turn_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  Result<uint64_t> Submit(GenerateRequest request) override {
    const std::lock_guard<std::mutex> turn(turn_);
    if (draining_) return CancelledError("draining");
    if (!refusal.ok()) return refusal;
    last_messages = request.messages;
    if (request.prompt) prompts.push_back(*request.prompt);
    if (queue_.size() >= room) return Status(StatusCode::kBusy, "no room", "wait");
    last_options = request.options;
    last_client = request.client;
    queue_.emplace_back(++last_id_, std::move(request));
    changed_.notify_all();
    return last_id_;
  }

  void Cancel(uint64_t id) override {
    const std::lock_guard<std::mutex> turn(turn_);
    ++cancelled_[id];
    changed_.notify_all();
  }

  bool Drain(std::chrono::steady_clock::time_point until) override {
    std::unique_lock<std::mutex> turn(turn_);
    draining_ = true;
    return changed_.wait_until(turn, until, [this] { return queue_.empty() && !busy_; });
  }

  SchedulerStats stats() const override {
    const std::lock_guard<std::mutex> turn(turn_);
    SchedulerStats stats;
    stats.waiting = static_cast<int64_t>(queue_.size());
    stats.finished = finished_;
    stats.cancelled = cancelled_.size();
    return stats;
  }
  const ModelInfo& info() const override { return info_; }

  // Until Release(), each answer stops after its first piece.
  void Hold() {
    const std::lock_guard<std::mutex> turn(turn_);
    held_ = true;
  }
  void Release() {
    const std::lock_guard<std::mutex> turn(turn_);
    held_ = false;
    changed_.notify_all();
  }
  bool WaitForCancel() {
    std::unique_lock<std::mutex> turn(turn_);
    return changed_.wait_for(turn, std::chrono::seconds(20), [this] { return !cancelled_.empty(); });
  }

  // Set before requests are sent.
  std::vector<std::string> pieces = {"A ", "\"red\" ", "caf\u00e9"};
  uint64_t decode_ns = 0;  // of the whole answer
  Status refusal;
  size_t room = 1000;  // requests that wait, at most
  Status failure;  // instead of an answer
  std::vector<RawPrompt> prompts;  // of all requests that have one
  // Of the last request.
  std::vector<Message> last_messages;
  AskOptions last_options;
  std::string last_client;

 private:
  void Work() {
    std::unique_lock<std::mutex> turn(turn_);
    while (true) {
      changed_.wait(turn, [this] { return stop_ || !queue_.empty(); });
      if (stop_) return;
      const auto [id, request] = std::move(queue_.front());
      queue_.pop_front();
      busy_ = true;
      Answer answer{.prompt_tokens = 12, .cached_tokens = 5, .visual_tokens = 4, .context_tokens = 100};
      bool cancelled = false;
      for (size_t i = 0; i < pieces.size() && failure.ok(); ++i) {
        const auto is_over = [&, key = id] { return stop_ || cancelled_.contains(key); };
        if (i == 1) changed_.wait(turn, [&] { return is_over() || !held_; });
        cancelled = is_over();
        if (cancelled) break;
        turn.unlock();
        request.on_text(pieces[i]);
        turn.lock();
        answer.text += pieces[i];
        ++answer.completion_tokens;
      }
      answer.finish_reason = cancelled ? FinishReason::kCancelled : FinishReason::kStop;
      answer.ledger.Add(StageId::kEncode, {.wall_ns = 2'000'000, .tokens = 4, .runs = 1, .joules = joules});
      answer.ledger.Add(StageId::kDecode, {.wall_ns = decode_ns, .tokens = pieces.size(), .runs = pieces.size()});
      answer.ledger.AddPicture({.width = 3, .height = 2, .rows = 1, .cols = 2, .visual_tokens = 4});
      turn.unlock();
      request.on_done(failure.ok() ? Result<Answer>(std::move(answer)) : Result<Answer>(failure));
      turn.lock();
      ++finished_;
      busy_ = false;
      changed_.notify_all();
    }
  }

 public:
  Joules joules{.value = 2, .low = 1, .high = 3, .source = EnergySource::kRapl};

 private:
  mutable std::mutex turn_;
  std::condition_variable changed_;
  std::deque<std::pair<uint64_t, GenerateRequest>> queue_;
  std::map<uint64_t, int> cancelled_;
  uint64_t last_id_ = 0, finished_ = 0;
  bool held_ = false, stop_ = false, draining_ = false, busy_ = false;
  ModelInfo info_{.name = "fake", .family = "smolvlm", .device = "cpu", .context_tokens = 100};
  std::thread thread_;  // the last: begins when all else is there
};

// A GIF of one pixel, in base64.
inline constexpr const char* kPixel = "R0lGODdhAQABAIAAAP8AAP///ywAAAAAAQABAAACAkQBADs=";

// Plans for the shapes of SmolVLM-256M on a machine where a multiply-add takes 4 ps, and nothing else any time.
inline std::shared_ptr<plan::QuestionPlanner> NewPlanner() {
  static const std::unique_ptr<Backend> backend = std::move(CreateBackend({.threads = 1})).value();
  const std::string dir = EYESHOT_SOURCE_DIR "/tests/data/checkpoints/SmolVLM-256M-Instruct";
  plan::ModelHere here{.model = {.name = "fake", .path = dir}, .loaded = {"exact", {}}, .doubts = {"it is made up"}};
  here.model.config = LoadModelConfig(dir).value();
  here.model.processing = LoadProcessorConfig(dir).value();
  here.speed = {.cpu = "a CPU", .isa = "avx2", .threads = 1, .version = "1", .date = "2026-01-01"};
  here.speed.picoseconds["linear.exact"] = {0, 4};
  here.speed.picoseconds["few.exact"] = {0, 0, 4};
  return std::make_shared<plan::QuestionPlanner>(*backend, std::move(here));
}

// A connection to a server on loopback.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience{.tv_sec = 20};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { Close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  void Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      text.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // What comes until `end` is there, or the connection ends.
  std::string ReadUntil(std::string_view end) {
    while (pending_.find(end) == std::string::npos) {
      char piece[4096];
      const ssize_t got = recv(fd_, piece, sizeof(piece), 0);
      if (got <= 0) return std::exchange(pending_, {});
      pending_.append(piece, static_cast<size_t>(got));
    }
    const size_t length = pending_.find(end) + end.size();
    std::string text = pending_.substr(0, length);
    pending_.erase(0, length);
    return text;
  }
  std::string ReadBytes(size_t bytes) {
    while (pending_.size() < bytes) {
      char piece[4096];
      const ssize_t got = recv(fd_, piece, sizeof(piece), 0);
      if (got <= 0) break;
      pending_.append(piece, static_cast<size_t>(got));
    }
    std::string text = pending_.substr(0, bytes);
    pending_.erase(0, bytes);
    return text;
  }
  std::string ReadAll() { return ReadUntil(std::string_view("\0never", 6)); }

 private:
  int fd_;
  bool connected_ = false;
  std::string pending_;
};

}  // namespace eyeshot::server::testing

#endif  // EYESHOT_SERVER_TESTING_H_
