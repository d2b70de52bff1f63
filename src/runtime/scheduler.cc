// The scheduler: what include/eyeshot/scheduler.h promises.
//
// Three kinds of threads: callers render prompts and hash pictures; one thread prepares (preprocesses) the pictures of
// the requests that come next; one thread runs the model. Sources of the ideas: Orca (iteration-level scheduling, OSDI
// 2022), vLLM (arXiv 2309.06180), Sarathi-Serve (chunked prefill, arXiv 2403.02310); vision in slices, of parts of the
// tower's layers, is ours.
#include "eyeshot/scheduler.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "energy/meters/find.h"
#include "energy/meters/live_shares.h"
#include "ledger/stage.h"
#include "runtime/decoder_runner.h"
#include "runtime/engine_parts.h"
#include "runtime/metered_scheduler.h"
#include "runtime/picture_encoder.h"
#include "runtime/request_queue.h"
#include "runtime/running_mean.h"
#include "runtime/scheduler_request.h"
#include "runtime/visual_encoder.h"

namespace eyeshot {
namespace {

using RequestPtr = std::shared_ptr<ScheduledRequest>;
using SteadyClock = std::chrono::steady_clock;

// Requests whose pictures are preprocessed before there is room for them: their tiles take memory (0.8 MB each).
constexpr size_t kPreparedAhead = 2;
// A slice where nobody waits for a decoding step. Who comes waits for the oldest request in any case, and who is
// cancelled goes soon enough; in slices of 0.05 s a prompt of 1,000 tokens took a third longer.
constexpr double kIdleSliceS = 0.25;
// The least that a slice does.
constexpr int64_t kLeastPrefill = 16;

double SecondsSince(uint64_t begin_ns) { return static_cast<double>(SteadyNowNs() - begin_ns) * 1e-9; }

Status DrainingError() { return CancelledError("no more requests are taken: the program is about to end"); }

class SchedulerImpl final : public Scheduler {
 public:
  // Reads `meters`, which live longer.
  SchedulerImpl(std::shared_ptr<Engine> engine, const SchedulerOptions& options,
                std::span<const std::unique_ptr<Meter>> meters)
      : engine_(std::move(engine)),
        parts_(PartsOf(*engine_)),
        model_(*parts_.model),
        options_(options),
        energy_(meters),
        images_(options.image_cache_bytes) {}
  ~SchedulerImpl() override;
  Status Start();

  Result<uint64_t> Submit(GenerateRequest request) override;
  void Cancel(uint64_t id) override;
  bool Drain(SteadyClock::time_point until) override;
  SchedulerStats stats() const override;
  const ModelInfo& info() const override { return engine_->info(); }

 private:
  // By the thread that prepares.
  void PrepareMain();
  void Prepare(ScheduledRequest& request);

  // By the thread that runs.
  void Main();
  void LookAtNews();
  void NoteState();
  void DropExpired(SteadyClock::time_point now);
  bool DecodesNow();
  void CountSwitch(bool decodes);
  void WaitedSince(uint64_t begin_ns);
  void ReadEnergy(ScheduledRequest* leaving);
  void Admit();
  bool Fits(const ScheduledRequest& request) const;
  void Begin(const RequestPtr& request);
  Status StepDecode();
  Status MakeRoom();
  bool PreemptOther(const ScheduledRequest* except);
  bool LeaveQueue(const RequestPtr& request);
  void Preempt(const RequestPtr& request);
  Status Slice(double budget_s);
  Status SliceBeside(double budget_s);
  Status FinishPictures();
  Status PrefillSlice(const RequestPtr& request, double budget_s);
  Status FirstToken(const RequestPtr& request);
  void TakeLast(const RequestPtr& request);
  void LeaveDecoding(size_t slot);
  void End(const RequestPtr& request, FinishReason reason);
  void Fail(const RequestPtr& request, const Status& status);
  void FailAll(const Status& status);
  void Leave(const ScheduledRequest& request, bool answered);
  bool IsStopToken(int32_t token) const {
    return std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end();
  }

  std::shared_ptr<Engine> engine_;
  EngineParts parts_;
  VisionLanguageModel& model_;
  SchedulerOptions options_;
  std::vector<int32_t> stop_tokens_;
  VisualHash salt_ = RandomSalt();
  LiveShares energy_;
  std::vector<EnergyAccount*> accounts_;
  uint64_t phase_begin_ns_ = 0;  // of decoding
  bool starting_phase_ = false;  // options_.phase_s: what has gathered is run
  bool was_decoding_ = false;

