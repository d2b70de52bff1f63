#include "runtime/decoder_runner.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot {

Result<std::unique_ptr<DecoderRunner>> DecoderRunner::Create(const VisionLanguageModel& model, int64_t context_tokens) {
  std::unique_ptr<DecoderRunner> runner(new DecoderRunner(model));
  EYESHOT_RETURN_IF_ERROR(runner->Allocate(context_tokens));
  return runner;
}

void DecoderRunner::Layout(Arena& arena, int64_t context_tokens) {
  const int64_t tokens = std::min(kPrefillChunk, context_tokens);
  const int64_t blocks = (context_tokens + kKvBlockSize - 1) / kKvBlockSize;
  const int64_t vocabulary = model_.config().text.vocab_size;
  workspace_ = DecoderWorkspace(arena, model_.config().text, model_.backend().info().activation, tokens, 1, blocks, 1);
  params_ = arena.Array<SamplerParams>(1);
  steps_ = arena.Array<uint32_t>(1);
  seen_ = arena.Array<uint8_t>(vocabulary);
  scratch_ = arena.Array<uint64_t>(vocabulary);
  next_ = arena.Array<int32_t>(1);
}

Status DecoderRunner::Allocate(int64_t context_tokens) {
  Arena measure;
  Layout(measure, context_tokens);
  EYESHOT_ASSIGN_OR_RETURN(buffer_, model_.backend().Allocate(measure.used(), "the decoder's workspace"));
  Arena arena(buffer_.data(), buffer_.bytes());
  Layout(arena, context_tokens);
  positions_.resize(static_cast<size_t>(workspace_.max_tokens));
  slots_.resize(static_cast<size_t>(workspace_.max_tokens));
  return Status::Ok();
}

// Positions [first, first + count) of the sequence, which has room for them (slots_ is filled already).
DecoderStep DecoderRunner::UploadStep(Stream& stream, const KvSequence& sequence, int64_t first, int64_t count) {
  Backend& backend = model_.backend();
  for (int64_t i = 0; i < count; ++i) positions_[static_cast<size_t>(i)] = static_cast<int32_t>(first + i);
  const int32_t query_start[2] = {0, static_cast<int32_t>(count)};
  const auto context = static_cast<int32_t>(first + count);
  const auto last = static_cast<int32_t>(count - 1);
  const std::span<const int32_t> table = sequence.block_table();
  const size_t bytes = static_cast<size_t>(count) * sizeof(int32_t);
  backend.Upload(stream, positions_.data(), workspace_.positions.data, bytes);
  backend.Upload(stream, slots_.data(), workspace_.slots.data, bytes);
  backend.Upload(stream, query_start, workspace_.query_start.data, sizeof(query_start));
  backend.Upload(stream, &context, workspace_.context_length.data, sizeof(context));
  backend.Upload(stream, table.data(), workspace_.block_table.data, table.size_bytes());
  backend.Upload(stream, &last, workspace_.logit_rows.data, sizeof(last));

  DecoderStep step;
  step.x = workspace_.x.Rows(0, count);
  step.batch = {.tokens = count,
                .sequences = 1,
                .max_blocks = workspace_.block_table.size,
                .positions = workspace_.positions.Sub(0, count),
                .query_start = workspace_.query_start,
                .slots = workspace_.slots.Sub(0, count),
                .context_length = workspace_.context_length,
                .block_table = workspace_.block_table,
                .max_context = context};
  return step;
}

Status DecoderRunner::Run(Stream& stream, KvCache& cache, DecoderStep& step, bool want_logits) {
  const LlamaDecoder& decoder = model_.decoder();
  EYESHOT_RETURN_IF_ERROR(decoder.RunLayers(stream, workspace_, cache, step, 0, decoder.config().num_layers, nullptr));
  last_rows_ = step.x;
  if (want_logits) decoder.Logits(stream, workspace_, step, 1);
  return model_.backend().Sync(stream);
}

