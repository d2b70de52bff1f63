#include "cli/question_budget.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "cli/plan_points.h"
#include "models/model_source.h"
#include "reduce/reducer.h"
#include "reduce/tome.h"

namespace eyeshot::cli {
namespace {

// A token of English has about so many bytes; the question is the smallest part of the prompt.
constexpr int64_t kBytesPerToken = 4;

bool IsBudget(const Keep& keep) { return keep.kind == Keep::Kind::kMilliseconds || keep.kind == Keep::Kind::kJoules; }

// What a reducer with tokens or shares makes of each tile.
Result<plan::Variant> FixedKeep(const ReduceSpec& spec, const ModelConfig& config) {
  plan::Variant variant;
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
    return InvalidArgumentError("--budget where no visual token stays", "leave --budget out, or keep some");
  };
  EYESHOT_ASSIGN_OR_RETURN(variant.keep, kept(spec.keep));
  if (!spec.global) return variant;
  EYESHOT_ASSIGN_OR_RETURN(variant.keep_global, kept(*spec.global));
  return variant;
}

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

}  // namespace

void AddBudgetFlags(CLI::App& command, BudgetFlags& flags) {
  command
      .add_option("--budget", flags.budget,
                  "Milliseconds or joules that an answer of 32 tokens may take, as 500ms, 1.5s or 20J: fewer tiles are "
                  "taken, or what answers best by --points (after `eyeshot plan --calibrate`)")
      ->excludes("--detail")
      ->excludes("--no-split")
      ->type_name("B");
  AddWattsFlag(command, flags.watts);
  AddPointsFlag(command, flags.points);
}

void AddWattsFlag(CLI::App& command, double& watts) {
  command
      .add_option("--watts", watts, "Of this machine at work: for budgets in joules, where calibration had no meter")
      ->check(CLI::Range(0.0, 1e5))
      ->type_name("W");
}

Result<std::unique_ptr<QuestionBudget>> QuestionBudget::Create(const BudgetFlags& flags, const std::string& reduce,
                                                               const ModelFlags& model) {
  std::unique_ptr<QuestionBudget> budget(new QuestionBudget());
  EYESHOT_ASSIGN_OR_RETURN(budget->reduce_, ParseReduceSpec(reduce));
  const ReduceSpec& spec = budget->reduce_;
  budget->of_keep_ = IsBudget(spec.keep);
  if (spec.global && IsBudget(*spec.global)) {
    return InvalidArgumentError(
        fmt::format("in --reduce {} the view of the whole picture has a budget of its own", reduce),
        "give tokens, a share or all for global; the budget is of the whole question");
  }
  if (flags.budget.empty() && !budget->of_keep_) return std::unique_ptr<QuestionBudget>();
  if (!flags.budget.empty() && budget->of_keep_) {
    return InvalidArgumentError(fmt::format("--budget {} and --reduce {}: two budgets", flags.budget, reduce),
                                "give one of them, and tokens a tile or none for --reduce");
  }
  if (budget->of_keep_) {
    budget->flag_ = "--reduce " + reduce;
    (spec.keep.kind == Keep::Kind::kJoules ? budget->budget_.joules : budget->budget_.ms) = spec.keep.value;
  } else {
    budget->flag_ = "--budget";
    EYESHOT_ASSIGN_OR_RETURN(budget->budget_, plan::ParseBudget(flags.budget));
  }
  budget->watts_ = flags.watts;
  budget->knowledge_.law = plan::LawOf(budget->knowledge_.task);
  EYESHOT_RETURN_IF_ERROR(ReadPoints(flags.points, budget->knowledge_));
  EYESHOT_RETURN_IF_ERROR(budget->FindModelAndSpeed(model));
  return budget;
}

Status QuestionBudget::FindModelAndSpeed(const ModelFlags& flags) {
  if (flags.device != "auto" && flags.device != "cpu") {
    return UnsupportedError(fmt::format("{} on {}", flag_, flags.device),
                            "leave it out, or use --device cpu: a GPU's speed isn't known");
  }
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags, found.dir)));
  if (!source.config().has_vision()) {
    return UnsupportedError("a budget for a model that reads text alone", fmt::format("leave {} out", flag_));
  }
  EYESHOT_ASSIGN_OR_RETURN(backend_, CreateBackend({.name = flags.backend, .threads = flags.threads}));
  ModelPrecision& precision = loaded_.precision;
  EYESHOT_ASSIGN_OR_RETURN(precision, ChoosePrecision(source, flags.precision, *backend_));
  EYESHOT_ASSIGN_OR_RETURN(precision.kv_cache, ParseKvFormat(flags.kv_cache));
  loaded_.name = PointPrecision(flags.precision, PrecisionName(precision, *backend_));
  EYESHOT_ASSIGN_OR_RETURN(speed_, FindSpeed("", *backend_));
  model_ = {.name = found.name, .path = found.dir, .config = source.config()};
  EYESHOT_ASSIGN_OR_RETURN(model_.processing, source.Processor());
  return Status::Ok();
}

