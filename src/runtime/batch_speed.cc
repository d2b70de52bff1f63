#include "runtime/batch_speed.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "base/error.h"
#include "runtime/decoder_runner.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {
namespace {

constexpr int64_t kWarmUp = 3;

// Ids that differ from place to place and from text to text.
PromptPlan TextOf(int64_t index, int64_t tokens, int64_t vocabulary) {
  PromptPlan plan;
  for (int64_t i = 0; i < tokens; ++i) {
    const auto id = static_cast<int32_t>((i * 7919 + index * 104729) % vocabulary);
    plan.ids.push_back(id);
    plan.keys.push_back(static_cast<uint64_t>(id));
  }
  return plan;
}

}  // namespace

Result<BatchSpeed> MeasureBatch(const VisionLanguageModel& model, int64_t sequences, int64_t depth, int64_t steps,
                                const std::function<bool(double)>& on_progress) {
  const int64_t context = depth + kWarmUp + steps;
  const int64_t longest = model.config().text.max_positions;
  if (sequences < 1 || depth < 1 || steps < 1 || context > longest) {
    return InvalidArgumentError(
        fmt::format("{} sequences of {} tokens and {} steps", sequences, depth, kWarmUp + steps),
        fmt::format("use at least one of each, and at most {} tokens and steps together", longest));
  }
  Backend& backend = model.backend();
  // Whole blocks for each sequence.
  const int64_t padded = (context + kKvBlockSize - 1) / kKvBlockSize * kKvBlockSize;
  const KvCacheShape shape = model.decoder().CacheShape(sequences * padded, kKvBlockSize);
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<KvCache> cache, backend.NewKvCache(shape));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<DecoderRunner> runner,
                           DecoderRunner::Create(model, padded, sequences));
  const std::unique_ptr<Stream> stream = backend.NewStream();
  BlockPool pool(shape.blocks);
  std::vector<std::unique_ptr<KvSequence>> owned;
  std::vector<KvSequence*> all;
  const auto report = [&](double share) {
    return !on_progress || on_progress(share) ? Status::Ok() : CancelledError("cancelled");
  };
  for (int64_t i = 0; i < sequences; ++i) {
    owned.push_back(std::make_unique<KvSequence>(pool, shape, context));
    all.push_back(owned.back().get());
    const PromptPlan plan = TextOf(i, depth, model.config().text.vocab_size);
    EYESHOT_RETURN_IF_ERROR(runner->Prefill(*stream, *cache, *all.back(), plan, {}, {}));
    runner->StartSampling(*stream, {}, plan.ids, i);
    EYESHOT_RETURN_IF_ERROR(report(0.5 * static_cast<double>(i + 1) / static_cast<double>(sequences)));
  }
  std::vector<int32_t> tokens(static_cast<size_t>(sequences), 1);
  const bool ahead = backend.info().asynchronous;
  runner->BeginSample(*stream, sequences);
  std::vector<double> times;
  for (int64_t step = 0; step < kWarmUp + steps; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    if (ahead) {  // a GPU doesn't wait for the host to look at tokens
      EYESHOT_RETURN_IF_ERROR(runner->StepAhead(*stream, *cache, all));
      runner->BeginSample(*stream, sequences);
      EYESHOT_RETURN_IF_ERROR(runner->FinishSample(*stream, tokens));
    } else {
      EYESHOT_RETURN_IF_ERROR(runner->FinishSample(*stream, tokens));
      EYESHOT_RETURN_IF_ERROR(runner->StepBatch(*stream, *cache, all, tokens));
      runner->BeginSample(*stream, sequences);
    }
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    if (step >= kWarmUp) times.push_back(time.count());
    EYESHOT_RETURN_IF_ERROR(report(0.5 + 0.5 * static_cast<double>(step + 1) / static_cast<double>(kWarmUp + steps)));
  }
  EYESHOT_RETURN_IF_ERROR(backend.Sync(*stream));
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return BatchSpeed{sequences, depth, *middle};
}

}  // namespace eyeshot
