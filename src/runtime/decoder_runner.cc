#include "runtime/decoder_runner.h"

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot {

Result<std::unique_ptr<DecoderRunner>> DecoderRunner::Create(const VisionLanguageModel& model, int64_t context_tokens,
                                                             int64_t sequences) {
  std::unique_ptr<DecoderRunner> runner(new DecoderRunner(model));
  EYESHOT_RETURN_IF_ERROR(runner->Allocate(context_tokens, sequences));
  return runner;
}

void DecoderRunner::Layout(Arena& arena, int64_t context_tokens, int64_t sequences) {
  const BackendInfo& info = model_.backend().info();
  const int64_t tokens = std::max(std::min(info.prefill_tokens, context_tokens), sequences);
  const int64_t blocks = (context_tokens + kKvBlockSize - 1) / kKvBlockSize;
  const int64_t vocabulary = model_.config().text.vocab_size;
  workspace_ = DecoderWorkspace(arena, model_.config().text, info.activation, tokens, sequences, blocks, 1);
  params_ = arena.Array<SamplerParams>(sequences);
  steps_ = arena.Array<uint32_t>(sequences);
  seen_ = arena.Array<uint8_t>(sequences * vocabulary);
  scratch_ = arena.Array<uint64_t>(sequences * vocabulary);
  next_ = arena.Array<int32_t>(sequences);
}

Status DecoderRunner::Allocate(int64_t context_tokens, int64_t sequences) {
  Arena measure;
  Layout(measure, context_tokens, sequences);
  EYESHOT_ASSIGN_OR_RETURN(buffer_, model_.backend().Allocate(measure.used(), "the decoder's workspace"));
  Arena arena(buffer_.data(), buffer_.bytes());
  Layout(arena, context_tokens, sequences);
  inputs_.resize(static_cast<size_t>(workspace_.inputs.size));
  unknown_.reserve(static_cast<size_t>(sequences));
  return Status::Ok();
}

std::span<int32_t> DecoderRunner::Input(DeviceSpan<int32_t> array) {
  const auto offset = reinterpret_cast<const uint8_t*>(array.data) - workspace_.inputs.data;
  return {reinterpret_cast<int32_t*>(inputs_.data() + offset), static_cast<size_t>(array.size)};
}

// Tokens `ids`, equally many of each sequence, that were appended to it last (their slots are set already).
DecoderStep DecoderRunner::UploadStep(Stream& stream, std::span<KvSequence* const> sequences,
                                      std::span<const int32_t> ids) {
  const auto count = static_cast<int64_t>(sequences.size());
  const auto tokens = static_cast<int64_t>(ids.size());
  const int64_t each = tokens / count;
  const int64_t blocks = workspace_.block_table.size / workspace_.max_sequences;
  std::copy(ids.begin(), ids.end(), Input(workspace_.ids).begin());
  const auto first_position = Input(workspace_.positions).begin();
  const auto first_block = Input(workspace_.block_table).begin();
  int64_t longest = 0;
  Input(workspace_.query_start)[0] = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto row = static_cast<size_t>(i);
    const int64_t context = sequences[row]->size();
    const std::span<const int32_t> positions = sequences[row]->positions().last(static_cast<size_t>(each));
    std::copy(positions.begin(), positions.end(), first_position + i * each);
    Input(workspace_.query_start)[row + 1] = static_cast<int32_t>((i + 1) * each);
    Input(workspace_.context_length)[row] = static_cast<int32_t>(context);
    Input(workspace_.logit_rows)[row] = static_cast<int32_t>((i + 1) * each - 1);
    const std::span<const int32_t> table = sequences[row]->block_table();
    std::copy(table.begin(), table.end(), first_block + i * blocks);
    longest = std::max(longest, context);
  }
  model_.backend().Upload(stream, inputs_.data(), workspace_.inputs.data, inputs_.size());

  DecoderStep step;
  step.x = workspace_.x.Rows(0, tokens);
  step.batch = {.tokens = tokens,
                .sequences = count,
                .max_blocks = blocks,
                .positions = workspace_.positions.Sub(0, tokens),
                .query_start = workspace_.query_start,
                .slots = workspace_.slots.Sub(0, tokens),
                .context_length = workspace_.context_length,
                .block_table = workspace_.block_table,
                .max_context = longest};
  return step;
}