  // The model's, by the thread that runs.
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<BlockPool> blocks_;
  std::unique_ptr<DecoderRunner> runner_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<PictureEncoder> pictures_;
  std::vector<RequestPtr> starting_;  // admitted, in order, before their first token
  std::vector<RequestPtr> decoding_;  // by slot of the sampler
  std::vector<RequestPtr> stepped_;   // of the step that runs
  std::vector<KvSequence*> sequences_;
  std::vector<int32_t> step_tokens_;
  RunningMean step_s_{0.02};
  RunningMean token_s_{0.001};  // of a prompt

  std::atomic<uint64_t> steps_{0};
  std::atomic<uint64_t> steps_beside_{0};
  std::atomic<uint64_t> tokens_in_steps_{0};
  std::atomic<uint64_t> switches_{0};
  // Something may have changed that the runner has to look at: a prepared request, a cancelled one, a deadline.
  std::atomic<bool> news_{false};
  bool room_was_short_ = false;  // for requests that are prepared
  SteadyClock::time_point next_deadline_ = SteadyClock::time_point::max();  // of what runs

  mutable std::mutex mutex_;  // of all below
  std::condition_variable wake_;     // of both threads
  std::condition_variable all_done_;
  uint64_t last_id_ = 0;
  bool draining_ = false;
  bool stopping_ = false;
  RequestQueue queue_;
  size_t rendering_ = 0;  // requests that will be in the queue
  size_t preparing_ = 0;
  std::deque<RequestPtr> prepared_;
  std::map<uint64_t, RequestPtr> all_;  // that have not ended
  ImageCache images_;
  SchedulerStats stats_;

  std::thread preparer_;
  std::thread runner_thread_;
};

Status CheckSchedulerOptions(const SchedulerOptions& options, int64_t context) {
  if (options.sequences < 1 || options.sequences > limits::kMaxSequences) {
    return InvalidArgumentError(fmt::format("{} answers side by side", options.sequences),
                                fmt::format("use 1 to {}", limits::kMaxSequences));
  }
  if (options.queue < 1 || options.queue > limits::kMaxQueue) {
    return InvalidArgumentError(fmt::format("a queue of {} requests", options.queue),
                                fmt::format("use 1 to {}", limits::kMaxQueue));
  }
  if (options.cache_tokens != 0 && (options.cache_tokens < context || options.cache_tokens > limits::kMaxCacheTokens)) {
    return InvalidArgumentError(
        fmt::format("a key/value cache of {} tokens", options.cache_tokens),
        fmt::format("use {} (one context) to {}, or a smaller --context", context, limits::kMaxCacheTokens));
  }
  if (!(options.slice_share > 0 && options.slice_share <= 100)) {
    return InvalidArgumentError(fmt::format("a slice of {} decoding steps", options.slice_share),
                                "use more than 0, at most 100");
  }
  if (!(options.phase_s >= 0 && options.phase_s <= limits::kMaxPhaseSeconds)) {
    return InvalidArgumentError(fmt::format("phases of {} s", options.phase_s),
                                fmt::format("use 0 to {}", limits::kMaxPhaseSeconds));
  }
  return Status::Ok();
}

Status SchedulerImpl::Start() {
  const int64_t context = engine_->info().context_tokens;
  EYESHOT_RETURN_IF_ERROR(CheckSchedulerOptions(options_, context));
  stop_tokens_ = StopTokensOf(model_);
  constexpr int64_t kEachOther = 1024;
  const int64_t tokens =
      options_.cache_tokens > 0 ? options_.cache_tokens : context + kEachOther * (options_.sequences - 1);
  const KvCacheShape shape = model_.decoder().CacheShape(tokens, kKvBlockSize, parts_.kv_format);
  EYESHOT_ASSIGN_OR_RETURN(cache_, model_.backend().NewKvCache(shape));
  blocks_ = std::make_unique<BlockPool>(shape.blocks, shape.block_size);
  EYESHOT_ASSIGN_OR_RETURN(runner_, DecoderRunner::Create(model_, context, options_.sequences));
  // Who follows stages or gathers them wants one after the other.
  EYESHOT_ASSIGN_OR_RETURN(
      pictures_, PictureEncoder::Create(
                     model_, *parts_.pool, images_, mutex_,
                     {.context = context,
                      .beside = options_.encode_beside && options_.phase_s == 0 && options_.stage_observer == nullptr,
                      .observer = options_.stage_observer}));
  stream_ = model_.backend().NewStream();
  const auto most = static_cast<size_t>(options_.sequences);
  decoding_.reserve(most);
  stepped_.reserve(most);
  sequences_.reserve(most);
  step_tokens_.reserve(most);
  accounts_.reserve(most + kPreparedAhead + 1);
  preparer_ = std::thread([this] { PrepareMain(); });
  runner_thread_ = std::thread([this] { Main(); });
  return Status::Ok();
}

SchedulerImpl::~SchedulerImpl() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    for (auto& [id, request] : all_) request->cancelled = true;
    news_.store(true, std::memory_order_release);
  }
  wake_.notify_all();
  if (preparer_.joinable()) preparer_.join();
  if (runner_thread_.joinable()) runner_thread_.join();
}

