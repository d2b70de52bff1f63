#include "cli/request_estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "models/model_source.h"
#include "reduce/reducer.h"
#include "reduce/tome.h"
#include "runtime/engine_parts.h"

namespace eyeshot::cli {
namespace {

// A step takes longer the more tokens are before it: the mean of an answer of so many is told.
constexpr int64_t kAnswerTokens = 32;

// Pictures without pixels, behind which the texts are.
Message MessageOf(const server::EstimateRequest& request) {
  Message message{.role = Role::kUser};
  for (const auto& [width, height] : request.pictures) {
    auto picture = std::make_shared<Image>();
    picture->width = width;
    picture->height = height;
    message.parts.emplace_back(std::shared_ptr<const Image>(std::move(picture)));
  }
  if (!request.text.empty() || message.parts.empty()) message.parts.emplace_back(request.text);
  if (request.options.question_first) PutTextsFirst(message.parts);
  return message;
}

}  // namespace

RequestEstimator::RequestEstimator(std::shared_ptr<Engine> engine, const ModelFlags& flags)
    : engine_(std::move(engine)), model_(*PartsOf(*engine_).model) {
  if (const Status found = FindCosts(flags); !found.ok()) no_speed_ = found.message();
}

Status RequestEstimator::FindCosts(const ModelFlags& flags) {
  if (engine_->info().device != "cpu") return UnsupportedError("a GPU's speed isn't known", "time a question");
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags, found.dir)));
  EYESHOT_ASSIGN_OR_RETURN(precision_, ChoosePrecision(source, flags.precision, model_.backend()));
  EYESHOT_ASSIGN_OR_RETURN(precision_.kv_cache, ParseKvFormat(flags.kv_cache));
  shapes_ = {.name = engine_->info().name, .path = found.dir, .config = source.config()};
  if (shapes_.config.has_vision()) {
    EYESHOT_ASSIGN_OR_RETURN(shapes_.processing, source.Processor());
  }
  EYESHOT_ASSIGN_OR_RETURN(speed_, FindSpeed("", model_.backend()));
  return Status::Ok();
}

Result<server::Estimate> RequestEstimator::Of(const server::EstimateRequest& request) const {
  EYESHOT_ASSIGN_OR_RETURN(const ReduceSpec reduce, ParseReduceSpec(request.options.reduce));
  const int64_t context = engine_->info().context_tokens;
  Conversation conversation(model_);
  EYESHOT_RETURN_IF_ERROR(conversation.Add(MessageOf(request), request.options.detail, reduce));
  const int64_t room = std::max<int64_t>(1, context - request.earlier_tokens);
  EYESHOT_ASSIGN_OR_RETURN(const PromptPlan plan, conversation.PlanToFit(request.options.detail, room));
  server::Estimate estimate{
      .tiles = plan.tiles,
      .visual_tokens = plan.visual_tokens,
      .prompt_tokens = request.earlier_tokens + static_cast<int64_t>(plan.ids.size()),
      .answer_tokens = std::min<int64_t>(request.options.max_tokens, conversation.AnswerRoom(plan, room)),
      .context_tokens = context};
  AddPictureCosts(model_, conversation.visuals(), estimate.pictures);
  estimate.not_predicted = Predict(request, conversation, estimate);
  return estimate;
}

std::string RequestEstimator::Predict(const server::EstimateRequest& request, Conversation& conversation,
                                      server::Estimate& estimate) const {
  if (!speed_) return no_speed_;
  plan::CutRequest cut{.grids = {},
                       .request = {.tiles = estimate.tiles,
                                   .visual_tokens = estimate.visual_tokens,
                                   .prompt_tokens = estimate.prompt_tokens,
                                   .cached_tokens = request.earlier_tokens,
                                   .output_tokens = std::clamp<int64_t>(estimate.answer_tokens, 1, kAnswerTokens)}};
  for (const Visual& visual : conversation.visuals()) {
    cut.grids.push_back(visual.grid);
    if (visual.reduce.reducer != nullptr && visual.reduce.reducer->in_tower) {
      cut.request.tower_patches = PatchesLeft(shapes_.config.vision, visual.keep.front());
    }
  }
  const plan::Workload workload{.pictures = request.pictures, .output_tokens = cut.request.output_tokens};
  const plan::Variant variant{.detail = request.options.detail, .precision = precision_};
  const plan::Place place{.backend = &model_.backend(), .speed = &speed_->speed};
  const Result<plan::CostEstimate> cost = plan::EstimateCost(shapes_, workload, variant, place, cut);
  if (!cost.ok()) return cost.status().message();
  server::Prediction prediction{.from = fmt::format("measured on {}", speed_->speed.date), .doubts = speed_->doubts};
  for (size_t i = 0; i < static_cast<size_t>(StageId::kDecode); ++i) {
    const auto id = static_cast<StageId>(i);
    prediction.ledger.Add(id, {.wall_ns = cost->ledger.cost(id).wall_ns});
  }
  const bool knows = prediction.ledger.cost(StageId::kPrefill).wall_ns > 0 &&
                     (estimate.tiles == 0 || prediction.ledger.cost(StageId::kEncode).wall_ns > 0);
  if (!knows) return "this precision was not measured: run `eyeshot plan --calibrate` again";
  prediction.token_ms = static_cast<double>(cost->ledger.cost(StageId::kDecode).wall_ns) * 1e-6 /
                        static_cast<double>(cut.request.output_tokens);
  estimate.prediction = std::move(prediction);
  return "";
}

}  // namespace eyeshot::cli