// With the logits of as many sequences.
Status DecoderRunner::Run(Stream& stream, KvCache& cache, DecoderStep& step, int64_t logits) {
  const LlamaDecoder& decoder = model_.decoder();
  EYESHOT_RETURN_IF_ERROR(decoder.RunLayers(stream, workspace_, cache, step, 0, decoder.config().num_layers, nullptr));
  if (logits > 0) decoder.Logits(stream, workspace_, step, logits);
  return Status::Ok();
}

Status DecoderRunner::Prefill(Stream& stream, KvCache& cache, KvSequence& sequence, const PromptPlan& plan,
                              std::span<const Visual> visuals, const std::function<bool(double)>& on_progress) {
  Backend& backend = model_.backend();
  const auto total = static_cast<int64_t>(plan.ids.size());
  const int64_t begin = sequence.size();
  EYESHOT_CHECK(begin < total && total <= sequence.capacity());
  const int64_t blocks = (total + cache.shape.block_size - 1) / cache.shape.block_size;
  EYESHOT_RETURN_IF_ERROR(backend.Reserve(stream, cache, std::min(blocks, cache.shape.blocks)));  // at once
  while (sequence.size() < total) {
    EYESHOT_RETURN_IF_ERROR(PrefillSome(stream, cache, sequence, plan, visuals, total).status());
    const double done = static_cast<double>(sequence.size() - begin) / static_cast<double>(total - begin);
    if (on_progress && !on_progress(done)) {
      return CancelledError(fmt::format("cancelled after {} of {} prompt tokens", sequence.size(), total));
    }
  }
  return backend.Sync(stream);
}