// --- By callers ------------------------------------------------------------------------------------------------------

Result<uint64_t> SchedulerImpl::Submit(GenerateRequest asked) {
  uint64_t id = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (draining_ || stopping_) return DrainingError();
    if (queue_.size() + rendering_ >= options_.queue) {
      return Status(StatusCode::kBusy, fmt::format("{} requests wait already", options_.queue), "try again later");
    }
    ++rendering_;
    id = ++last_id_;
  }
  auto request = std::make_shared<ScheduledRequest>(id, std::move(asked), model_);
  if (request->request.client.empty()) request->request.client = fmt::format("\n{}", id);
  const Status rendered = request->Render(model_, engine_->info().context_tokens, salt_);
  const std::lock_guard<std::mutex> lock(mutex_);
  --rendering_;
  if (!rendered.ok()) return rendered;
  if (draining_ || stopping_) return DrainingError();
  queue_.Push(request);
  all_[id] = std::move(request);
  wake_.notify_all();
  return id;
}

void SchedulerImpl::Cancel(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = all_.find(id);
  if (found == all_.end()) return;
  found->second->cancelled = true;
  news_.store(true, std::memory_order_release);
  wake_.notify_all();
}

bool SchedulerImpl::Drain(SteadyClock::time_point until) {
  std::unique_lock<std::mutex> lock(mutex_);
  draining_ = true;
  return all_done_.wait_until(lock, until, [&] { return all_.empty(); });
}

SchedulerStats SchedulerImpl::stats() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  SchedulerStats stats = stats_;
  stats.steps = steps_.load(std::memory_order_relaxed);
  stats.steps_beside = steps_beside_.load(std::memory_order_relaxed);
  stats.step_tokens = tokens_in_steps_.load(std::memory_order_relaxed);
  stats.switches = switches_.load(std::memory_order_relaxed);
  stats.waiting = static_cast<int64_t>(queue_.size() + rendering_ + preparing_ + prepared_.size());
  stats.image_cache_bytes = images_.bytes();
  stats.image_cache_hits = images_.hits();
  stats.image_cache_misses = images_.misses();
  return stats;
}

// --- By the thread that prepares -------------------------------------------------------------------------------------

// Pictures that are in the cache need no tiles; whether they are still there when it is their turn is seen then.
void SchedulerImpl::Prepare(ScheduledRequest& request) {
  request.waiting.clear();
  std::vector<Visual>& visuals = request.conversation.visuals();
  ThreadPool alone(1);
  for (size_t i = 0; i < visuals.size(); ++i) {
    if (visuals[i].same_as >= 0 || visuals[i].encoded()) continue;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (images_.Fill(request.hashes[i], visuals[i])) continue;
    }
    request.waiting.push_back({.index = i, .tiles = {}});
    const uint64_t begin = SteadyNowNs();
    request.failure = PreprocessVisual(model_, visuals[i], alone, request.waiting.back().tiles, request.answer.ledger);
    request.energy.AddWork(StageId::kPreprocess, static_cast<double>(SteadyNowNs() - begin));
    if (!request.failure.ok()) return;
  }
}

void SchedulerImpl::PrepareMain() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || (!queue_.empty() && prepared_.size() < kPreparedAhead); });
    if (queue_.empty()) return;  // stopping
    const RequestPtr request = queue_.Take();
    ++preparing_;
    lock.unlock();
    if (!request->Expired(SteadyClock::now())) Prepare(*request);
    lock.lock();
    --preparing_;
    prepared_.push_back(request);
    news_.store(true, std::memory_order_release);
    wake_.notify_all();
  }
}

// --- By the thread that runs -----------------------------------------------------------------------------------------

void SchedulerImpl::Main() {
  std::unique_lock<std::mutex> turn(*parts_.turn, std::defer_lock);
  for (;;) {
    if (starting_.empty() && decoding_.empty()) {
      std::unique_lock<std::mutex> lock(mutex_);
      if (prepared_.empty() && turn.owns_lock()) turn.unlock();
      NoteState();
      const uint64_t begin = SteadyNowNs();
      wake_.wait(lock, [&] { return !prepared_.empty() || (stopping_ && all_.empty()); });
      if (prepared_.empty()) return;
      news_.store(true, std::memory_order_release);
      lock.unlock();
      WaitedSince(begin);
    }
    if (!turn.owns_lock()) turn.lock();
    LookAtNews();
    const bool decodes = DecodesNow();
    Status status = decodes ? StepDecode() : Status::Ok();
    if (status.ok() && !starting_.empty() && (!decodes || options_.phase_s == 0)) {
      CountSwitch(false);
      status = Slice(!decodes || decoding_.empty() ? kIdleSliceS : options_.slice_share * step_s_.value());
    }
    if (!status.ok()) FailAll(status);
    if (energy_.Due(SteadyNowNs())) ReadEnergy(nullptr);
  }
}

