// The engine and its chats: what include/eyeshot/engine.h promises, put together from the rooms below.
#include "eyeshot/engine.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/packed_weights.h"
#include "ledger/nvml.h"
#include "ledger/stage.h"
#include "models/model.h"
#include "models/model_source.h"
#include "reduce/reduce_spec.h"
#include "runtime/answer_text.h"
#include "runtime/conversation.h"
#include "runtime/decoder_runner.h"
#include "runtime/engine_parts.h"
#include "runtime/kv_sequence.h"
#include "runtime/query_encoder.h"
#include "runtime/visual_encoder.h"

namespace eyeshot {
namespace {

// Tiles that wait for one pass through the tower: enough to fill every backend's group several times over, few
// enough that their pixels (0.8 MB each at 512 x 512) stay small beside the weights.
constexpr int64_t kEncodeBatchTiles = 17;

class EngineImpl;

class ChatImpl final : public Chat {
 public:
  ChatImpl(std::shared_ptr<EngineImpl> engine, std::unique_ptr<KvCache> cache, int64_t capacity);
  ~ChatImpl() override;

  Result<Answer> Ask(std::vector<ContentPart> parts, const AskOptions& options) override;
  Result<int> FramesThatFit(double duration_s, int most, std::string_view question,
                            const AskOptions& options) const override;
  const std::vector<Message>& messages() const override { return conversation_.messages(); }
  void Reset() override;

  Status AddSystem(std::string_view system);

 private:
  Result<Answer> Run(const AskOptions& options);
  Result<Answer> Answered(const AskOptions& options);
  Status CountTokens(const AskOptions& options, Answer& answer, PromptPlan& plan);
  Status EncodeMissing(const PromptPlan& plan, int64_t cached, const AskOptions& options, Answer& answer);
  Status EncodeAll(std::span<Visual* const> visuals, const AskOptions& options, Ledger& ledger);
  Status EncodeTogether(std::span<Visual* const> visuals, const std::function<bool(double)>& on_progress,
                        Ledger& ledger);
  Status Generate(const PromptPlan& plan, const AskOptions& options, Answer& answer);
  bool IsStopToken(int32_t token) const;

  std::shared_ptr<EngineImpl> engine_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Stream> stream_;
  BlockPool pool_;
  KvSequence sequence_;
  Conversation conversation_;
  size_t system_messages_ = 0;
  std::vector<int32_t> stop_tokens_;
};

class EngineImpl final : public Engine {
 public:
  static Result<std::shared_ptr<EngineImpl>> Load(const EngineOptions& options);

  const ModelInfo& info() const override { return info_; }
  const Ledger& load_ledger() const override { return load_ledger_; }
  DecodeOptions ScaledDecoding(const PictureDetail& detail) const override {
    return model_->image_processor().ScaledDecoding(detail);
  }
  VideoOptions VideoDefaults() const override { return model_->image_processor().VideoDefaults(pool_.threads()); }
  Result<std::unique_ptr<Chat>> NewChat(std::string_view system) override;

  // A device's caches are used by one chat after the other: steps that were recorded for one can be repeated.
  Result<std::unique_ptr<KvCache>> TakeCache();
  void GiveCache(std::unique_ptr<KvCache> cache);

  VisionLanguageModel& model() { return *model_; }
  Backend& backend() { return *backend_; }
  DecoderRunner& runner() { return *runner_; }
  QueryEncoder* query_encoder() { return query_encoder_.get(); }
  ThreadPool& pool() { return pool_; }
  GpuMeter* gpu_meter() { return gpu_meter_.get(); }
  int decode_threads() const { return decode_threads_; }
  KvFormat kv_format() const { return kv_format_; }
  std::mutex& turn() { return turn_; }

 private:
  explicit EngineImpl(int threads) : pool_(threads) {}