Result<bool> DecoderRunner::PrefillSome(Stream& stream, KvCache& cache, KvSequence& sequence, const PromptPlan& plan,
                                        std::span<const Visual> visuals, int64_t most) {
  const auto total = static_cast<int64_t>(plan.ids.size());
  const int64_t first = sequence.size();
  int64_t count = std::min({workspace_.max_tokens, total - first, most});
  EYESHOT_CHECK(count > 0);
  const int64_t rest = total - first - count;
  if (rest > 0 && rest < kShortEnd && count >= 2 * kShortEnd) count -= kShortEnd - rest;
  for (int64_t i = 0; i < count; ++i) {
    const auto place = static_cast<size_t>(first + i);
    Input(workspace_.slots)[static_cast<size_t>(i)] = plan.positions.empty()
                                                          ? sequence.Append(plan.keys[place])
                                                          : sequence.Append(plan.keys[place], plan.positions[place]);
  }
  EYESHOT_RETURN_IF_ERROR(ReserveBlocks(stream, cache, sequence));
  KvSequence* const one = &sequence;
  DecoderStep step = UploadStep(stream, {&one, 1},
                                std::span(plan.ids).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  model_.decoder().Embed(stream, workspace_.ids.Sub(0, count), step.x);
  for (const VisualRun& run : plan.runs) {
    const int64_t from = std::max(run.position, first);
    const int64_t to = std::min(run.position + run.count, first + count);
    if (from >= to) continue;
    const MatrixView rows = visuals[static_cast<size_t>(run.visual)].rows;
    EYESHOT_CHECK(!rows.empty());
    model_.backend().CopyRows(stream, {.x = rows.Rows(run.row + from - run.position, to - from),
                                       .count = to - from,
                                       .y = step.x.Rows(from - first, to - from)});
  }
  last_rows_ = step.x;
  const bool is_last = first + count == total;
  EYESHOT_RETURN_IF_ERROR(Run(stream, cache, step, is_last ? 1 : 0));
  return is_last;
}

Status DecoderRunner::Step(Stream& stream, KvCache& cache, KvSequence& sequence, int32_t token) {
  KvSequence* const one = &sequence;
  return StepBatch(stream, cache, {&one, 1}, {&token, 1});
}

Status DecoderRunner::ReserveBlocks(Stream& stream, KvCache& cache, const KvSequence& sequence) {
  const std::span<const int32_t> table = sequence.block_table();
  return model_.backend().Reserve(stream, cache, int64_t{*std::max_element(table.begin(), table.end())} + 1);
}

Status DecoderRunner::StepBatch(Stream& stream, KvCache& cache, std::span<KvSequence* const> sequences,
                                std::span<const int32_t> tokens) {
  EYESHOT_CHECK(tokens.size() == sequences.size());
  return RunStep(stream, cache, sequences, tokens, workspace_.ids);
}

Status DecoderRunner::StepAhead(Stream& stream, KvCache& cache, std::span<KvSequence* const> sequences) {
  unknown_.assign(sequences.size(), 0);
  return RunStep(stream, cache, sequences, unknown_, next_);
}

Status DecoderRunner::RunStep(Stream& stream, KvCache& cache, std::span<KvSequence* const> sequences,
                              std::span<const int32_t> tokens, DeviceSpan<const int32_t> ids) {
  const auto count = static_cast<int64_t>(sequences.size());
  EYESHOT_CHECK(count > 0 && count <= workspace_.max_sequences);
  for (size_t i = 0; i < sequences.size(); ++i) {
    Input(workspace_.slots)[i] = sequences[i]->Append(static_cast<uint32_t>(tokens[i]));
    const Status reserved = ReserveBlocks(stream, cache, *sequences[i]);
    if (reserved.ok()) continue;
    // Nothing was written for these tokens, and no later prompt may find them.
    for (KvSequence* sequence : sequences.first(i + 1)) sequence->Truncate(sequence->size() - 1);
    return reserved;
  }
  DecoderStep step = UploadStep(stream, sequences, tokens);
  last_rows_ = step.x;
  Status status;
  const auto enqueue = [&] {
    model_.decoder().Embed(stream, ids.Sub(0, count), step.x);
    status = Run(stream, cache, step, count);
  };
  // By reference: a copy of it would be allocated.
  model_.backend().Repeat(stream,
                          {.cache = cache.id, .inputs = ids.data, .tokens = count, .context = step.batch.max_context},
                          std::ref(enqueue));
  return status;
}

void DecoderRunner::StartSampling(Stream& stream, const SamplingOptions& options, std::span<const int32_t> tokens,
                                  int64_t sequence, uint32_t chosen) {
  Backend& backend = model_.backend();
  const SamplerParams params{.temperature = options.temperature,
                             .top_p = options.top_p,
                             .min_p = options.min_p,
                             .repetition_penalty = options.repetition_penalty,
                             .top_k = options.top_k,
                             .seed_low = static_cast<uint32_t>(options.seed),
                             .seed_high = static_cast<uint32_t>(options.seed >> 32)};
  backend.Upload(stream, &params, params_.data + sequence, sizeof(params));
  backend.Upload(stream, &chosen, steps_.data + sequence, sizeof(chosen));
  if (options.repetition_penalty == 1.0f) return;
  use_seen_ = true;
  const int64_t vocabulary = model_.config().text.vocab_size;
  const DeviceSpan<uint8_t> seen = seen_.Sub(sequence * vocabulary, vocabulary);
  const std::vector<uint8_t> none(static_cast<size_t>(vocabulary), 0);
  backend.Upload(stream, none.data(), seen.data, none.size());
  for (size_t first = 0; first < tokens.size(); first += static_cast<size_t>(workspace_.max_tokens)) {
    const std::span<const int32_t> part =
        tokens.subspan(first, std::min(tokens.size() - first, static_cast<size_t>(workspace_.max_tokens)));
    backend.Upload(stream, part.data(), workspace_.ids.data, part.size_bytes());
    backend.MarkSeen(stream, workspace_.ids.Sub(0, static_cast<int64_t>(part.size())), seen);
  }
}

Result<int32_t> DecoderRunner::Sample(Stream& stream) {
  int32_t token = 0;
  EYESHOT_RETURN_IF_ERROR(SampleBatch(stream, {&token, 1}));
  return token;
}

Status DecoderRunner::SampleBatch(Stream& stream, std::span<int32_t> next) {
  BeginSample(stream, static_cast<int64_t>(next.size()));
  return FinishSample(stream, next);
}

void DecoderRunner::BeginSample(Stream& stream, int64_t count, int64_t first) {
  Backend& backend = model_.backend();
  EYESHOT_CHECK(count > 0 && first + count <= workspace_.max_sequences);
  const int64_t vocabulary = model_.config().text.vocab_size;
  const int64_t values = count * vocabulary;
  backend.Sample(stream, {.logits = workspace_.logits.Rows(0, count),
                          .params = params_.Sub(first, count),
                          .steps = steps_.Sub(first, count),
                          .seen = use_seen_ ? seen_.Sub(first * vocabulary, values) : DeviceSpan<uint8_t>(),
                          .scratch = scratch_.Sub(first * vocabulary, values),
                          .next = next_.Sub(first, count)});
  backend.BeginDownload(stream, next_.data + first, static_cast<size_t>(count) * sizeof(int32_t));
}

Status DecoderRunner::FinishSample(Stream& stream, std::span<int32_t> next, int64_t first) {
  return model_.backend().FinishDownload(stream, next_.data + first, next.data(), next.size_bytes());
}

}  // namespace eyeshot