// Whether the answers under way go on, or wait for pictures and prompts that have gathered (SchedulerOptions::phase_s).
bool SchedulerImpl::DecodesNow() {
  if (options_.phase_s == 0) return true;
  const auto phase_ns = static_cast<uint64_t>(1e9 * options_.phase_s);
  const bool was = starting_phase_;
  starting_phase_ = !starting_.empty() && (was || decoding_.empty() || SteadyNowNs() - phase_begin_ns_ >= phase_ns);
  if (was && !starting_phase_) phase_begin_ns_ = SteadyNowNs();
  return !starting_phase_;
}

void SchedulerImpl::CountSwitch(bool decodes) {
  if (was_decoding_ != decodes) switches_.fetch_add(1, std::memory_order_relaxed);
  was_decoding_ = decodes;
}

// Nobody ran; pictures may have been prepared.
void SchedulerImpl::WaitedSince(uint64_t begin_ns) {
  if (!energy_.on()) return;
  accounts_.clear();
  double prepared_ns = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const RequestPtr& request : prepared_) {
      if (accounts_.size() == accounts_.capacity()) break;
      accounts_.push_back(&request->energy);
      prepared_ns += request->energy.pending_ns();
    }
  }
  energy_.AddWaiting(std::max(0.0, static_cast<double>(SteadyNowNs() - begin_ns) - prepared_ns));
  energy_.Read(accounts_);
  const std::lock_guard<std::mutex> lock(mutex_);
  stats_.idle_joules = energy_.nobody();
}

// Shares what was taken among those that run and one that leaves them, or null.
void SchedulerImpl::ReadEnergy(ScheduledRequest* leaving) {
  if (!energy_.on()) return;
  accounts_.clear();
  for (const auto* list : {&starting_, &decoding_}) {
    for (const RequestPtr& request : *list) {
      if (request.get() != leaving) accounts_.push_back(&request->energy);
    }
  }
  if (leaving != nullptr) accounts_.push_back(&leaving->energy);
  energy_.Read(accounts_);
}

// Whoever comes or goes; in the steps between, nothing is locked.
void SchedulerImpl::LookAtNews() {
  const auto now = SteadyClock::now();
  const bool room = starting_.size() + decoding_.size() < static_cast<size_t>(options_.sequences);
  const bool freed = room && room_was_short_;
  if (!news_.exchange(false, std::memory_order_acquire) && !freed && now < next_deadline_) return;
  DropExpired(now);
  Admit();
  const std::lock_guard<std::mutex> lock(mutex_);
  room_was_short_ = !prepared_.empty();
  next_deadline_ = SteadyClock::time_point::max();
  for (const auto& [id, request] : all_) {
    if (request->request.deadline) next_deadline_ = std::min(next_deadline_, *request->request.deadline);
    // Not done with it yet.
    if (!request->encoding.empty() && request->Expired(now)) news_.store(true, std::memory_order_release);
  }
  NoteState();
}

// What stats() says of this moment. REQUIRES: mutex_ is held.
void SchedulerImpl::NoteState() {
  stats_.encoding = static_cast<int64_t>(starting_.size());
  stats_.decoding = static_cast<int64_t>(decoding_.size());
  stats_.cache_blocks = blocks_->blocks();
  stats_.cache_blocks_used = blocks_->blocks() - blocks_->available();
}

void SchedulerImpl::DropExpired(SteadyClock::time_point now) {
  std::vector<RequestPtr> expired;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [id, request] : all_) {
      if (request->Expired(now)) expired.push_back(request);
    }
  }
  for (const RequestPtr& request : expired) {
    const auto slot = std::find(decoding_.begin(), decoding_.end(), request);
    const auto start = std::find(starting_.begin(), starting_.end(), request);
    if (slot != decoding_.end()) {
      LeaveDecoding(static_cast<size_t>(slot - decoding_.begin()));
    } else if (start != starting_.end()) {
      if (!request->encoding.empty()) continue;  // others may be in the same group: when it is done
      starting_.erase(start);
    } else if (!LeaveQueue(request)) {
      continue;  // it is being prepared, and comes here soon
    }
    End(request, FinishReason::kCancelled);
  }
}