Result<plan::Workload> QuestionBudget::WorkloadOf(const std::vector<ContentPart>& parts,
                                                  const AskOptions& options) const {
  plan::Workload workload{.question_tokens = 0, .output_tokens = std::min<int64_t>(kAnswerTokens, options.max_tokens)};
  for (const ContentPart& part : parts) {
    if (const auto* text = std::get_if<std::string>(&part)) {
      workload.question_tokens += static_cast<int64_t>(text->size()) / kBytesPerToken + 1;
    } else if (const auto* image = std::get_if<std::shared_ptr<const Image>>(&part)) {
      workload.pictures.emplace_back(std::max((*image)->width, (*image)->full_width),
                                     std::max((*image)->height, (*image)->full_height));
    } else if (of_keep_) {
      workload.clips.push_back(static_cast<int64_t>(std::get<std::shared_ptr<const Frames>>(part)->images.size()));
    } else {
      return InvalidArgumentError("a budget for a clip", "leave --budget out, or take fewer frames (--max-frames)");
    }
  }
  return workload;
}

Status QuestionBudget::Plan(const std::vector<ContentPart>& parts, const ModelInfo& info, AskOptions& options,
                            int64_t history_tokens) {
  planned_.reset();
  off_.clear();
  if (info.device != "cpu") {
    return UnsupportedError(fmt::format("{} on {}", flag_, info.device),
                            "leave it out, or use --device cpu: a GPU's speed isn't known");
  }
  EYESHOT_ASSIGN_OR_RETURN(plan::Workload workload, WorkloadOf(parts, options));
  workload.history_tokens = history_tokens;
  if (workload.pictures.empty() && workload.clips.empty()) {
    if (of_keep_) options.reduce = "none";
    return Status::Ok();
  }
  const Status status = of_keep_ ? PlanKeep(workload, options) : PlanDetail(workload, options);
  return status.ok() ? status : status.At(flag_);
}

Status QuestionBudget::PlanDetail(const plan::Workload& workload, AskOptions& options) {
  plan::Choices choices;
  EYESHOT_ASSIGN_OR_RETURN(choices.base, FixedKeep(reduce_, model_.config));
  const bool fixed = reduce_.reducer != nullptr;
  const plan::Knowledge nothing;
  if (fixed) choices.keeps = {choices.base.keep};
  EYESHOT_ASSIGN_OR_RETURN(const plan::PicturePlan plan, plan::PlanFor(model_, workload, loaded_, place(), budget_,
                                                                       choices, fixed ? nothing : knowledge_, watch_));
  options.detail = plan.detail;
  if (!fixed) options.reduce = plan.reduce;
  planned_ = {
      .detail = plan.detail, .reduce = options.reduce, .within = plan.within, .cost = plan.cost, .why = plan.why};
  return Status::Ok();
}

Status QuestionBudget::PlanKeep(const plan::Workload& workload, AskOptions& options) {
  const Reducer& reducer = *reduce_.reducer;
  if (reducer.clips_only && !workload.pictures.empty()) {
    return InvalidArgumentError(fmt::format("{} compares the frames of a clip, and there are pictures", reducer.name),
                                "use another reducer (stride)");
  }
  const VisionConfig& vision = model_.config.vision;
  const int64_t tokens = model_.config.visual_tokens_per_tile();
  plan::KeepRange range{.most = reducer.in_tower ? vision.patches() : tokens};
  if (reducer.in_tower) range.patches = [&vision](int64_t keep) { return PatchesLeft(vision, keep); };
  if (reducer.counts != nullptr && !workload.clips.empty()) {
    range.clip_tokens = [&](int64_t keep) { return ClipTokens(reducer, workload.clips, keep, tokens); };
  }
  ReduceSpec spec = reduce_;
  if (spec.global && !reducer.in_tower) {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t global, TokensToKeep(*spec.global, tokens));
    range.global = global == tokens ? 0 : std::max<int64_t>(1, global);
  }
  const plan::Variant variant{.detail = options.detail, .precision = loaded_.precision};
  EYESHOT_ASSIGN_OR_RETURN(const plan::KeepPlan plan,
                           plan::KeepWithin(model_, workload, variant, place(), budget_, range, watch_));
  spec.keep = {Keep::Kind::kTokens, static_cast<double>(plan.keep)};
  options.reduce = ReduceSpecName(spec);
  planned_ = {.detail = options.detail, .reduce = options.reduce, .cost = plan.cost, .why = plan.why};
  return Status::Ok();
}

void QuestionBudget::Observe(const Answer& answer) {
  if (!planned_) return;
  Ledger measured;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    uint64_t wall_ns = answer.ledger.cost(id).wall_ns;
    if (id == StageId::kDecode && answer.completion_tokens > 0) {  // as long as was planned
      wall_ns = wall_ns * static_cast<uint64_t>(planned_->cost.request.output_tokens) /
                static_cast<uint64_t>(answer.completion_tokens);
    }
    measured.Add(id, {.wall_ns = wall_ns});
  }
  watch_.Observe(planned_->cost.ledger, measured, &off_);
}

std::string QuestionBudget::Summary() const {
  if (!planned_) return "";
  std::string text;
  for (const std::string& doubt : speed_.doubts) text += fmt::format("careful: {}\n", doubt);
  return text + fmt::format("budget: {}{}\n", of_keep_ ? planned_->reduce + ": " : "", planned_->why);
}

OrderedJson QuestionBudget::ToJson() const {
  if (!planned_) return nullptr;
  return {{"detail", PictureDetailName(planned_->detail)},
          {"reduce", planned_->reduce},
          {"within", planned_->within},
          {"planned_ms", planned_->cost.seconds() * 1e3},
          {"planned_joules", JoulesJson(planned_->cost.joules())},
          {"why", planned_->why},
          {"off", off_}};
}

}  // namespace eyeshot::cli
