#include "runtime/compare_models.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/threads.h"
#include "runtime/conversation.h"
#include "runtime/decoder_runner.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {
namespace {

// One model in one conversation about one picture.
class Session {
 public:
  static Result<std::unique_ptr<Session>> Start(VisionLanguageModel& model, std::shared_ptr<const Image> picture,
                                                const std::string& question, int64_t max_tokens) {
    std::unique_ptr<Session> session(new Session(model));
    EYESHOT_RETURN_IF_ERROR(session->Prefill(std::move(picture), question, max_tokens));
    return session;
  }

  std::span<const float> visual_tokens() const { return visual_tokens_; }
  int64_t width() const { return model_.config().text.hidden_size; }
  // Of the next token; float32, on the host.
  std::span<const float> Logits() {
    const MatrixView logits = runner_->logits();
    logits_.resize(static_cast<size_t>(logits.cols));
    model_.backend().Download(*stream_, logits.data, logits_.data(), logits_.size() * sizeof(float));
    return logits_;
  }
  Status Step(int32_t token) { return runner_->Step(*stream_, *cache_, *sequence_, token); }
  bool IsStop(int32_t token) const {
    const std::vector<int32_t>& stops = model_.generation().eos_token_ids;
    return std::find(stops.begin(), stops.end(), token) != stops.end() ||
           model_.tokenizer().TokenId("<end_of_utterance>") == token;
  }

 private:
  explicit Session(VisionLanguageModel& model)
      : model_(model), stream_(model.backend().NewStream()), conversation_(model) {}

  Status Prefill(std::shared_ptr<const Image> picture, const std::string& question, int64_t max_tokens) {
    Backend& backend = model_.backend();
    ThreadPool pool(backend.info().threads);
    Tiles tiles;
    EYESHOT_RETURN_IF_ERROR(model_.image_processor().Append(*picture, false, pool, tiles));
    EYESHOT_RETURN_IF_ERROR(
        conversation_.Add(Message::User({std::move(picture), question}), PictureDetail{PictureDetail::Kind::kLow, 0}));
    EYESHOT_ASSIGN_OR_RETURN(const PromptPlan plan, conversation_.Plan());
    const int64_t count = tiles.count() * model_.config().visual_tokens_per_tile();
    visual_tokens_.resize(static_cast<size_t>(count * width()));
    EYESHOT_ASSIGN_OR_RETURN(visual_buffer_, backend.Allocate(visual_tokens_.size() * sizeof(float), "visual tokens"));
    const MatrixView rows(visual_buffer_.data(), DType::kF32, count, width(), width());
    EYESHOT_CHECK(backend.info().activation == DType::kF32);
    Ledger ledger;
    EYESHOT_RETURN_IF_ERROR(
        model_.Encode(*stream_, tiles.rgb.data(), tiles.count(), TileKind::kPicture, rows, ledger, {}, nullptr));
    backend.Download(*stream_, visual_buffer_.data(), visual_tokens_.data(), visual_tokens_.size() * sizeof(float));
    EYESHOT_CHECK(conversation_.visuals().size() == 1);
    conversation_.visuals()[0].rows = rows;

    const auto needed = static_cast<int64_t>(plan.ids.size()) + max_tokens;
    if (needed > model_.config().text.max_positions) {
      return ContextFullError(fmt::format("picture, question and answer need {} tokens, the model takes {}", needed,
                                          model_.config().text.max_positions),
                              "use a smaller picture or a shorter answer");
    }
    const KvCacheShape shape = model_.decoder().CacheShape(needed, kKvBlockSize, KvFormat::kHalf);
    EYESHOT_ASSIGN_OR_RETURN(cache_, backend.NewKvCache(shape));
    EYESHOT_ASSIGN_OR_RETURN(runner_, DecoderRunner::Create(model_, needed));
    blocks_ = std::make_unique<BlockPool>(shape.blocks);
    sequence_ = std::make_unique<KvSequence>(*blocks_, shape, needed);
    return runner_->Prefill(*stream_, *cache_, *sequence_, plan, conversation_.visuals(), {});
  }