Status DecoderRunner::Prefill(Stream& stream, KvCache& cache, KvSequence& sequence, const PromptPlan& plan,
                              std::span<const Visual> visuals, const std::function<bool(double)>& on_progress) {
  Backend& backend = model_.backend();
  const auto total = static_cast<int64_t>(plan.ids.size());
  const int64_t begin = sequence.size();
  EYESHOT_CHECK(begin < total && total <= sequence.capacity());
  while (sequence.size() < total) {
    const int64_t first = sequence.size();
    const int64_t count = std::min(workspace_.max_tokens, total - first);
    for (int64_t i = 0; i < count; ++i) {
      slots_[static_cast<size_t>(i)] = sequence.Append(plan.keys[static_cast<size_t>(first + i)]);
    }
    DecoderStep step = UploadStep(stream, sequence, first, count);
    backend.Upload(stream, plan.ids.data() + first, workspace_.ids.data, static_cast<size_t>(count) * sizeof(int32_t));
    model_.decoder().Embed(stream, workspace_.ids.Sub(0, count), step.x);
    for (const VisualRun& run : plan.runs) {
      const int64_t from = std::max(run.position, first);
      const int64_t to = std::min(run.position + run.count, first + count);
      if (from >= to) continue;
      const MatrixView rows = visuals[static_cast<size_t>(run.visual)].rows;
      EYESHOT_CHECK(!rows.empty());
      backend.CopyRows(stream, {.x = rows.Rows(run.row + from - run.position, to - from),
                                .count = to - from,
                                .y = step.x.Rows(from - first, to - from)});
    }
    EYESHOT_RETURN_IF_ERROR(Run(stream, cache, step, first + count == total));
    const double done = static_cast<double>(first + count - begin) / static_cast<double>(total - begin);
    if (on_progress && !on_progress(done)) {
      return CancelledError(fmt::format("cancelled after {} of {} prompt tokens", first + count, total));
    }
  }
  return Status::Ok();
}

Status DecoderRunner::Step(Stream& stream, KvCache& cache, KvSequence& sequence, int32_t token) {
  const int64_t position = sequence.size();
  slots_[0] = sequence.Append(static_cast<uint32_t>(token));
  DecoderStep step = UploadStep(stream, sequence, position, 1);
  model_.backend().Upload(stream, &token, workspace_.ids.data, sizeof(token));
  model_.decoder().Embed(stream, workspace_.ids.Sub(0, 1), step.x);
  return Run(stream, cache, step, true);
}

void DecoderRunner::StartSampling(Stream& stream, const SamplingOptions& options, std::span<const int32_t> prompt) {
  Backend& backend = model_.backend();
  const SamplerParams params{.temperature = options.temperature,
                             .top_p = options.top_p,
                             .min_p = options.min_p,
                             .repetition_penalty = options.repetition_penalty,
                             .top_k = options.top_k,
                             .seed_low = static_cast<uint32_t>(options.seed),
                             .seed_high = static_cast<uint32_t>(options.seed >> 32)};
  const uint32_t steps = 0;
  backend.Upload(stream, &params, params_.data, sizeof(params));
  backend.Upload(stream, &steps, steps_.data, sizeof(steps));
  use_seen_ = options.repetition_penalty != 1.0f;
  if (!use_seen_) return;
  const std::vector<uint8_t> none(static_cast<size_t>(seen_.size), 0);
  backend.Upload(stream, none.data(), seen_.data, none.size());
  for (size_t first = 0; first < prompt.size(); first += static_cast<size_t>(workspace_.max_tokens)) {
    const std::span<const int32_t> part =
        prompt.subspan(first, std::min(prompt.size() - first, static_cast<size_t>(workspace_.max_tokens)));
    backend.Upload(stream, part.data(), workspace_.ids.data, part.size_bytes());
    backend.MarkSeen(stream, workspace_.ids.Sub(0, static_cast<int64_t>(part.size())), seen_);
  }
}

Result<int32_t> DecoderRunner::Sample(Stream& stream) {
  Backend& backend = model_.backend();
  backend.Sample(stream, {.logits = logits(),
                          .params = params_,
                          .steps = steps_,
                          .seen = use_seen_ ? seen_ : DeviceSpan<uint8_t>(),
                          .scratch = scratch_,
                          .next = next_});
  int32_t token = 0;
  backend.Download(stream, next_.data, &token, sizeof(token));
  EYESHOT_RETURN_IF_ERROR(backend.Sync(stream));
  return token;
}

}  // namespace eyeshot
