#include "plan/question.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "plan/keep.h"
#include "reduce/reducer.h"
#include "reduce/tome.h"

namespace eyeshot::plan {
namespace {

// A token of English has about so many bytes; the question is the smallest part of the prompt.
constexpr int64_t kBytesPerToken = 4;

bool IsBudget(const Keep& keep) { return keep.kind == Keep::Kind::kMilliseconds || keep.kind == Keep::Kind::kJoules; }

// What a reducer that gives frames different numbers leaves of clips.
int64_t ClipTokens(const Reducer& reducer, const std::vector<int64_t>& clips, int64_t keep, int64_t per_frame) {
  int64_t tokens = 0;
  for (const int64_t frames : clips) {
    const std::vector<int64_t> asked(static_cast<size_t>(frames), keep);
    const std::vector<int64_t> counts = reducer.counts(asked, per_frame);
    tokens += std::accumulate(counts.begin(), counts.end(), int64_t{0});
  }
  return tokens;
}

// What a reducer with tokens or shares makes of each tile.
Result<Variant> FixedKeep(const ReduceSpec& spec, const ModelConfig& config, const Workload& workload) {
  Variant variant;
  if (spec.reducer == nullptr) return variant;
  if (spec.reducer->in_tower) {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t patches, TokensToKeep(spec.keep, config.vision.patches()));
    variant.tower_keep = patches;
    variant.tower_patches = PatchesLeft(config.vision, patches);
    return variant;
  }
  const int64_t all = config.visual_tokens_per_tile();
  const auto kept = [&](const Keep& keep) -> Result<int64_t> {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t tokens, TokensToKeep(keep, all));
    if (tokens > 0) return tokens == all ? 0 : tokens;
    return InvalidArgumentError("a budget where no visual token stays", "leave the budget out, or keep some");
  };
  EYESHOT_ASSIGN_OR_RETURN(variant.keep, kept(spec.keep));
  if (spec.reducer->counts != nullptr && !workload.clips.empty()) {
    variant.clip_tokens = ClipTokens(*spec.reducer, workload.clips, variant.keep == 0 ? all : variant.keep, all);
  }
  if (!spec.global) return variant;
  EYESHOT_ASSIGN_OR_RETURN(variant.keep_global, kept(*spec.global));
  return variant;
}

Status CheckReducer(const ReduceSpec& spec, const Workload& workload) {
  if (spec.reducer == nullptr || !spec.reducer->clips_only || workload.pictures.empty()) return Status::Ok();
  return InvalidArgumentError(
      fmt::format("{} compares the frames of a clip, and there are pictures", spec.reducer->name),
      "use another reducer (stride)");
}

// Whether a stage did the work that was planned for it, and may be compared.
bool SameWork(StageId id, const QuestionPlan& plan, const Answer& answer, bool alone) {
  const bool of_tiles = id >= StageId::kPreprocess && id <= StageId::kReduce;
  const Ledger& planned = plan.cost.ledger;
  // Pictures may be in a cache, or were made smaller to fit.
  if (of_tiles) return planned.cost(StageId::kEncode).tokens == answer.ledger.cost(StageId::kEncode).tokens;
  if (id == StageId::kPrefill) {
    // What all prompts begin with is in a cache soon, and of no account beside pictures.
    const int64_t read = plan.cost.request.prompt_tokens - plan.cost.request.cached_tokens;
    return answer.cached_tokens - plan.cost.request.cached_tokens <= read / 10;
  }
  return id != StageId::kDecode || (alone && answer.completion_tokens > 0);
}

}  // namespace

Result<std::optional<QuestionLimit>> LimitOf(std::string_view budget, std::string_view reduce) {
  QuestionLimit limit;
  EYESHOT_ASSIGN_OR_RETURN(limit.reduce, ParseReduceSpec(reduce));
  const ReduceSpec& spec = limit.reduce;
  if (spec.global && IsBudget(*spec.global)) {
    return InvalidArgumentError(fmt::format("reduce {}: the view of the whole picture has a budget of its own", reduce),
                                "give tokens, a share or all for global; the budget is of the whole question");
  }
  limit.of_keep = IsBudget(spec.keep);
  if (budget.empty() && !limit.of_keep) return std::optional<QuestionLimit>();
  if (!budget.empty() && limit.of_keep) {
    return InvalidArgumentError(fmt::format("a budget of {} and reduce {}: two budgets", budget, reduce),
                                "give one of them, and tokens a tile or none for reduce");
  }
  if (limit.of_keep) {
    (spec.keep.kind == Keep::Kind::kJoules ? limit.budget.joules : limit.budget.ms) = spec.keep.value;
  } else {
    EYESHOT_ASSIGN_OR_RETURN(limit.budget, ParseBudget(budget));
  }
  return std::optional(std::move(limit));
}