// Out of those that wait.
bool SchedulerImpl::LeaveQueue(const RequestPtr& request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (const auto ready = std::find(prepared_.begin(), prepared_.end(), request); ready != prepared_.end()) {
    prepared_.erase(ready);
    wake_.notify_all();
    return true;
  }
  return queue_.Remove(request);
}

// Whether the blocks for its prompt are there, and one more for each answer that is under way.
bool SchedulerImpl::Fits(const ScheduledRequest& request) const {
  const auto tokens = static_cast<int64_t>(request.plan.ids.size()) + 1;
  const int64_t needed = (tokens + kKvBlockSize - 1) / kKvBlockSize;
  int64_t promised = static_cast<int64_t>(decoding_.size());
  for (const RequestPtr& other : starting_) {
    const auto all = (static_cast<int64_t>(other->plan.ids.size()) + kKvBlockSize) / kKvBlockSize;
    promised += std::max<int64_t>(0, all - static_cast<int64_t>(other->sequence->block_table().size()));
  }
  return blocks_->available() >= needed + promised;
}

void SchedulerImpl::Admit() {
  while (starting_.size() + decoding_.size() < static_cast<size_t>(options_.sequences)) {
    RequestPtr request;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (prepared_.empty()) return;
      if (!Fits(*prepared_.front()) && !(starting_.empty() && decoding_.empty())) return;
      request = std::move(prepared_.front());
      prepared_.pop_front();
    }
    wake_.notify_all();  // there is room to prepare another one
    if (!request->failure.ok()) {
      Fail(request, request->failure);
    } else {
      Begin(request);
    }
  }
}

void SchedulerImpl::Begin(const RequestPtr& request) {
  request->sequence = std::make_unique<KvSequence>(*blocks_, cache_->shape, engine_->info().context_tokens);
  std::vector<Visual>& visuals = request->conversation.visuals();
  // Positions that are kept hang on what is encoded; without them equal prefixes can be found at once.
  const bool known = request->plan.position_end == static_cast<int64_t>(request->plan.ids.size());
  const int64_t cached = known ? request->sequence->Adopt(request->plan.keys, {}) : 0;
  if (request->tokens.empty()) request->answer.cached_tokens = cached;
  // What lies before is not looked at any more.
  std::vector<bool> needed(visuals.size(), false);
  for (const VisualRun& run : request->plan.runs) {
    const int64_t same = visuals[static_cast<size_t>(run.visual)].same_as;
    if (run.count == 0 || run.position + run.count <= cached) continue;
    needed[static_cast<size_t>(same >= 0 ? same : run.visual)] = true;
  }
  std::erase_if(request->waiting, [&](const auto& visual) { return !needed[visual.index]; });
  starting_.push_back(request);
}

// Until there is a block for each sequence that needs one.
Status SchedulerImpl::MakeRoom() {
  while (!decoding_.empty()) {
    int64_t wanted = 0;
    for (const RequestPtr& request : decoding_) wanted += request->sequence->size() % kKvBlockSize == 0 ? 1 : 0;
    if (blocks_->available() >= wanted) break;
    if (PreemptOther(decoding_.size() == 1 ? decoding_.front().get() : nullptr)) continue;
    if (pictures_->active()) {  // whose requests may have a prefix in the cache
      EYESHOT_RETURN_IF_ERROR(FinishPictures());
      continue;
    }
    const RequestPtr last = decoding_.back();  // alone, and the cache is full
    LeaveDecoding(0);
    End(last, FinishReason::kContext);
  }
  return Status::Ok();
}

// Who came last goes back: prompts that were begun, then answers; not `except`. False: there is nobody.
bool SchedulerImpl::PreemptOther(const ScheduledRequest* except) {
  const auto begun = std::find_if(starting_.rbegin(), starting_.rend(), [&](const RequestPtr& request) {
    return request.get() != except && request->sequence->size() > 0 && request->encoding.empty();
  });
  if (begun != starting_.rend()) {
    const RequestPtr request = std::move(*begun);
    starting_.erase(std::next(begun).base());
    Preempt(request);
    return true;
  }
  size_t newest = decoding_.size();
  for (size_t i = 0; i < decoding_.size(); ++i) {
    if (decoding_[i].get() == except) continue;
    if (newest == decoding_.size() || decoding_[i]->id > decoding_[newest]->id) newest = i;
  }
  if (newest == decoding_.size()) return false;
  const RequestPtr request = decoding_[newest];
  LeaveDecoding(newest);
  Preempt(request);
  return true;
}

