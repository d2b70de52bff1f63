#include "runtime/model_speed.h"

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/median.h"
#include "base/splitmix64.h"
#include "runtime/decoder_runner.h"
#include "runtime/kv_sequence.h"
#include "tensor/dtype.h"

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

// Of `once`, which waits for the device.
Result<double> MedianMs(int runs, const std::function<Status()>& once) {
  constexpr int kFirst = 2;
  std::vector<double> times;
  for (int run = -kFirst; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    EYESHOT_RETURN_IF_ERROR(once());
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
    if (run >= 0) times.push_back(time.count());
  }
  return Median(std::move(times));
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
  return BatchSpeed{sequences, depth, Median(std::move(times))};
}

Result<double> MeasureEncode(VisionLanguageModel& model, int64_t tiles, int runs) {
  if (tiles < 1 || runs < 1 || !model.config().has_vision()) {
    return InvalidArgumentError(fmt::format("{} tiles, {} runs", tiles, runs),
                                "use at least one of each, and a model that takes pictures");
  }
  Backend& backend = model.backend();
  const int64_t side = model.config().vision.image_size;
  const int64_t rows = tiles * model.config().visual_tokens_per_tile();
  const int64_t width = model.config().text.hidden_size;
  const DType dtype = backend.info().activation;
  std::vector<uint8_t> pixels(static_cast<size_t>(tiles * side * side * 3));
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(SplitMix64(i));
  EYESHOT_ASSIGN_OR_RETURN(const Buffer buffer,
                           backend.Allocate(static_cast<size_t>(rows * width) * DTypeBytes(dtype), "visual tokens"));
  const MatrixView out(buffer.data(), dtype, rows, width, width);
  const std::unique_ptr<Stream> stream = backend.NewStream();
  return MedianMs(runs, [&] {
    Ledger ledger;
    EYESHOT_RETURN_IF_ERROR(
        model.Encode(*stream, pixels.data(), tiles, TileKind::kPicture, out, ledger, nullptr, nullptr));
    EYESHOT_RETURN_IF_ERROR(backend.Sync(*stream));
    stream->Collect(ledger);
    return Status::Ok();
  });
}

Result<double> MeasurePrefill(const VisionLanguageModel& model, int64_t tokens, int runs) {
  const int64_t longest = model.config().text.max_positions;
  if (tokens < 1 || runs < 1 || tokens > longest) {
    return InvalidArgumentError(fmt::format("a prompt of {} tokens, {} runs", tokens, runs),
                                fmt::format("use at least one of each, and at most {} tokens", longest));
  }
  Backend& backend = model.backend();
  const KvCacheShape shape = model.decoder().CacheShape(tokens, kKvBlockSize);
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<KvCache> cache, backend.NewKvCache(shape));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<DecoderRunner> runner, DecoderRunner::Create(model, tokens));
  const std::unique_ptr<Stream> stream = backend.NewStream();
  BlockPool pool(shape.blocks);
  KvSequence sequence(pool, shape, tokens);
  const PromptPlan plan = TextOf(0, tokens, model.config().text.vocab_size);
  return MedianMs(runs, [&] {
    sequence.Truncate(0);
    return runner->Prefill(*stream, *cache, sequence, plan, {}, {});
  });
}

}  // namespace eyeshot