  ThreadPool pool_;  // for preprocessing; the backend has its own
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<VisionLanguageModel> model_;
  std::unique_ptr<DecoderRunner> runner_;
  std::unique_ptr<QueryEncoder> query_encoder_;  // null: visual tokens don't depend on what is asked
  std::unique_ptr<GpuMeter> gpu_meter_;  // null: no GPU, or it can't be read
  ModelInfo info_;
  KvFormat kv_format_ = KvFormat::kHalf;
  int decode_threads_ = 0;
  Ledger load_ledger_;
  std::mutex turn_;  // held by the chat that runs
  std::mutex spare_turn_;
  std::unique_ptr<KvCache> spare_cache_;  // of a chat that has ended
};

// "a/b/" and "a/b" are both named "b".
std::string FolderName(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos || path.size() == 1 ? path : path.substr(slash + 1));
}

// Packed weights and 8-bit caches are a CPU's.
std::string DeviceFor(const EngineOptions& options) {
  const bool packed = FileExists(JoinPath(options.model, kPackedWeightsFile));
  return options.device == "auto" && (packed || options.kv_cache != "f16") ? "cpu" : options.device;
}

// Where memory is a GPU's, it is planned before any is taken.
Status CheckMemory(const ModelSource& source, const ModelPrecision& precision, int64_t context,
                   const Backend& backend) {
  const std::optional<size_t> available = backend.AvailableBytes();
  if (!available) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const ModelFamily* family, FindModelFamily(source.config().model_type));
  const MemoryPlan plan = family->plan(source.config(), backend, precision, context, 1);
  if (plan.total() <= *available) return Status::Ok();
  const auto megabytes = [](size_t bytes) { return (bytes + 999'999) / 1'000'000; };
  return OutOfMemoryError(
      fmt::format(
          "the model needs {} MB of GPU memory ({} of weights, {} of scratch memory, {} of a key/value cache of "
          "{} tokens, {} of each tile), and {} MB can be had beside the {} that are taken",
          megabytes(plan.total()), megabytes(plan.tower_weights + plan.connector_weights + plan.decoder_weights),
          megabytes(plan.tower_workspace + plan.decoder_workspace), megabytes(plan.kv_cache), context,
          megabytes(plan.pictures), megabytes(*available), megabytes(backend.PeakBytes().value_or(0))),
      "take a smaller --context, model or --precision (int8, int4), raise --gpu-memory, end other programs on the GPU, "
      "or use --device cpu");
}

Result<std::shared_ptr<EngineImpl>> EngineImpl::Load(const EngineOptions& options) {
  if (options.threads < 0 || options.threads > limits::kMaxThreads) {
    return InvalidArgumentError(fmt::format("{} threads were asked for", options.threads),
                                fmt::format("use 0 (all cores) to {}", limits::kMaxThreads));
  }
  if (options.decode_threads < 0 || options.decode_threads > limits::kMaxThreads) {
    return InvalidArgumentError(fmt::format("{} threads of decoding were asked for", options.decode_threads),
                                fmt::format("use 0 (all threads) to {}", limits::kMaxThreads));
  }
  std::shared_ptr<EngineImpl> engine(new EngineImpl(options.threads));
  engine->decode_threads_ = options.decode_threads;
  std::vector<std::string> notes;
  EYESHOT_ASSIGN_OR_RETURN(engine->backend_, CreateBackend({.name = options.backend,
                                                            .device = DeviceFor(options),
                                                            .threads = options.threads,
                                                            .gpu_memory = static_cast<size_t>(options.gpu_memory)},
                                                           &notes));
  EYESHOT_ASSIGN_OR_RETURN(
      ModelSource source,
      ModelSource::Open({.path = options.model, .mmproj = options.mmproj, .hf_defaults = options.hf_defaults}));
  for (std::string& note : source.notes()) notes.push_back(std::move(note));
  EYESHOT_ASSIGN_OR_RETURN(ModelPrecision precision, ChoosePrecision(source, options.precision, *engine->backend_));
  EYESHOT_ASSIGN_OR_RETURN(precision.kv_cache, ParseKvFormat(options.kv_cache));
  if (!engine->backend_->SupportsCache(precision.kv_cache)) {
    return UnsupportedError(
        fmt::format("a key/value cache in {} on {}", options.kv_cache, engine->backend_->info().device),
        "leave --kv-cache out: a GPU keeps it in bfloat16");
  }
  engine->kv_format_ = precision.kv_cache;
  const ModelConfig& config = source.config();
  const int64_t longest = config.text.max_positions;
  if (options.context_tokens < 0 || options.context_tokens > longest) {
    return InvalidArgumentError(fmt::format("a context of {} tokens was asked for", options.context_tokens),
                                fmt::format("use 1 to {}, what the model was made for, or 0 for all of it", longest));
  }
  const int64_t context = options.context_tokens == 0 ? longest : options.context_tokens;
  EYESHOT_RETURN_IF_ERROR(CheckMemory(source, precision, context, *engine->backend_));
  EYESHOT_ASSIGN_OR_RETURN(engine->model_, LoadModel(std::move(source),
                                                     {.precision = precision,
                                                      .pillow13_order = options.pillow13_resize,
                                                      .frame_edge = options.frame_edge,
                                                      .on_progress = options.on_progress},
                                                     *engine->backend_, engine->load_ledger_));
  EYESHOT_ASSIGN_OR_RETURN(engine->runner_, DecoderRunner::Create(*engine->model_, context));
  if (engine->model_->config().query_conditioned()) {
    EYESHOT_ASSIGN_OR_RETURN(engine->query_encoder_, QueryEncoder::Create(*engine->model_, context));
  }

  const BackendInfo& backend = engine->backend_->info();
  if (!backend.pci_bus_id.empty() && options.gpu_readings) {
    auto meter = GpuMeter::Open(backend.pci_bus_id);
    if (meter.ok()) {
      engine->gpu_meter_ = *std::move(meter);
    } else {
      notes.emplace_back(meter.status().message());
    }
  }
  engine->info_ = {.name = options.name.empty() ? FolderName(options.model) : options.name,
                   .family = std::string(engine->model_->family()),
                   .device = backend.device,
                   .pci_bus_id = backend.pci_bus_id,
                   .isa = backend.isa,
                   .precision = PrecisionName(precision, *engine->backend_),
                   .threads = backend.threads,
                   .parameters = engine->model_->parameters(),
                   .context_tokens = context,
                   .vocabulary = engine->model_->config().text.vocab_size,
                   .has_vision = engine->model_->config().has_vision(),
                   .notes = std::move(notes)};
  return engine;
}

Result<std::unique_ptr<KvCache>> EngineImpl::TakeCache() {
  {
    const std::lock_guard<std::mutex> turn(spare_turn_);
    if (spare_cache_ != nullptr) return std::move(spare_cache_);
  }
  return backend_->NewKvCache(model_->decoder().CacheShape(info_.context_tokens, kKvBlockSize, kv_format_));
}

void EngineImpl::GiveCache(std::unique_ptr<KvCache> cache) {
  if (!backend_->PeakBytes()) return;  // a CPU's caches only have memory that was used
  const std::lock_guard<std::mutex> turn(spare_turn_);
  spare_cache_ = std::move(cache);
}

Result<std::unique_ptr<Chat>> EngineImpl::NewChat(std::string_view system) {
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> cache, TakeCache());
  auto chat = std::make_unique<ChatImpl>(std::static_pointer_cast<EngineImpl>(shared_from_this()), std::move(cache),
                                         info_.context_tokens);
  if (!system.empty()) EYESHOT_RETURN_IF_ERROR(chat->AddSystem(system));
  return std::unique_ptr<Chat>(std::move(chat));
}

ChatImpl::ChatImpl(std::shared_ptr<EngineImpl> engine, std::unique_ptr<KvCache> cache, int64_t capacity)
    : engine_(std::move(engine)),
      cache_(std::move(cache)),
      stream_(engine_->backend().NewStream()),
      pool_(cache_->shape.blocks),
      sequence_(pool_, cache_->shape, capacity),
      conversation_(engine_->model()),
      stop_tokens_(StopTokensOf(engine_->model())) {}

ChatImpl::~ChatImpl() { engine_->GiveCache(std::move(cache_)); }

Status ChatImpl::AddSystem(std::string_view system) {
  EYESHOT_RETURN_IF_ERROR(conversation_.Add(Message::System(std::string(system)), PictureDetail()));
  system_messages_ = 1;
  return Status::Ok();
}

void ChatImpl::Reset() { conversation_.Truncate(system_messages_); }

bool ChatImpl::IsStopToken(int32_t token) const {
  return std::find(stop_tokens_.begin(), stop_tokens_.end(), token) != stop_tokens_.end();
}

Result<Answer> ChatImpl::Ask(std::vector<ContentPart> parts, const AskOptions& options) {
  EYESHOT_RETURN_IF_ERROR(CheckOptions(options));
  EYESHOT_ASSIGN_OR_RETURN(const ReduceSpec reduce, ParseReduceSpec(options.reduce));
  if (options.question_first) PutTextsFirst(parts);
  const std::lock_guard<std::mutex> turn(engine_->turn());
  EYESHOT_RETURN_IF_ERROR(conversation_.Add(Message::User(std::move(parts)), options.detail, reduce));
  Result<Answer> answer = Run(options);
  if (!answer.ok()) {
    // What was enqueued uses memory that the next question uses too. Its errors are those of the answer.
    static_cast<void>(engine_->backend().Sync(*stream_));
    conversation_.RemoveLast();
    return answer;
  }
  const std::string said =
      options.answer_start.empty() ? answer->text : fmt::format("{} {}", options.answer_start, answer->text);
  EYESHOT_RETURN_IF_ERROR(conversation_.Add(Message::Assistant(said), options.detail));
  return answer;
}

Result<int> ChatImpl::FramesThatFit(double duration_s, int most, std::string_view question,
                                    const AskOptions& options) const {
  if (most < 1 || most > static_cast<int>(limits::kMaxFramesPerPrompt)) {
    return InvalidArgumentError(fmt::format("at most {} frames", most),
                                fmt::format("give 1 to {}", limits::kMaxFramesPerPrompt));
  }
  // Times as late as can be are the longest to write.
  EYESHOT_ASSIGN_OR_RETURN(const ReduceSpec reduce, ParseReduceSpec(options.reduce));
  EYESHOT_ASSIGN_OR_RETURN(
      PromptVideo clip,
      conversation_.ClipOf(std::vector<double>(static_cast<size_t>(most), duration_s), duration_s, reduce));
  PromptMessage message{Role::kUser, {std::move(clip)}};
  if (!question.empty()) message.parts.emplace_back(std::string(question));
  const int64_t answer = std::max(options.max_tokens, 1);
  const int64_t room = sequence_.capacity() - (answer < sequence_.capacity() ? answer : 1);
  return conversation_.FramesThatFit(conversation_.messages().size(), message, room);
}

// The GPU before and after the question are read when its queue is empty.
Result<Answer> ChatImpl::Run(const AskOptions& options) {
  const std::optional<size_t> taken = engine_->backend().PeakBytes();
  if (!taken) return Answered(options);
  GpuMeter* meter = engine_->gpu_meter();
  GpuCost cost;
  if (meter != nullptr) cost.before = meter->Read();
  Result<Answer> answer = Answered(options);
  if (!answer.ok()) return answer;
  if (meter != nullptr) cost.after = meter->Read();
  cost.allocated_bytes = engine_->backend().PeakBytes().value_or(0);
  cost.joules = JoulesBetween(cost.before, cost.after);
  answer->ledger.SetGpu(cost);
  return answer;
}

Result<Answer> ChatImpl::Answered(const AskOptions& options) {
  Answer answer;
  answer.ledger.KeepRuns(options.stage_runs);
  answer.ledger.Observe(options.stage_observer);
  Ledger abandoned;  // what a question that failed has left, and what is under way of it
  EYESHOT_RETURN_IF_ERROR(engine_->backend().Sync(*stream_));
  stream_->Collect(abandoned);
  EYESHOT_ASSIGN_OR_RETURN(PromptPlan plan,
                           conversation_.PlanToFit(options.detail, sequence_.capacity(), options.answer_start));
  EYESHOT_RETURN_IF_ERROR(CountTokens(options, answer, plan));
  AddPictureCosts(engine_->model(), conversation_.last_visuals(), answer.ledger);
  answer.prompt_tokens = static_cast<int64_t>(plan.ids.size());
  answer.visual_tokens = plan.visual_tokens;
  answer.tiles = plan.tiles;
  answer.context_tokens = sequence_.capacity();

  // The last token always runs again: its logits are wanted.
  const int64_t cached = std::min(sequence_.CommonPrefix(plan.keys), answer.prompt_tokens - 1);
  sequence_.Truncate(cached);
  answer.cached_tokens = cached;
  EYESHOT_RETURN_IF_ERROR(EncodeMissing(plan, cached, options, answer));
  conversation_.SetPositions(plan);

  {
    Stage stage(answer.ledger, StageId::kPrefill, stream_.get());
    stage.AddTokens(static_cast<uint64_t>(answer.prompt_tokens - cached));
    const auto progress = [&](double share) {
      if (options.on_progress) options.on_progress(StageId::kPrefill, share);
      return share >= 1 || options.cancel == nullptr || !options.cancel->load();
    };
    EYESHOT_RETURN_IF_ERROR(
        engine_->runner().Prefill(*stream_, *cache_, sequence_, plan, conversation_.visuals(), progress));
  }
  stream_->Collect(answer.ledger);
  engine_->backend().UseThreads(engine_->decode_threads());
  const Status generated = Generate(plan, options, answer);
  engine_->backend().UseThreads(0);
  answer.ledger.Observe(nullptr);
  EYESHOT_RETURN_IF_ERROR(generated);
  return answer;
}

// Encodes clips of which it must be seen how many tokens each frame keeps, and plans anew.
Status ChatImpl::CountTokens(const AskOptions& options, Answer& answer, PromptPlan& plan) {
  std::vector<Visual*> uncounted;
  for (Visual& visual : conversation_.visuals()) {
    if (!visual.counted && visual.same_as < 0) uncounted.push_back(&visual);
  }
  if (uncounted.empty()) return Status::Ok();
  EYESHOT_RETURN_IF_ERROR(EncodeAll(uncounted, options, answer.ledger));
  conversation_.ShareSame();
  EYESHOT_ASSIGN_OR_RETURN(plan, conversation_.Plan(options.answer_start));
  return Status::Ok();
}

// Encodes the pictures that positions from `cached` on refer to and that were not encoded before.
Status ChatImpl::EncodeMissing(const PromptPlan& plan, int64_t cached, const AskOptions& options, Answer& answer) {
  std::vector<Visual*> missing;
  std::vector<Visual>& visuals = conversation_.visuals();
  for (const VisualRun& run : plan.runs) {
    const int64_t same = visuals[static_cast<size_t>(run.visual)].same_as;
    Visual& visual = visuals[static_cast<size_t>(same >= 0 ? same : run.visual)];
    if (run.count == 0 || run.position + run.count <= cached || visual.encoded()) continue;
    if (std::find(missing.begin(), missing.end(), &visual) == missing.end()) missing.push_back(&visual);
  }
  EYESHOT_RETURN_IF_ERROR(EncodeAll(missing, options, answer.ledger));
  conversation_.ShareSame();
  return Status::Ok();
}

// In groups of many tiles.
Status ChatImpl::EncodeAll(std::span<Visual* const> visuals, const AskOptions& options, Ledger& ledger) {
  int64_t all_tiles = 0;
  for (const Visual* visual : visuals) all_tiles += visual->tiles;
  int64_t done_tiles = 0;
  for (size_t begin = 0; begin < visuals.size();) {
    size_t end = begin;
    int64_t tiles = 0;
    do {
      tiles += visuals[end++]->tiles;
    } while (end < visuals.size() && tiles + visuals[end]->tiles <= kEncodeBatchTiles &&
             EncodedTogether(*visuals[end], *visuals[begin]));
    const auto progress = [&](double share) {
      const double done = static_cast<double>(done_tiles) + share * static_cast<double>(tiles);
      if (options.on_progress) options.on_progress(StageId::kEncode, done / static_cast<double>(all_tiles));
      return options.cancel == nullptr || !options.cancel->load();
    };
    EYESHOT_RETURN_IF_ERROR(EncodeTogether(visuals.subspan(begin, end - begin), progress, ledger));
    done_tiles += tiles;
    begin = end;
  }
  return Status::Ok();
}

Status ChatImpl::EncodeTogether(std::span<Visual* const> visuals, const std::function<bool(double)>& on_progress,
                                Ledger& ledger) {
  VisionLanguageModel& model = engine_->model();
  Tiles tiles;
  for (const Visual* const visual : visuals) {
    EYESHOT_RETURN_IF_ERROR(PreprocessVisual(model, *visual, engine_->pool(), tiles, ledger));
  }
  ConstMatrixView query;
  if (QueryEncoder* const encoder = engine_->query_encoder()) {
    EYESHOT_ASSIGN_OR_RETURN(query, encoder->Encode(*stream_, engine_->runner(), visuals.front()->question, ledger));
  }
  EYESHOT_ASSIGN_OR_RETURN(
      const std::unique_ptr<VisualEncoder> encoder,
      VisualEncoder::Begin(model, engine_->pool(), {visuals.begin(), visuals.end()}, std::move(tiles), query));
  for (bool done = false; !done;) {
    EYESHOT_ASSIGN_OR_RETURN(done, encoder->Some(*stream_, model.tower_parts(), 0, ledger));
    const double share = static_cast<double>(encoder->tiles_done()) / static_cast<double>(encoder->tiles());
    if (!on_progress(share)) {
      return CancelledError(
          fmt::format("cancelled after encoding {} of {} tiles", encoder->tiles_done(), encoder->tiles()));
    }
  }
  for (const Visual* const visual : visuals) {
    if (visual->counted) continue;
    const auto index = static_cast<size_t>(visual - conversation_.visuals().data());
    conversation_.SetTileTokens(index, visual->tile_tokens);
  }
  return Status::Ok();
}

Status ChatImpl::Generate(const PromptPlan& plan, const AskOptions& options, Answer& answer) {
  DecoderRunner& runner = engine_->runner();
  const Tokenizer& tokenizer = engine_->model().tokenizer();
  runner.StartSampling(*stream_, options.sampling, plan.ids);
  const int64_t limit = std::min<int64_t>(options.max_tokens, conversation_.AnswerRoom(plan, sequence_.capacity()));
  // No token decodes to more bytes than this on average; a longer one would make the string grow, once.
  constexpr size_t kBytesPerToken = 16;
  AnswerText text(options.stop, static_cast<size_t>(limit) * kBytesPerToken + 64);

  answer.finish_reason = limit < options.max_tokens ? FinishReason::kContext : FinishReason::kLength;
  // A GPU is at the next token while the host looks at this one, whichever it is.
  const bool asynchronous = engine_->model().backend().info().asynchronous;
  bool ahead = false;
  if (limit > 0) {
    Stage stage(answer.ledger, StageId::kDecode, stream_.get());
    runner.BeginSample(*stream_, 1);
  }
  // From here to the end of the loop nothing allocates and nothing locks.
  while (answer.completion_tokens < limit) {
    ahead = asynchronous && answer.completion_tokens + 1 < limit;
    if (ahead) {
      Stage stage(answer.ledger, StageId::kDecode, stream_.get());
      KvSequence* const one = &sequence_;
      EYESHOT_RETURN_IF_ERROR(runner.StepAhead(*stream_, *cache_, {&one, 1}));
      runner.BeginSample(*stream_, 1);
    }
    int32_t token = 0;
    {
      Stage stage(answer.ledger, StageId::kDecode);
      EYESHOT_RETURN_IF_ERROR(runner.FinishSample(*stream_, {&token, 1}));
      stage.AddTokens(1);
      ++answer.completion_tokens;
    }
    stream_->Collect(answer.ledger);
    bool stopped = !options.ignore_end && IsStopToken(token);
    if (stopped) answer.finish_reason = FinishReason::kStop;
    if (!stopped) {
      Stage stage(answer.ledger, StageId::kDetokenize);
      stage.AddTokens(1);
      const bool shown = options.special_tokens || !tokenizer.IsSpecial(token);
      if (shown && text.Push(tokenizer.TokenBytes(token))) {
        answer.finish_reason = FinishReason::kStop;
        stopped = true;
      }
      const std::string_view fresh = text.TakeNew();
      if (options.on_text && !fresh.empty() && !options.on_text(fresh)) {
        answer.finish_reason = FinishReason::kCancelled;
        stopped = true;
      }
    }
    if (stopped || answer.completion_tokens == limit) break;
    if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed)) {
      answer.finish_reason = FinishReason::kCancelled;
      break;
    }
    if (ahead) {
      sequence_.SetLast(static_cast<uint32_t>(token));
      ahead = false;
      continue;
    }
    Stage stage(answer.ledger, StageId::kDecode, stream_.get());
    EYESHOT_RETURN_IF_ERROR(runner.Step(*stream_, *cache_, sequence_, token));
    runner.BeginSample(*stream_, 1);
  }
  if (ahead) {  // of a token that isn't wanted
    sequence_.Truncate(sequence_.size() - 1);
    EYESHOT_RETURN_IF_ERROR(engine_->model().backend().Sync(*stream_));
  }
  stream_->Collect(answer.ledger);
  text.Finish();
  const std::string_view rest = text.TakeNew();
  if (options.on_text && !rest.empty() && answer.finish_reason != FinishReason::kCancelled) options.on_text(rest);
  answer.text = text.Release();
  return Status::Ok();
}

}  // namespace