// Its blocks go to others; what it has said so far is computed again with its prompt.
void SchedulerImpl::Preempt(const RequestPtr& request) {
  ReadEnergy(request.get());
  request->sequence.reset();
  PromptPlan& plan = request->plan;
  const auto prompt = static_cast<size_t>(request->prompt_tokens);
  plan.position_end -= static_cast<int64_t>(plan.ids.size() - prompt);
  plan.ids.resize(prompt);
  plan.keys.resize(prompt);
  plan.positions.clear();
  for (const int32_t token : request->tokens) {
    plan.ids.push_back(token);
    plan.keys.push_back(static_cast<uint32_t>(token));
  }
  plan.position_end += static_cast<int64_t>(request->tokens.size());
  const std::lock_guard<std::mutex> lock(mutex_);
  ++stats_.preempted;
  queue_.PushFirst(request);
  wake_.notify_all();
}

Status SchedulerImpl::StepDecode() {
  EYESHOT_RETURN_IF_ERROR(MakeRoom());
  if (decoding_.empty()) return Status::Ok();
  CountSwitch(true);
  const uint64_t begin = SteadyNowNs();
  // None of these allocates: their memory was taken at the start.
  stepped_ = decoding_;
  sequences_.clear();
  step_tokens_.clear();
  for (const RequestPtr& request : decoding_) {
    sequences_.push_back(request->sequence.get());
    step_tokens_.push_back(request->tokens.back());
  }
  Ledger step;
  step.Observe(options_.stage_observer);
  {
    Stage stage(step, StageId::kDecode, stream_.get());
    stage.AddTokens(stepped_.size());
    model_.backend().UseThreads(parts_.decode_threads);
    Status status = runner_->StepBatch(*stream_, *cache_, sequences_, step_tokens_);
    if (status.ok()) {
      runner_->BeginSample(*stream_, static_cast<int64_t>(step_tokens_.size()));
      status = runner_->FinishSample(*stream_, step_tokens_);
    }
    model_.backend().UseThreads(0);
    EYESHOT_RETURN_IF_ERROR(status);
  }
  stream_->Collect(step);
  step_s_.Add(SecondsSince(begin));
  const double share = 1.0 / static_cast<double>(stepped_.size());
  for (size_t i = 0; i < stepped_.size(); ++i) {
    stepped_[i]->AddShare(step, share);
    stepped_[i]->sequence->Register();
    stepped_[i]->tokens.push_back(step_tokens_[i]);
  }
  for (const RequestPtr& request : stepped_) TakeLast(request);
  steps_.fetch_add(1, std::memory_order_relaxed);
  if (pictures_->beside() && pictures_->active()) steps_beside_.fetch_add(1, std::memory_order_relaxed);
  tokens_in_steps_.fetch_add(stepped_.size(), std::memory_order_relaxed);
  stepped_.clear();
  return Status::Ok();
}

// One piece of work for those that have no first token yet: of the oldest one. In phases all pictures come before all
// prompts, so that the stage changes once.
Status SchedulerImpl::Slice(double budget_s) {
  if (pictures_->beside()) return SliceBeside(budget_s);
  const RequestPtr oldest = starting_.front();
  const auto has_pictures = [](const RequestPtr& request) { return !request->waiting.empty(); };
  const bool encodes =
      options_.phase_s > 0 ? std::any_of(starting_.begin(), starting_.end(), has_pictures) : has_pictures(oldest);
  if (!pictures_->active() && encodes) EYESHOT_RETURN_IF_ERROR(pictures_->Begin(starting_, *stream_, *runner_));
  return pictures_->active() ? pictures_->Slice(*stream_, budget_s) : PrefillSlice(oldest, budget_s);
}

// Pictures on a queue of their own, and a piece of the oldest prompt that waits for none. Who has neither prompts nor
// answers waits for the pictures.
Status SchedulerImpl::SliceBeside(double budget_s) {
  const auto waits = [](const RequestPtr& request) { return !request->waiting.empty(); };
  const auto ready = [](const RequestPtr& request) { return request->waiting.empty() && request->encoding.empty(); };
  if (!pictures_->active() && std::any_of(starting_.begin(), starting_.end(), waits)) {
    EYESHOT_RETURN_IF_ERROR(pictures_->Begin(starting_, *stream_, *runner_));
  }
  const auto next = [&] { return std::find_if(starting_.begin(), starting_.end(), ready); };
  if (pictures_->active()) EYESHOT_RETURN_IF_ERROR(pictures_->GoOn(decoding_.empty() && next() == starting_.end()));
  const auto prompt = next();
  return prompt == starting_.end() ? Status::Ok() : PrefillSlice(RequestPtr(*prompt), budget_s);
}

// All that were taken.
Status SchedulerImpl::FinishPictures() {
  while (pictures_->active()) {
    EYESHOT_RETURN_IF_ERROR(pictures_->beside() ? pictures_->GoOn(true) : pictures_->Slice(*stream_, kIdleSliceS));
  }
  return Status::Ok();
}

