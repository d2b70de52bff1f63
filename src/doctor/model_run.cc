#include "doctor/model_run.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/threads.h"
#include "runtime/conversation.h"
#include "runtime/decoder_runner.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {
namespace {

std::vector<float> DownloadRow(Backend& backend, Stream& stream, const MatrixView& matrix, int64_t row) {
  EYESHOT_CHECK(matrix.dtype == DType::kF32);
  std::vector<float> values(static_cast<size_t>(matrix.cols));
  backend.Download(stream, matrix.Rows(row, 1).data, values.data(), values.size() * sizeof(float));
  return values;
}

// Keeps those rows of `matrix` that `wanted` names, where row 0 is row `first` of the whole.
void Keep(Backend& backend, Stream& stream, const MatrixView& matrix, int64_t first, const std::vector<int64_t>& wanted,
          std::vector<std::vector<float>>& kept) {
  auto next = std::lower_bound(wanted.begin(), wanted.end(), first);
  for (; next != wanted.end() && *next < first + matrix.rows; ++next) {
    kept.push_back(DownloadRow(backend, stream, matrix, *next - first));
  }
}

// Keeps rows of the tower's output, group of tiles by group of tiles.
class TowerRecorder final : public LayerHook {
 public:
  TowerRecorder(const std::vector<int64_t>& wanted, RunOutputs& outputs) : wanted_(wanted), outputs_(outputs) {}
  bool WantsColumnMean(int64_t) const override { return false; }
  Status AfterTower(Backend& backend, Stream& stream, TokenRuns& runs) override {
    EYESHOT_RETURN_IF_ERROR(backend.Sync(stream));
    Keep(backend, stream, runs.x, outputs_.tower_rows, wanted_, outputs_.tower);
    outputs_.tower_rows += runs.x.rows;
    return Status::Ok();
  }

 private:
  const std::vector<int64_t>& wanted_;
  RunOutputs& outputs_;
};

class Run {
 public:
  Run(VisionLanguageModel& model, const WantedRows& wanted)
      : model_(model),
        backend_(model.backend()),
        wanted_(wanted),
        stream_(backend_.NewStream()),
        conversation_(model) {}

  Status Encode(const std::shared_ptr<const Image>& picture, bool split);
  Status Prefill(int64_t answer_tokens);
  Status Follow(std::span<const int32_t> answer);

  Conversation& conversation() { return conversation_; }
  RunOutputs& outputs() { return outputs_; }

 private:
  void KeepLogits(const MatrixView& rows, int64_t first);

  VisionLanguageModel& model_;
  Backend& backend_;
  const WantedRows& wanted_;
  std::unique_ptr<Stream> stream_;
  Conversation conversation_;
  RunOutputs outputs_;
  Buffer visual_tokens_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<BlockPool> blocks_;
  std::unique_ptr<KvSequence> sequence_;
  std::unique_ptr<DecoderRunner> runner_;
};

Status Run::Encode(const std::shared_ptr<const Image>& picture, bool split) {
  ThreadPool pool(backend_.info().threads);
  Tiles tiles;
  EYESHOT_RETURN_IF_ERROR(model_.image_processor().Append(*picture, split, pool, tiles));
  const int64_t width = model_.config().text.hidden_size;
  const int64_t count = tiles.count() * model_.config().visual_tokens_per_tile();
  EYESHOT_CHECK(backend_.info().activation == DType::kF32 && conversation_.visuals().size() == 1);
  EYESHOT_ASSIGN_OR_RETURN(visual_tokens_,
                           backend_.Allocate(static_cast<size_t>(count * width) * sizeof(float), "visual tokens"));
  const MatrixView rows(visual_tokens_.data(), DType::kF32, count, width, width);
  TowerRecorder recorder(wanted_.tower, outputs_);
  Ledger ledger;
  EYESHOT_RETURN_IF_ERROR(
      model_.Encode(*stream_, tiles.rgb.data(), tiles.count(), TileKind::kPicture, rows, ledger, {}, &recorder));
  Keep(backend_, *stream_, rows, 0, wanted_.connector, outputs_.connector);
  outputs_.connector_rows = count;
  conversation_.visuals()[0].rows = rows;
  return Status::Ok();
}

// `rows` are positions [first, ...) after all layers.
void Run::KeepLogits(const MatrixView& rows, int64_t first) {
  const int64_t vocabulary = model_.config().text.vocab_size;
  std::vector<float> normed(static_cast<size_t>(rows.cols));
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  auto next = std::lower_bound(wanted_.logits.begin(), wanted_.logits.end(), first);
  for (; next != wanted_.logits.end() && *next < first + rows.rows; ++next) {
    const MatrixView normed_view(normed.data(), DType::kF32, 1, rows.cols, rows.cols);
    const MatrixView logits_view(logits.data(), DType::kF32, 1, vocabulary, vocabulary);
    model_.decoder().FinalNorm(*stream_, rows.Rows(*next - first, 1), normed_view);
    model_.decoder().Head(*stream_, normed_view, logits_view);
    outputs_.logits.push_back(logits);
  }
}

Status Run::Prefill(int64_t answer_tokens) {
  EYESHOT_ASSIGN_OR_RETURN(const PromptPlan plan, conversation_.Plan());
  outputs_.ids = plan.ids;
  const int64_t needed = static_cast<int64_t>(plan.ids.size()) + answer_tokens;
  if (needed > model_.config().text.max_positions) {
    return ContextFullError(fmt::format("picture, question and answer need {} tokens, the model takes {}", needed,
                                        model_.config().text.max_positions),
                            "make the dump with a smaller picture or --no-split");
  }
  const KvCacheShape shape = model_.decoder().CacheShape(needed, kKvBlockSize, KvFormat::kHalf);
  EYESHOT_ASSIGN_OR_RETURN(cache_, backend_.NewKvCache(shape));
  EYESHOT_ASSIGN_OR_RETURN(runner_, DecoderRunner::Create(model_, needed));
  blocks_ = std::make_unique<BlockPool>(shape.blocks);
  sequence_ = std::make_unique<KvSequence>(*blocks_, shape, needed);
  int64_t first = 0;
  const auto keep = [&](double) {  // called after each chunk, while its rows are still there
    KeepLogits(runner_->last_rows(), first);
    first = sequence_->size();
    return true;
  };
  return runner_->Prefill(*stream_, *cache_, *sequence_, plan, conversation_.visuals(), keep);
}

Status Run::Follow(std::span<const int32_t> answer) {
  for (const int32_t token : answer) {
    outputs_.answer.push_back(DownloadRow(backend_, *stream_, runner_->logits(), 0));
    EYESHOT_RETURN_IF_ERROR(runner_->Step(*stream_, *cache_, *sequence_, token));
  }
  return Status::Ok();
}

}  // namespace

Result<RunOutputs> RunModel(VisionLanguageModel& model, std::shared_ptr<const Image> picture,
                            const std::string& question, bool split, const WantedRows& wanted,
                            std::span<const int32_t> answer) {
  Run run(model, wanted);
  const PictureDetail detail{split ? PictureDetail::Kind::kReference : PictureDetail::Kind::kLow, 0};
  EYESHOT_RETURN_IF_ERROR(run.conversation().Add(Message::User({picture, question}), detail));
  EYESHOT_RETURN_IF_ERROR(run.Encode(picture, split));
  EYESHOT_RETURN_IF_ERROR(run.Prefill(static_cast<int64_t>(answer.size())));
  EYESHOT_RETURN_IF_ERROR(run.Follow(answer));
  return std::move(run.outputs());
}

}  // namespace eyeshot
