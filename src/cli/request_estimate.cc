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

// Frames without pixels.
std::shared_ptr<const Frames> FramesOf(const server::EstimateClip& clip) {
  auto frames = std::make_shared<Frames>();
  frames->images.resize(clip.timestamps_s.size());
  frames->timestamps_s = clip.timestamps_s;
  frames->duration_s = clip.duration_s;
  frames->source.width = clip.width;
  frames->source.height = clip.height;
  return frames;
}

plan::Workload WorkloadOf(const server::EstimateRequest& request) {
  plan::Workload workload = plan::EmptyWorkload(request.options);
  workload.pictures = request.pictures;
  for (const server::EstimateClip& clip : request.clips) {
    workload.clips.push_back(static_cast<int64_t>(clip.timestamps_s.size()));
  }
  plan::AddParts(std::vector<ContentPart>{request.text}, workload);
  workload.history_tokens = request.earlier_tokens;
  return workload;
}

// Pictures and clips without pixels, behind which the texts are.
Message MessageOf(const server::EstimateRequest& request) {
  Message message{.role = Role::kUser};
  for (const auto& [width, height] : request.pictures) {
    auto picture = std::make_shared<Image>();
    picture->width = width;
    picture->height = height;
    message.parts.emplace_back(std::shared_ptr<const Image>(std::move(picture)));
  }
  for (const server::EstimateClip& clip : request.clips) message.parts.emplace_back(FramesOf(clip));
  if (!request.text.empty() || message.parts.empty()) message.parts.emplace_back(request.text);
  if (request.options.question_first) PutTextsFirst(message.parts);
  return message;
}

}  // namespace

RequestEstimator::RequestEstimator(std::shared_ptr<Engine> engine, server::RequestPlanner planner)
    : engine_(std::move(engine)), model_(*PartsOf(*engine_).model), planner_(std::move(planner)) {}

Result<server::Estimate> RequestEstimator::Of(const server::EstimateRequest& request) const {
  AskOptions options = request.options;
  std::optional<server::PlannedRequest> planned;
  if (request.limit) {
    EYESHOT_ASSIGN_OR_RETURN(planned, server::PlanWorkload(planner_, *request.limit, WorkloadOf(request), options));
  }
  EYESHOT_ASSIGN_OR_RETURN(const ReduceSpec reduce, ParseReduceSpec(options.reduce));
  const int64_t context = engine_->info().context_tokens;
  Conversation conversation(model_);
  EYESHOT_RETURN_IF_ERROR(conversation.Add(MessageOf(request), options.detail, reduce));
  const int64_t room = std::max<int64_t>(1, context - request.earlier_tokens);
  EYESHOT_ASSIGN_OR_RETURN(const PromptPlan plan, conversation.PlanToFit(options.detail, room));
  server::Estimate estimate{
      .tiles = plan.tiles,
      .visual_tokens = plan.visual_tokens,
      .prompt_tokens = request.earlier_tokens + static_cast<int64_t>(plan.ids.size()),
      .answer_tokens = std::min<int64_t>(request.options.max_tokens, conversation.AnswerRoom(plan, room)),
      .context_tokens = context};
  AddPictureCosts(model_, conversation.visuals(), estimate.pictures);
  estimate.not_predicted = Predict(request, options, conversation, estimate);
  estimate.planned = std::move(planned);
  return estimate;
}

std::string RequestEstimator::Predict(const server::EstimateRequest& request, const AskOptions& options,
                                      Conversation& conversation, server::Estimate& estimate) const {
  if (!planner_.ok()) return planner_.status().message();
  const plan::QuestionPlanner& planner = **planner_;
  const plan::ModelHere& here = planner.here();
  plan::CutRequest cut{
      .grids = {},
      .request = {.tiles = estimate.tiles,
                  .visual_tokens = estimate.visual_tokens,
                  .prompt_tokens = estimate.prompt_tokens,
                  .cached_tokens = request.earlier_tokens,
                  // A step takes longer the more tokens are before it: the mean of an
                  // answer of so many is told.
                  .output_tokens = std::clamp<int64_t>(estimate.answer_tokens, 1, plan::kPlannedAnswerTokens)}};
  for (const Visual& visual : conversation.visuals()) {
    if (visual.image != nullptr) cut.grids.push_back(visual.grid);
    if (visual.reduce.reducer != nullptr && visual.reduce.reducer->in_tower) {
      cut.request.tower_patches = PatchesLeft(here.model.config.vision, visual.keep.front());
    }
  }
  const plan::Workload workload{.pictures = request.pictures, .output_tokens = cut.request.output_tokens};
  const plan::Variant variant{.detail = options.detail, .precision = here.loaded.precision};
  const plan::Place place{.backend = &model_.backend(), .speed = &here.speed};
  Result<plan::CostEstimate> cost = plan::EstimateCost(here.model, workload, variant, place, cut);
  if (!cost.ok()) return cost.status().message();
  cost->ledger = planner.Corrected(cost->ledger);
  server::Prediction prediction{.from = fmt::format("measured on {}", here.speed.date), .doubts = here.doubts};
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