std::string QuestionPlanJson(const QuestionPlan& plan, std::span<const std::string> doubts, std::string_view off) {
  using OrderedJson = nlohmann::ordered_json;
  const Joules joules = plan.cost.joules();
  const bool known = joules.source != EnergySource::kNone;
  const OrderedJson json = {{"detail", PictureDetailName(plan.detail)},
                            {"reduce", plan.reduce},
                            {"within", plan.within},
                            {"planned_ms", plan.cost.seconds() * 1e3},
                            {"planned_joules", known ? OrderedJson::parse(JoulesAsJson(joules)) : OrderedJson()},
                            {"why", plan.why},
                            {"doubts", std::vector<std::string>(doubts.begin(), doubts.end())},
                            {"off", off}};
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

Workload EmptyWorkload(const AskOptions& options) {
  return {.question_tokens = 0, .output_tokens = std::min<int64_t>(kPlannedAnswerTokens, options.max_tokens)};
}

void AddParts(std::span<const ContentPart> parts, Workload& workload) {
  for (const ContentPart& part : parts) {
    if (const auto* text = std::get_if<std::string>(&part)) {
      workload.question_tokens += static_cast<int64_t>(text->size()) / kBytesPerToken + 1;
    } else if (const auto* image = std::get_if<std::shared_ptr<const Image>>(&part)) {
      workload.pictures.emplace_back(std::max((*image)->width, (*image)->full_width),
                                     std::max((*image)->height, (*image)->full_height));
    } else {
      workload.clips.push_back(static_cast<int64_t>(std::get<std::shared_ptr<const Frames>>(part)->images.size()));
    }
  }
}

bool NeedsPlan(const QuestionLimit& limit, const Workload& workload, AskOptions& options) {
  if (!workload.pictures.empty() || !workload.clips.empty()) return true;
  if (limit.of_keep) options.reduce = "none";
  return false;
}

Result<QuestionPlan> QuestionPlanner::Plan(const QuestionLimit& limit, const Workload& workload,
                                           AskOptions& options) const {
  EYESHOT_RETURN_IF_ERROR(CheckReducer(limit.reduce, workload));
  StageWatch watch;
  uint64_t state = 0;
  {
    const std::lock_guard<std::mutex> turn(turn_);
    watch = watch_;
    state = state_;
  }
  EYESHOT_ASSIGN_OR_RETURN(QuestionPlan plan, limit.of_keep ? PlanKeep(limit, workload, watch, options)
                                                            : PlanDetail(limit, workload, watch, options));
  plan.state = state;
  options.detail = plan.detail;
  options.reduce = plan.reduce;
  return plan;
}

Result<QuestionPlan> QuestionPlanner::PlanDetail(const QuestionLimit& limit, const Workload& workload,
                                                 const StageWatch& watch, const AskOptions& options) const {
  const bool fixed = limit.reduce.reducer != nullptr;
  const Knowledge nothing;
  Choices choices;
  EYESHOT_ASSIGN_OR_RETURN(choices.base, FixedKeep(limit.reduce, here_.model.config, workload));
  if (fixed) choices.keeps = {choices.base.keep};
  // Frames of a clip are a view each, whatever the detail is.
  if (workload.pictures.empty()) choices.details = {options.detail};
  EYESHOT_ASSIGN_OR_RETURN(PicturePlan plan, PlanFor(here_.model, workload, here_.loaded, place(), limit.budget,
                                                     choices, fixed ? nothing : here_.knowledge, watch));
  return QuestionPlan{.detail = plan.detail,
                      .reduce = fixed ? options.reduce : std::move(plan.reduce),
                      .within = plan.within,
                      .cost = std::move(plan.cost),
                      .why = std::move(plan.why)};
}

Result<QuestionPlan> QuestionPlanner::PlanKeep(const QuestionLimit& limit, const Workload& workload,
                                               const StageWatch& watch, const AskOptions& options) const {
  const Reducer& reducer = *limit.reduce.reducer;
  const VisionConfig& vision = here_.model.config.vision;
  const int64_t tokens = here_.model.config.visual_tokens_per_tile();
  KeepRange range{.most = reducer.in_tower ? vision.patches() : tokens};
  if (reducer.in_tower) range.patches = [&vision](int64_t keep) { return PatchesLeft(vision, keep); };
  if (reducer.counts != nullptr && !workload.clips.empty()) {
    range.clip_tokens = [&](int64_t keep) { return ClipTokens(reducer, workload.clips, keep, tokens); };
  }
  ReduceSpec spec = limit.reduce;
  if (spec.global && !reducer.in_tower) {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t global, TokensToKeep(*spec.global, tokens));
    range.global = global == tokens ? 0 : std::max<int64_t>(1, global);
  }
  const Variant variant{.detail = options.detail, .precision = here_.loaded.precision};
  EYESHOT_ASSIGN_OR_RETURN(KeepPlan plan,
                           KeepWithin(here_.model, workload, variant, place(), limit.budget, range, watch));
  spec.keep = {Keep::Kind::kTokens, static_cast<double>(plan.keep)};
  return QuestionPlan{.detail = options.detail,
                      .reduce = ReduceSpecName(spec),
                      .cost = std::move(plan.cost),
                      .why = std::move(plan.why)};
}

std::string QuestionPlanner::Observe(const QuestionPlan& plan, const Answer& answer, bool alone) {
  Ledger measured;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    if (!SameWork(id, plan, answer, alone)) continue;
    uint64_t wall_ns = answer.ledger.cost(id).wall_ns;
    if (id == StageId::kDecode) {  // as long as was planned
      wall_ns = wall_ns * static_cast<uint64_t>(plan.cost.request.output_tokens) /
                static_cast<uint64_t>(answer.completion_tokens);
    }
    measured.Add(id, {.wall_ns = wall_ns});
  }
  std::string off;
  const std::lock_guard<std::mutex> turn(turn_);
  // What was planned before something else was learned says nothing of what is known now.
  if (plan.state == state_ && watch_.Observe(plan.cost.ledger, measured, &off)) ++state_;
  return off;
}

Ledger QuestionPlanner::Corrected(const Ledger& estimate) const {
  const std::lock_guard<std::mutex> turn(turn_);
  return watch_.Corrected(estimate);
}

}  // namespace eyeshot::plan
