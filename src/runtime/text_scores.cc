#include "runtime/text_scores.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "base/error.h"
#include "runtime/decoder_runner.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {
namespace {

// A decoder with a cache of its own, read through by one text at a time.
class TextRun {
 public:
  static Result<std::unique_ptr<TextRun>> Create(const VisionLanguageModel& model, int64_t context) {
    std::unique_ptr<TextRun> run(new TextRun(model));
    const KvCacheShape shape = model.decoder().CacheShape(context, kKvBlockSize, KvFormat::kHalf);
    EYESHOT_ASSIGN_OR_RETURN(run->cache_, model.backend().NewKvCache(shape));
    EYESHOT_ASSIGN_OR_RETURN(run->runner_, DecoderRunner::Create(model, context));
    run->blocks_ = std::make_unique<BlockPool>(shape.blocks);
    run->sequence_ = std::make_unique<KvSequence>(*run->blocks_, shape, context);
    run->stream_ = model.backend().NewStream();
    return run;
  }

  // Reads ids from an empty cache. on_rows gets the hidden rows of each chunk and the position of its first.
  Status Read(std::span<const int32_t> ids, const std::function<Status(const MatrixView&, int64_t)>& on_rows) {
    PromptPlan plan;
    plan.ids.assign(ids.begin(), ids.end());
    plan.keys.assign(ids.begin(), ids.end());
    sequence_->Truncate(0);
    int64_t first = 0;
    Status status;
    const auto after_chunk = [&](double) {
      if (on_rows) status = on_rows(runner_->last_rows(), first);
      first = sequence_->size();
      return status.ok();
    };
    const Status prefilled = runner_->Prefill(*stream_, *cache_, *sequence_, plan, {}, after_chunk);
    return status.ok() ? prefilled : status;
  }

  Status Step(int32_t token) { return runner_->Step(*stream_, *cache_, *sequence_, token); }

  // The logits behind the last token.
  std::vector<float> LastLogits() const { return Download(runner_->logits()); }
  // Those behind row `row` of a chunk.
  std::vector<float> Logits(const MatrixView& rows, int64_t row) {
    const LlamaDecoder& decoder = model_.decoder();
    normed_.resize(static_cast<size_t>(rows.cols));
    logits_.resize(static_cast<size_t>(model_.config().text.vocab_size));
    const auto vocabulary = static_cast<int64_t>(logits_.size());
    const MatrixView normed(normed_.data(), DType::kF32, 1, rows.cols, rows.cols);
    decoder.FinalNorm(*stream_, rows.Rows(row, 1), normed);
    decoder.Head(*stream_, normed, MatrixView(logits_.data(), DType::kF32, 1, vocabulary, vocabulary));
    return logits_;
  }

 private:
  explicit TextRun(const VisionLanguageModel& model) : model_(model) {}

  std::vector<float> Download(const MatrixView& row) const {
    std::vector<float> values(static_cast<size_t>(row.cols));
    model_.backend().Download(*stream_, row.data, values.data(), values.size() * sizeof(float));
    return values;
  }

  const VisionLanguageModel& model_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<BlockPool> blocks_;
  std::unique_ptr<KvSequence> sequence_;
  std::unique_ptr<DecoderRunner> runner_;
  std::unique_ptr<Stream> stream_;
  std::vector<float> normed_;
  std::vector<float> logits_;
};

// -log softmax(logits)[id]
double Loss(const std::vector<float>& logits, int32_t id) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - double{largest});
  return std::log(sum) - (double{logits[static_cast<size_t>(id)]} - double{largest});
}

Status CheckIds(std::span<const int32_t> ids, int64_t vocabulary) {
  const auto beyond = std::find_if(ids.begin(), ids.end(), [=](int32_t id) { return id < 0 || id >= vocabulary; });
  if (beyond == ids.end()) return Status::Ok();
  return InvalidArgumentError(fmt::format("token {}, and the model has {}", *beyond, vocabulary),
                              "use the model's own tokenizer");
}

}  // namespace

double TextScore::perplexity() const { return std::exp(mean_loss); }

Result<TextScore> ScoreText(const VisionLanguageModel& model, std::span<const int32_t> ids, int64_t window,
                            const std::function<void(double)>& on_progress) {
  const int64_t longest = model.config().text.max_positions;
  const auto count = static_cast<int64_t>(ids.size());
  if (count < 2 || window < 2 || window > longest) {
    return InvalidArgumentError(fmt::format("{} tokens in windows of {}", count, window),
                                fmt::format("give at least 2 tokens, and windows of 2 to {}", longest));
  }
  EYESHOT_RETURN_IF_ERROR(CheckIds(ids, model.config().text.vocab_size));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<TextRun> run, TextRun::Create(model, std::min(window, count)));
  TextScore score;
  double loss = 0;
  for (int64_t begin = 0; begin + 1 < count; begin += window) {
    const auto text = ids.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(window, count - begin)));
    const auto size = static_cast<int64_t>(text.size());
    EYESHOT_RETURN_IF_ERROR(run->Read(text, [&](const MatrixView& rows, int64_t first) {
      for (int64_t r = 0; r < rows.rows && first + r + 1 < size; ++r) {
        loss += Loss(run->Logits(rows, r), text[static_cast<size_t>(first + r + 1)]);
        ++score.tokens;
      }
      if (on_progress) on_progress(static_cast<double>(begin + first + rows.rows) / static_cast<double>(count));
      return Status::Ok();
    }));
  }
  score.mean_loss = loss / static_cast<double>(score.tokens);
  return score;
}

Result<Continuation> ContinueGreedily(const VisionLanguageModel& model, std::span<const int32_t> prompt,
                                      int64_t max_tokens, std::span<const int32_t> stops) {
  const int64_t needed = static_cast<int64_t>(prompt.size()) + max_tokens;
  if (prompt.empty() || max_tokens < 1) {
    return InvalidArgumentError(fmt::format("{} tokens behind a prompt of {}", max_tokens, prompt.size()),
                                "give at least one of each");
  }
  if (needed > model.config().text.max_positions) {
    return ContextFullError(
        fmt::format("prompt and answer need {} tokens, the model takes {}", needed, model.config().text.max_positions),
        "ask for fewer tokens");
  }
  EYESHOT_RETURN_IF_ERROR(CheckIds(prompt, model.config().text.vocab_size));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<TextRun> run, TextRun::Create(model, needed));
  EYESHOT_RETURN_IF_ERROR(run->Read(prompt, {}));
  Continuation continuation;
  for (int64_t i = 0; i < max_tokens; ++i) {
    std::vector<float> logits = run->LastLogits();
    const auto best = std::max_element(logits.begin(), logits.end());
    const auto id = static_cast<int32_t>(best - logits.begin());
    const float largest = *best;
    *best = std::numeric_limits<float>::lowest();
    continuation.ids.push_back(id);
    continuation.gaps.push_back(largest - *std::max_element(logits.begin(), logits.end()));
    if (std::find(stops.begin(), stops.end(), id) != stops.end()) break;
    if (i + 1 < max_tokens) EYESHOT_RETURN_IF_ERROR(run->Step(id));
  }
  return continuation;
}

}  // namespace eyeshot
