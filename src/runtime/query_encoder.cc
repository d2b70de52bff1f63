#include "runtime/query_encoder.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "ledger/stage.h"

namespace eyeshot {

Result<std::unique_ptr<QueryEncoder>> QueryEncoder::Create(const VisionLanguageModel& model, int64_t context_tokens) {
  Backend& backend = model.backend();
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> cache,
                           backend.NewKvCache(model.decoder().CacheShape(context_tokens, kKvBlockSize)));
  const size_t bytes = static_cast<size_t>(model.config().text.hidden_size) * DTypeBytes(backend.info().activation);
  EYESHOT_ASSIGN_OR_RETURN(Buffer row, backend.Allocate(bytes, "the question's embedding"));
  return std::unique_ptr<QueryEncoder>(new QueryEncoder(model, std::move(cache), std::move(row), context_tokens));
}

QueryEncoder::QueryEncoder(const VisionLanguageModel& model, std::unique_ptr<KvCache> cache, Buffer row,
                           int64_t context_tokens)
    : model_(model),
      cache_(std::move(cache)),
      pool_(cache_->shape.blocks),
      sequence_(pool_, cache_->shape, context_tokens),
      row_(std::move(row)) {}

PromptPlan QueryEncoder::Plan(std::string_view question) const {
  PromptPlan plan;
  plan.ids = model_.tokenizer().Encode(question);
  const int32_t first = model_.tokenizer().TokenId("<|im_start|>").value_or(0);
  const auto room = static_cast<size_t>(sequence_.capacity() - 1);
  if (plan.ids.size() > room) plan.ids.erase(plan.ids.begin(), plan.ids.end() - static_cast<std::ptrdiff_t>(room));
  plan.ids.insert(plan.ids.begin(), first);
  plan.keys.assign(plan.ids.begin(), plan.ids.end());
  return plan;
}

Result<ConstMatrixView> QueryEncoder::Encode(Stream& stream, DecoderRunner& runner, std::string_view question,
                                             Ledger& ledger) {
  Stage stage(ledger, StageId::kConnect, &stream);
  const PromptPlan plan = Plan(question);
  sequence_.Truncate(0);
  EYESHOT_RETURN_IF_ERROR(runner.Prefill(stream, *cache_, sequence_, plan, {}, {}));
  const MatrixView rows = runner.last_rows();
  const int64_t hidden = model_.config().text.hidden_size;
  const MatrixView row(row_.data(), model_.backend().info().activation, 1, hidden, hidden);
  model_.decoder().FinalNorm(stream, rows.Rows(rows.rows - 1, 1), row);
  return ConstMatrixView(row);
}

}  // namespace eyeshot
