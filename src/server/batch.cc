#include "server/batch.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "server/batch_files.h"
#include "server/protocol.h"
#include "server/replies.h"

namespace eyeshot::server {
namespace {

constexpr int kAnswered = 200;  // HTTP's status

using Clock = std::chrono::steady_clock;

// How soon a stop is noticed, and progress told, while nothing ends.
constexpr std::chrono::milliseconds kTick{100};

// A request that the file has.
struct Entry {
  int64_t line = 0;
  uint64_t digest = 0;
  bool answered = false;
};

// A request that the scheduler has.
struct Asked {
  std::string custom_id;
  uint64_t digest = 0;
  bool chat = true;
  Clock::time_point begun;
  std::atomic<int64_t> first_text_ns{0};  // since it was begun; 0: none yet
  Ledger media;
  std::optional<PlannedRequest> planned;  // how it keeps to its budget
  uint64_t id = 0;  // the scheduler's
  // Once it has ended.
  std::optional<Result<Answer>> answer;
  Clock::time_point ended;
};
using AskedPtr = std::shared_ptr<Asked>;

// Whether the same request might be answered another time.
bool IsWorthAnotherTry(StatusCode code) {
  return code == StatusCode::kBusy || code == StatusCode::kOutOfMemory || code == StatusCode::kIo ||
         code == StatusCode::kCancelled;
}

// All that the answers depend on, beside the requests.
std::string SettingsOf(const ModelInfo& info, const BatchOptions& batch) {
  const AskOptions& options = batch.defaults;
  const SamplingOptions& sampling = options.sampling;
  return fmt::format(
      "{} {} {} {} max_tokens={} temperature={} top_k={} top_p={} min_p={} penalty={} seed={} detail={} "
      "reduce={} question_first={} stop={}",
      Quoted(info.name), info.precision, info.context_tokens, Quoted(batch.settings), options.max_tokens,
      sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p, sampling.repetition_penalty, sampling.seed,
      PictureDetailName(options.detail), options.reduce, options.question_first,
      Quoted(fmt::format("{}", fmt::join(options.stop, "\n"))));
}

ReplyTimes TimesOf(const Asked& asked) {
  const double total_ms = std::chrono::duration<double, std::milli>(asked.ended - asked.begun).count();
  const int64_t first_ns = asked.first_text_ns.load(std::memory_order_relaxed);
  return {.first_token_ms = first_ns == 0 ? total_ms : static_cast<double>(first_ns) * 1e-6, .total_ms = total_ms};
}

bool IsBlank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

class Batch {
 public:
  Batch(Scheduler& scheduler, const MediaNeeds& needs, const BatchOptions& options, BatchInput input,
        BatchOutput output)
      : scheduler_(scheduler),
        options_(options),
        settings_(SettingsOf(scheduler.info(), options)),
        input_(std::move(input)),
        output_(std::move(output)),
        media_(options.media, needs),
        lines_(Lines()) {}
  ~Batch() {
    CancelAll();
    while (!under_way_.empty()) TakeEnded(kTick);
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // The first pass over the requests, and what earlier runs answered.
  Status Scan();
  // The second pass. The scheduler then has nothing of this batch any more.
  Status Answer();
  BatchReport Take() { return std::move(report_); }

 private:
  LineReader Lines() const { return input_.Lines(options_.media.max_bytes + limits::kMaxBatchEnvelopeBytes); }
  bool Stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  Status AddEntry(std::string_view line, const LineReader& lines);
  Status CountAnswer(const BatchAnswer& answer, const std::string& where);

  Status AskAll();
  Result<bool> AskNext();
  Result<bool> AskHeld();
  Status AskLine(std::string_view line);
  Status Ask(BatchRequest request, Entry& entry, std::string_view line);
  Status Submit(const AskedPtr& asked, GenerationRequest parsed, std::vector<Message> messages);
  Status Refuse(const Asked& asked, const Status& why, RequestStep step, std::string_view line);

  void CancelAll();
  std::vector<AskedPtr> TakeEnded(std::chrono::milliseconds patience);
  Status WriteEnded(std::chrono::milliseconds patience);
  Status WriteAnswer(Asked& asked);
  std::string Observed(const Asked& asked, const eyeshot::Answer& answer) const;
  Status Write(const Asked& asked, int status, std::string_view body);
  void PutOff(const Status& why);

  Scheduler& scheduler_;
  const BatchOptions& options_;
  const std::string settings_;
  const BatchInput input_;
  BatchOutput output_;
  MediaLoader media_;
  LineReader lines_;
  std::unordered_map<std::string, Entry> entries_;  // by custom_id
  bool scanned_ = false;                            // whole
  BatchReport report_;
  std::unordered_map<uint64_t, AskedPtr> under_way_;  // by the scheduler's number
  // The line of a request that found no room beside others: it is asked again when one of them has ended.
  std::optional<std::string> held_;
  bool room_ = false;  // one has

  std::mutex turn_;
  std::condition_variable changed_;
  std::vector<AskedPtr> ended_;  // by the scheduler's thread
};

Status Batch::AddEntry(std::string_view line, const LineReader& lines) {
  EYESHOT_ASSIGN_OR_RETURN(const BatchRequest request, ParseBatchRequest(line, lines.Where()));
  const auto [there, added] = entries_.emplace(
      request.custom_id, Entry{.line = lines.number(), .digest = DigestOf(request, settings_), .answered = false});
  if (!added) {
    return InvalidArgumentError(fmt::format("{}: custom_id {} stands in line {} too", lines.Where(),
                                            Quoted(request.custom_id), there->second.line),
                                "give each request a name of its own");
  }
  if (++report_.requests <= limits::kMaxBatchLines) return Status::Ok();
  return LimitError(fmt::format("{}: more than kMaxBatchLines ({}) requests", lines.Where(), limits::kMaxBatchLines),
                    "part the file into several");
}

Status Batch::CountAnswer(const BatchAnswer& answer, const std::string& where) {
  constexpr const char* kMend = "name another file for the answers";
  const auto found = entries_.find(answer.custom_id);
  if (found == entries_.end()) {
    return InvalidArgumentError(
        fmt::format("{}: answers custom_id {}, which {} has not", where, Quoted(answer.custom_id), input_.path()),
        kMend);
  }
  Entry& entry = found->second;
  if (entry.digest != answer.digest) {
    return InvalidArgumentError(fmt::format("{}: answers custom_id {}, but to another request than line {} of {} has, "
                                            "or of another model or with other flags than this run's",
                                            where, Quoted(answer.custom_id), entry.line, input_.path()),
                                kMend);
  }
  if (std::exchange(entry.answered, true)) {
    return CorruptError(fmt::format("{}: answers custom_id {} again", where, Quoted(answer.custom_id)), kMend);
  }
  ++report_.answered_before;
  if (answer.status != kAnswered) ++report_.failed;
  return Status::Ok();
}

Status Batch::Scan() {
  LineReader lines = Lines();
  std::string_view line;
  while (!Stopped()) {
    EYESHOT_ASSIGN_OR_RETURN(const bool more, lines.Next(line));
    if (!more) break;
    if (!IsBlank(line)) EYESHOT_RETURN_IF_ERROR(AddEntry(line, lines));
  }
  if (Stopped()) return Status::Ok();
  scanned_ = true;
  return output_.Read(
      [this](const BatchAnswer& answer, const std::string& where) { return CountAnswer(answer, where); });
}

Status Batch::Answer() {
  Status status = AskAll();
  CancelAll();
  while (!under_way_.empty()) {
    // What ended before it was cancelled is an answer.
    for (const AskedPtr& asked : TakeEnded(kTick)) {
      if (status.ok()) status = WriteAnswer(*asked);
    }
  }
  report_.stopped = Stopped() && !(scanned_ && report_.done() + report_.put_off == report_.requests);
  const Status synced = output_.Sync();
  return status.ok() ? synced : status;
}

Status Batch::AskAll() {
  while (!Stopped()) {
    if (options_.on_progress) options_.on_progress(report_);
    bool asked = false;
    if (static_cast<int>(under_way_.size()) < options_.under_way) {
      EYESHOT_ASSIGN_OR_RETURN(asked, AskNext());
    }
    if (!asked && under_way_.empty()) return Status::Ok();
    EYESHOT_RETURN_IF_ERROR(WriteEnded(asked ? std::chrono::milliseconds(0) : kTick));
  }
  return Status::Ok();
}

// False: there is no request that could be asked now.
Result<bool> Batch::AskNext() {
  if (held_) return AskHeld();
  std::string_view line;
  EYESHOT_ASSIGN_OR_RETURN(const bool more, lines_.Next(line));
  if (!more) return false;
  if (!IsBlank(line)) EYESHOT_RETURN_IF_ERROR(AskLine(line));
  return true;
}

Result<bool> Batch::AskHeld() {
  if (!room_ && !under_way_.empty()) return false;
  const std::string line = *std::exchange(held_, std::nullopt);
  EYESHOT_RETURN_IF_ERROR(AskLine(line));
  return true;
}

Status Batch::AskLine(std::string_view line) {
  Result<BatchRequest> request = ParseBatchRequest(line, lines_.Where());
  const auto found = request.ok() ? entries_.find(request->custom_id) : entries_.end();
  if (found == entries_.end() || found->second.digest != DigestOf(*request, settings_)) {
    return CorruptError(fmt::format("{}: the line has changed since this run began", lines_.Where()),
                        "begin again when nobody writes the file");
  }
  if (found->second.answered) return Status::Ok();
  return Ask(*std::move(request), found->second, line);
}

Status Batch::Ask(BatchRequest request, Entry& entry, std::string_view line) {
  const ModelInfo& info = scheduler_.info();
  const auto asked = std::make_shared<Asked>();
  asked->custom_id = std::move(request.custom_id);
  asked->digest = entry.digest;
  asked->chat = request.chat;
  asked->begun = Clock::now();
  entry.answered = true;
  const auto read = request.chat ? &ReadChatRequest : &ReadCompletionRequest;
  Result<GenerationRequest> parsed = read(std::move(request.body), options_.defaults, info.context_tokens);
  if (!parsed.ok()) return Refuse(*asked, parsed.status(), RequestStep::kParse, line);
  if (parsed->prompts.size() > 1) {
    const Status several = UnsupportedError(fmt::format("{} prompts in one request of a batch", parsed->prompts.size()),
                                            "write a line for each");
    return Refuse(*asked, several, RequestStep::kParse, line);
  }
  Result<std::vector<Message>> messages = media_.Load(*parsed, asked->media);
  if (!messages.ok()) return Refuse(*asked, messages.status(), RequestStep::kMedia, line);
  Result<std::optional<PlannedRequest>> planned =
      PlanRequest(options_.planner, parsed->limit, *messages, parsed->options);
  if (!planned.ok()) return Refuse(*asked, planned.status(), RequestStep::kSubmit, line);
  asked->planned = *std::move(planned);
  const Status submitted = Submit(asked, *std::move(parsed), *std::move(messages));
  return submitted.ok() ? submitted : Refuse(*asked, submitted, RequestStep::kSubmit, line);
}

Status Batch::Submit(const AskedPtr& asked, GenerationRequest parsed, std::vector<Message> messages) {
  GenerateRequest request{.messages = std::move(messages), .options = std::move(parsed.options), .client = "batch"};
  if (!parsed.prompts.empty()) request.prompt = std::move(parsed.prompts.front());
  request.on_text = [asked](std::string_view) {
    if (asked->first_text_ns.load(std::memory_order_relaxed) != 0) return;
    asked->first_text_ns.store(std::chrono::nanoseconds(Clock::now() - asked->begun).count(),
                               std::memory_order_relaxed);
  };
  request.on_done = [this, asked](Result<eyeshot::Answer> answer) {
    asked->ended = Clock::now();
    asked->answer = std::move(answer);
    // Told under the lock: whoever sees it may be the last to need this object.
    const std::lock_guard<std::mutex> turn(turn_);
    ended_.push_back(asked);
    changed_.notify_one();
  };
  const Result<uint64_t> id = scheduler_.Submit(std::move(request));
  if (!id.ok()) return id.status();
  asked->id = *id;
  under_way_.emplace(*id, asked);
  return Status::Ok();
}

// The request was not asked. `line` is its line.
Status Batch::Refuse(const Asked& asked, const Status& why, RequestStep step, std::string_view line) {
  if (!IsWorthAnotherTry(why.code())) {
    const HttpResponse reply = ErrorReply(why, step);
    return Write(asked, reply.status, reply.body);
  }
  const bool crowded = why.code() != StatusCode::kIo && !under_way_.empty();
  if (!crowded) {
    PutOff(why.At(fmt::format("custom_id {}", Quoted(asked.custom_id))));
    return Status::Ok();
  }
  entries_[asked.custom_id].answered = false;
  held_ = line;
  room_ = false;
  return Status::Ok();
}

void Batch::CancelAll() {
  for (const auto& [id, asked] : under_way_) scheduler_.Cancel(id);
}

// Those that have ended, the first within `patience`.
std::vector<AskedPtr> Batch::TakeEnded(std::chrono::milliseconds patience) {
  std::vector<AskedPtr> ended;
  {
    std::unique_lock<std::mutex> turn(turn_);
    changed_.wait_for(turn, patience, [this] { return !ended_.empty(); });
    ended.swap(ended_);
  }
  for (const AskedPtr& asked : ended) under_way_.erase(asked->id);
  room_ = room_ || !ended.empty();
  return ended;
}

Status Batch::WriteEnded(std::chrono::milliseconds patience) {
  for (const AskedPtr& asked : TakeEnded(patience)) EYESHOT_RETURN_IF_ERROR(WriteAnswer(*asked));
  return Status::Ok();
}

Status Batch::WriteAnswer(Asked& asked) {
  const std::string where = fmt::format("custom_id {}", Quoted(asked.custom_id));
  if (!asked.answer->ok()) {
    const Status why = asked.answer->status();
    if (IsWorthAnotherTry(why.code())) {
      PutOff(why.At(where));
      return Status::Ok();
    }
    const HttpResponse reply = ErrorReply(why, RequestStep::kRun);
    return Write(asked, reply.status, reply.body);
  }
  eyeshot::Answer& answer = **asked.answer;
  if (answer.finish_reason == FinishReason::kCancelled) {
    if (!Stopped()) PutOff(CancelledError(where + ": was cancelled"));
    return Status::Ok();
  }
  answer.ledger.Add(asked.media);
  report_.prompt_tokens += answer.prompt_tokens;
  report_.completion_tokens += answer.completion_tokens;
  report_.ledger.AddStages(answer.ledger);
  const ReplyName name{.chat = asked.chat,
                       .id = ReplyId(asked.chat, asked.digest),
                       .created = std::time(nullptr),
                       .model = scheduler_.info().name};
  return Write(asked, kAnswered, AnswerBody(name, {&answer, 1}, TimesOf(asked), Observed(asked, answer)));
}

// What the answer says of its plan, with which it is compared.
std::string Batch::Observed(const Asked& asked, const eyeshot::Answer& answer) const {
  if (!asked.planned) return "";
  const std::string off = asked.planned->planner->Observe(asked.planned->plan, answer, /*alone=*/false);
  if (!off.empty() && options_.log) {
    options_.log(fmt::format("custom_id {}: {}; later plans heed it", Quoted(asked.custom_id), off));
  }
  return asked.planned->Json(off);
}

Status Batch::Write(const Asked& asked, int status, std::string_view body) {
  const Status written = output_.Append(BatchAnswerLine(asked.custom_id, asked.digest, status, body));
  if (!written.ok()) {
    return {written.code(),
            fmt::format("{} ({} of {} requests are answered there)", written.found(), report_.done(), report_.requests),
            written.mend() + ", then run the same command again: it goes on where it was"};
  }
  ++report_.answered;
  if (status != kAnswered) ++report_.failed;
  return Status::Ok();
}

void Batch::PutOff(const Status& why) {
  if (report_.put_off++ == 0) report_.why_put_off = why;
}

}  // namespace

Result<BatchReport> RunBatch(Scheduler& scheduler, const MediaNeeds& needs, const BatchOptions& options,
                             const std::string& input, const std::string& output) {
  EYESHOT_ASSIGN_OR_RETURN(BatchInput requests, BatchInput::Open(input));
  EYESHOT_ASSIGN_OR_RETURN(BatchOutput answers, BatchOutput::Open(output, requests));
  Batch batch(scheduler, needs, options, std::move(requests), std::move(answers));
  EYESHOT_RETURN_IF_ERROR(batch.Scan());
  EYESHOT_RETURN_IF_ERROR(batch.Answer());
  return batch.Take();
}

}  // namespace eyeshot::server
