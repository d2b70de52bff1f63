#include "cli/picture_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "models/model_source.h"

namespace eyeshot::cli {
namespace {

// A token of English has about so many bytes; the question is the smallest part of the prompt.
constexpr int64_t kBytesPerToken = 4;

}  // namespace

Result<std::unique_ptr<PictureBudget>> PictureBudget::Create(const std::string& text, const ModelFlags& flags) {
  std::unique_ptr<PictureBudget> budget(new PictureBudget());
  EYESHOT_ASSIGN_OR_RETURN(budget->budget_, plan::ParseBudget(text));
  if (flags.device != "auto" && flags.device != "cpu") {
    return UnsupportedError(fmt::format("--budget on {}", flags.device),
                            "leave it out, or use --device cpu: a GPU's speed isn't known");
  }
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags, found.dir)));
  if (!source.config().has_vision()) {
    return UnsupportedError("a budget for a model that reads text alone", "leave --budget out");
  }
  EYESHOT_ASSIGN_OR_RETURN(budget->backend_, CreateBackend({.name = flags.backend, .threads = flags.threads}));
  EYESHOT_ASSIGN_OR_RETURN(budget->precision_, ChoosePrecision(source, flags.precision, *budget->backend_));
  EYESHOT_ASSIGN_OR_RETURN(budget->precision_.kv_cache, ParseKvFormat(flags.kv_cache));
  EYESHOT_ASSIGN_OR_RETURN(budget->speed_, FindSpeed("", *budget->backend_));
  budget->model_ = {.name = found.name, .path = found.dir, .config = source.config()};
  EYESHOT_ASSIGN_OR_RETURN(budget->model_.processing, source.Processor());
  return budget;
}

Result<PictureDetail> PictureBudget::Plan(const std::vector<ContentPart>& parts, const AskOptions& options) {
  plan::Workload workload{.question_tokens = 0, .output_tokens = std::min<int64_t>(kAnswerTokens, options.max_tokens)};
  for (const ContentPart& part : parts) {
    if (const auto* text = std::get_if<std::string>(&part)) {
      workload.question_tokens += static_cast<int64_t>(text->size()) / kBytesPerToken + 1;
    } else if (const auto* image = std::get_if<std::shared_ptr<const Image>>(&part)) {
      workload.pictures.emplace_back(std::max((*image)->width, (*image)->full_width),
                                     std::max((*image)->height, (*image)->full_height));
    } else {
      return InvalidArgumentError("a budget for a clip", "leave --budget out, or take fewer frames (--max-frames)");
    }
  }
  const plan::Place place{.backend = backend_.get(), .speed = &speed_.speed};
  // No reducer of pictures runs yet in a chat: tiles alone are saved.
  EYESHOT_ASSIGN_OR_RETURN(plan_, plan::PlanFor(model_, workload, precision_, place, budget_, false, watch_));
  return plan_.detail;
}

void PictureBudget::Observe(const Answer& answer) {
  Ledger measured;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    uint64_t wall_ns = answer.ledger.cost(id).wall_ns;
    if (id == StageId::kDecode && answer.completion_tokens > 0) {  // as long as was planned
      wall_ns = wall_ns * static_cast<uint64_t>(plan_.cost.request.output_tokens) /
                static_cast<uint64_t>(answer.completion_tokens);
    }
    measured.Add(id, {.wall_ns = wall_ns});
  }
  off_.clear();
  watch_.Observe(plan_.cost.ledger, measured, &off_);
}

OrderedJson PictureBudget::ToJson() const {
  return {{"detail", PictureDetailName(plan_.detail)},
          {"within", plan_.within},
          {"planned_ms", plan_.cost.seconds() * 1e3},
          {"why", plan_.why},
          {"off", off_}};
}

}  // namespace eyeshot::cli