Status SchedulerImpl::PrefillSlice(const RequestPtr& request, double budget_s) {
  const uint64_t begin = SteadyNowNs();
  PromptPlan& plan = request->plan;
  request->conversation.ShareSame();
  const bool kept_positions = plan.position_end != static_cast<int64_t>(plan.ids.size());
  if (kept_positions && plan.positions.empty()) request->conversation.SetPositions(plan);
  const int64_t before = request->sequence->size();
  const auto room = [&] { return blocks_->available() * kKvBlockSize + (-before & (kKvBlockSize - 1)); };
  while (room() == 0) {
    if (PreemptOther(request.get())) continue;
    EYESHOT_CHECK(pictures_->active());  // alone it fits
    EYESHOT_RETURN_IF_ERROR(FinishPictures());
  }
  const int64_t left = static_cast<int64_t>(plan.ids.size()) - before;
  int64_t most = std::max(kLeastPrefill, static_cast<int64_t>(budget_s / token_s_.value()));
  if (left - most < kShortEnd) most = left;
  most = std::min(room(), most);
  Ledger slice;
  slice.Observe(options_.stage_observer);
  bool done = false;
  {
    Stage stage(slice, StageId::kPrefill, stream_.get());
    EYESHOT_ASSIGN_OR_RETURN(
        done, runner_->PrefillSome(*stream_, *cache_, *request->sequence, plan, request->conversation.visuals(), most));
    EYESHOT_RETURN_IF_ERROR(model_.backend().Sync(*stream_));
    stage.AddTokens(static_cast<uint64_t>(request->sequence->size() - before));
  }
  stream_->Collect(slice);
  const int64_t tokens = request->sequence->size() - before;
  token_s_.Add(SecondsSince(begin) / static_cast<double>(tokens));
  request->AddShare(slice, 1);
  request->sequence->Register();
  return done ? FirstToken(request) : Status::Ok();
}

Status SchedulerImpl::FirstToken(const RequestPtr& request) {
  // Visual tokens are in the cache now.
  for (Visual& visual : request->conversation.visuals()) {
    pictures_->Retire(std::exchange(visual.buffer, nullptr));
    visual.rows = {};
  }
  const auto slot = static_cast<int64_t>(decoding_.size());
  int32_t token = 0;
  Ledger step;
  {
    Stage stage(step, StageId::kDecode, stream_.get());
    stage.AddTokens(1);
    runner_->StartSampling(*stream_, request->request.options.sampling, request->plan.ids, slot,
                           static_cast<uint32_t>(request->tokens.size()));
    runner_->BeginSample(*stream_, 1, slot);
    EYESHOT_RETURN_IF_ERROR(runner_->FinishSample(*stream_, {&token, 1}, slot));
  }
  stream_->Collect(step);
  request->AddShare(step, 1);
  starting_.erase(std::find(starting_.begin(), starting_.end(), request));
  decoding_.push_back(request);
  request->tokens.push_back(token);
  TakeLast(request);
  return Status::Ok();
}

// The new token of an answer, its last one.
void SchedulerImpl::TakeLast(const RequestPtr& request) {
  ScheduledRequest& own = *request;
  const AskOptions& options = own.request.options;
  const int32_t token = own.tokens.back();
  ++own.answer.completion_tokens;
  std::optional<FinishReason> end;
  if (!options.ignore_end && IsStopToken(token)) {
    end = FinishReason::kStop;
  } else {
    Stage stage(own.answer.ledger, StageId::kDetokenize);
    stage.AddTokens(1);
    const bool shown = options.special_tokens || !model_.tokenizer().IsSpecial(token);
    if (shown && own.text->Push(model_.tokenizer().TokenBytes(token))) end = FinishReason::kStop;
    const std::string_view fresh = own.text->TakeNew();
    if (own.request.on_text && !fresh.empty()) own.request.on_text(fresh);
  }
  if (!end && own.answer.completion_tokens >= own.limit) {
    end = own.limit < options.max_tokens ? FinishReason::kContext : FinishReason::kLength;
  }
  if (!end) return;
  LeaveDecoding(static_cast<size_t>(std::find(decoding_.begin(), decoding_.end(), request) - decoding_.begin()));
  End(request, *end);
}