  VisionLanguageModel& model_;
  std::unique_ptr<Stream> stream_;
  Conversation conversation_;
  Buffer visual_buffer_;
  std::vector<float> visual_tokens_;
  std::vector<float> logits_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<BlockPool> blocks_;
  std::unique_ptr<KvSequence> sequence_;
  std::unique_ptr<DecoderRunner> runner_;
};

// Sums of two vectors' products, for cosines.
struct Products {
  double ab = 0;
  double aa = 0;
  double bb = 0;
  double Cosine() const { return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : aa == bb ? 1.0 : 0.0; }
};

void CompareVisuals(const Session& reference, const Session& other, Products& all, ModelComparison& result) {
  const std::span<const float> a = reference.visual_tokens();
  const std::span<const float> b = other.visual_tokens();
  EYESHOT_CHECK(a.size() == b.size());
  const auto width = static_cast<size_t>(reference.width());
  for (size_t row = 0; row < a.size(); row += width) {
    Products products;
    for (size_t i = row; i < row + width; ++i) {
      products.ab += double{a[i]} * b[i];
      products.aa += double{a[i]} * a[i];
      products.bb += double{b[i]} * b[i];
    }
    all.ab += products.ab;
    all.aa += products.aa;
    all.bb += products.bb;
    result.worst_visual_cosine = std::min(result.worst_visual_cosine, products.Cosine());
    ++result.visual_tokens;
  }
}

double LogSumExp(std::span<const float> logits) {
  const double highest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - highest);
  return highest + std::log(sum);
}

// Kullback-Leibler divergence of softmax(b) from softmax(a), in nats.
double Divergence(std::span<const float> a, std::span<const float> b) {
  const double sum_a = LogSumExp(a);
  const double sum_b = LogSumExp(b);
  double divergence = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double log_a = a[i] - sum_a;
    divergence += std::exp(log_a) * (log_a - (b[i] - sum_b));
  }
  return divergence;
}

int32_t Best(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

Status CompareAnswers(Session& reference, Session& other, int64_t max_tokens, ModelComparison& result) {
  for (int64_t i = 0; i < max_tokens; ++i) {
    const std::span<const float> a = reference.Logits();
    const std::span<const float> b = other.Logits();
    const int32_t token = Best(a);
    ++result.positions;
    result.same_best += Best(b) == token ? 1 : 0;
    result.mean_divergence += Divergence(a, b);
    if (reference.IsStop(token) || i + 1 == max_tokens) break;
    EYESHOT_RETURN_IF_ERROR(reference.Step(token));
    EYESHOT_RETURN_IF_ERROR(other.Step(token));
  }
  return Status::Ok();
}

}  // namespace

Result<ModelComparison> CompareModels(VisionLanguageModel& reference, VisionLanguageModel& other,
                                      std::span<const std::shared_ptr<const Image>> pictures,
                                      const std::string& question, int64_t max_tokens,
                                      const std::function<void(double)>& on_progress) {
  ModelComparison result;
  Products all;
  for (size_t i = 0; i < pictures.size(); ++i) {
    EYESHOT_ASSIGN_OR_RETURN(const auto a, Session::Start(reference, pictures[i], question, max_tokens));
    EYESHOT_ASSIGN_OR_RETURN(const auto b, Session::Start(other, pictures[i], question, max_tokens));
    CompareVisuals(*a, *b, all, result);
    EYESHOT_RETURN_IF_ERROR(CompareAnswers(*a, *b, max_tokens, result));
    if (on_progress) on_progress(static_cast<double>(i + 1) / static_cast<double>(pictures.size()));
  }
  result.visual_cosine = all.Cosine();
  if (result.positions > 0) result.mean_divergence /= static_cast<double>(result.positions);
  return result;
}

}  // namespace eyeshot