Status CheckOptions(const AskOptions& options) {
  const SamplingOptions& sampling = options.sampling;
  const auto bad = [](std::string_view name, auto value, std::string_view allowed) {
    return InvalidArgumentError(fmt::format("{} is {}", name, value), fmt::format("use {}", allowed));
  };
  if (options.max_tokens < 1) return bad("max_tokens", options.max_tokens, "at least 1");
  if (!(sampling.temperature >= 0 && std::isfinite(sampling.temperature))) {
    return bad("temperature", sampling.temperature, "0 (greedy) or more");
  }
  if (sampling.top_k < 0) return bad("top_k", sampling.top_k, "0 (off) or more");
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) return bad("top_p", sampling.top_p, "more than 0, at most 1 (off)");
  if (!(sampling.min_p >= 0 && sampling.min_p <= 1)) return bad("min_p", sampling.min_p, "0 (off) to 1");
  if (!(sampling.repetition_penalty > 0 && std::isfinite(sampling.repetition_penalty))) {
    return bad("repetition_penalty", sampling.repetition_penalty, "more than 0; 1 is off");
  }
  return Status::Ok();
}

EngineParts PartsOf(Engine& engine) {
  auto& own = static_cast<EngineImpl&>(engine);
  return {.model = &own.model(),
          .pool = &own.pool(),
          .turn = &own.turn(),
          .kv_format = own.kv_format(),
          .decode_threads = own.decode_threads()};
}

std::vector<int32_t> StopTokensOf(const VisionLanguageModel& model) {
  std::vector<int32_t> tokens = model.generation().eos_token_ids;
  // The template ends every message with this token; some published eos settings name another one.
  if (const auto end = model.tokenizer().TokenId("<end_of_utterance>")) tokens.push_back(*end);
  return tokens;
}

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kContext: return "context";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

Result<std::shared_ptr<Engine>> Engine::Load(const EngineOptions& options) {
  Result<std::shared_ptr<EngineImpl>> engine = EngineImpl::Load(options);
  if (!engine.ok()) return engine.status();
  return std::shared_ptr<Engine>(*std::move(engine));
}

}  // namespace eyeshot