// The last slot's answer moves to the free one, with its sampler.
void SchedulerImpl::LeaveDecoding(size_t slot) {
  if (slot + 1 < decoding_.size()) {
    decoding_[slot] = std::move(decoding_.back());
    const ScheduledRequest& moved = *decoding_[slot];
    std::vector<int32_t> ids(moved.plan.ids.begin(), moved.plan.ids.begin() + moved.prompt_tokens);
    ids.insert(ids.end(), moved.tokens.begin(), moved.tokens.end());
    runner_->StartSampling(*stream_, moved.request.options.sampling, ids, static_cast<int64_t>(slot),
                           static_cast<uint32_t>(moved.tokens.size()));
  }
  decoding_.pop_back();
}

void SchedulerImpl::End(const RequestPtr& request, FinishReason reason) {
  ScheduledRequest& own = *request;
  own.sequence.reset();
  own.answer.finish_reason = reason;
  own.text->Finish();
  const std::string_view rest = own.text->TakeNew();
  if (own.request.on_text && !rest.empty() && reason != FinishReason::kCancelled) own.request.on_text(rest);
  own.answer.text = own.text->Release();
  if (own.energy.pending_ns() > 0) ReadEnergy(&own);
  energy_.Finish(own.energy, own.answer.ledger);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    (reason == FinishReason::kCancelled ? stats_.cancelled : stats_.finished) += 1;
    stats_.prompt_tokens += static_cast<uint64_t>(own.answer.prompt_tokens);
    stats_.prompt_tokens_cached += static_cast<uint64_t>(own.answer.cached_tokens);
    stats_.completion_tokens += static_cast<uint64_t>(own.answer.completion_tokens);
    stats_.ledger.AddStages(own.answer.ledger);
  }
  if (own.request.on_done) own.request.on_done(std::move(own.answer));
  Leave(own, reason != FinishReason::kCancelled);
}

void SchedulerImpl::Fail(const RequestPtr& request, const Status& status) {
  if (request->energy.pending_ns() > 0) ReadEnergy(request.get());
  request->sequence.reset();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++stats_.failed;
  }
  if (request->request.on_done) request->request.on_done(status);
  Leave(*request, false);
}

// Its last call: who waits for all may go then.
void SchedulerImpl::Leave(const ScheduledRequest& request, bool answered) {
  if (options_.on_request_end) {
    RequestEnd end{.seconds = SecondsSince(request.submitted_ns), .answered = answered};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      end.last = all_.size() == 1;
    }
    options_.on_request_end(end);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  all_.erase(request.id);
  if (all_.empty()) all_done_.notify_all();
}

// The device failed, or memory was short: whose step it was can't be told.
void SchedulerImpl::FailAll(const Status& status) {
  static_cast<void>(model_.backend().Sync(*stream_));
  pictures_->Drop();
  std::vector<RequestPtr> running = std::move(starting_);
  running.insert(running.end(), decoding_.begin(), decoding_.end());
  starting_.clear();
  decoding_.clear();
  for (const RequestPtr& request : running) Fail(request, status);
}

// The meters' owner, which outlives what reads them.
class SchedulerWithMeters final : public Scheduler {
 public:
  SchedulerWithMeters(std::shared_ptr<Engine> engine, const SchedulerOptions& options)
      : meters_(MetersOfDevice(engine->info().pci_bus_id, options.energy_sysfs)),
        scheduler_(std::move(engine), options, meters_) {}
  Status Start() { return scheduler_.Start(); }

  Result<uint64_t> Submit(GenerateRequest request) override { return scheduler_.Submit(std::move(request)); }
  void Cancel(uint64_t id) override { scheduler_.Cancel(id); }
  bool Drain(SteadyClock::time_point until) override { return scheduler_.Drain(until); }
  SchedulerStats stats() const override { return scheduler_.stats(); }
  const ModelInfo& info() const override { return scheduler_.info(); }

 private:
  std::vector<std::unique_ptr<Meter>> meters_;
  SchedulerImpl scheduler_;
};

}  // namespace

Result<std::unique_ptr<Scheduler>> CreateMeteredScheduler(std::shared_ptr<Engine> engine,
                                                          const SchedulerOptions& options,
                                                          std::span<const std::unique_ptr<Meter>> meters) {
  auto scheduler = std::make_unique<SchedulerImpl>(std::move(engine), options, meters);
  EYESHOT_RETURN_IF_ERROR(scheduler->Start());
  return std::unique_ptr<Scheduler>(std::move(scheduler));
}

Result<std::unique_ptr<Scheduler>> Scheduler::Create(std::shared_ptr<Engine> engine, const SchedulerOptions& options) {
  if (options.energy_sysfs.empty()) return CreateMeteredScheduler(std::move(engine), options, {});
  auto scheduler = std::make_unique<SchedulerWithMeters>(std::move(engine), options);
  EYESHOT_RETURN_IF_ERROR(scheduler->Start());
  return std::unique_ptr<Scheduler>(std::move(scheduler));
}

}  // namespace eyeshot
