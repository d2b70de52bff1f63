#include "cli/question_budget.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "base/error.h"
#include "cli/plan_points.h"
#include "cli/plan_speed.h"
#include "models/model_source.h"

namespace eyeshot::cli {

void AddBudgetFlags(CLI::App& command, BudgetFlags& flags) {
  command
      .add_option(
          "--budget", flags.budget,
          "Milliseconds or joules that an answer of 32 tokens may take, as 500ms, 1.5s or 20J: fewer tiles are "
          "taken, of clips fewer tokens of frames, or what answers best by --points (after `eyeshot plan --calibrate`)")
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

Result<plan::ModelHere> FindModelHere(const ModelFlags& flags, const Backend& backend, double watts,
                                      const std::vector<std::string>& points) {
  plan::ModelHere here{.watts = watts};
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open(LocationOf(flags, found.dir)));
  ModelPrecision& precision = here.loaded.precision;
  EYESHOT_ASSIGN_OR_RETURN(precision, ChoosePrecision(source, flags.precision, backend));
  EYESHOT_ASSIGN_OR_RETURN(precision.kv_cache, ParseKvFormat(flags.kv_cache));
  here.loaded.name = PointPrecision(flags.precision, PrecisionName(precision, backend));
  here.model = {.name = found.name, .path = found.dir, .config = source.config()};
  if (here.model.config.has_vision()) {
    EYESHOT_ASSIGN_OR_RETURN(here.model.processing, source.Processor());
  }
  here.knowledge.law = plan::LawOf(here.knowledge.task);
  EYESHOT_RETURN_IF_ERROR(ReadPoints(points, here.knowledge));
  Result<FoundSpeed> speed = FindSpeed("", backend);
  if (speed.status().code() == StatusCode::kNotFound) {  // no other machine will do
    return NotFoundError(speed.status().found(), "run `eyeshot plan --calibrate`, which takes less than a minute");
  }
  if (!speed.ok()) return speed.status();
  here.speed = std::move(speed->speed);
  here.doubts = std::move(speed->doubts);
  return here;
}

Result<std::unique_ptr<QuestionBudget>> QuestionBudget::Create(const BudgetFlags& flags, const std::string& reduce,
                                                               const ModelFlags& model) {
  EYESHOT_ASSIGN_OR_RETURN(std::optional<plan::QuestionLimit> limit, plan::LimitOf(flags.budget, reduce));
  if (!limit) return std::unique_ptr<QuestionBudget>();
  std::unique_ptr<QuestionBudget> budget(new QuestionBudget());
  budget->limit_ = *std::move(limit);
  budget->flag_ = budget->limit_.of_keep ? "--reduce " + reduce : "--budget";
  if (model.device != "auto" && model.device != "cpu") {
    return UnsupportedError(fmt::format("{} on {}", budget->flag_, model.device),
                            "leave it out, or use --device cpu: a GPU's speed isn't known");
  }
  EYESHOT_ASSIGN_OR_RETURN(budget->backend_, CreateBackend({.name = model.backend, .threads = model.threads}));
  EYESHOT_ASSIGN_OR_RETURN(plan::ModelHere here, FindModelHere(model, *budget->backend_, flags.watts, flags.points));
  if (!here.model.config.has_vision()) {
    return UnsupportedError("a budget for a model that reads text alone", fmt::format("leave {} out", budget->flag_));
  }
  budget->planner_ = std::make_unique<plan::QuestionPlanner>(*budget->backend_, std::move(here));
  return budget;
}

Status QuestionBudget::Plan(const std::vector<ContentPart>& parts, const ModelInfo& info, AskOptions& options,
                            int64_t history_tokens) {
  planned_.reset();
  off_.clear();
  if (info.device != "cpu") {
    return UnsupportedError(fmt::format("{} on {}", flag_, info.device),
                            "leave it out, or use --device cpu: a GPU's speed isn't known");
  }
  plan::Workload workload = plan::EmptyWorkload(options);
  plan::AddParts(parts, workload);
  workload.history_tokens = history_tokens;
  if (!plan::NeedsPlan(limit_, workload, options)) return Status::Ok();
  Result<plan::QuestionPlan> planned = planner_->Plan(limit_, workload, options);
  if (!planned.ok()) return planned.status().At(flag_);
  planned_ = *std::move(planned);
  return Status::Ok();
}

void QuestionBudget::Observe(const Answer& answer) {
  if (planned_) off_ = planner_->Observe(*planned_, answer);
}

std::string QuestionBudget::Summary() const {
  if (!planned_) return "";
  std::string text;
  for (const std::string& doubt : planner_->here().doubts) text += fmt::format("careful: {}\n", doubt);
  return text + fmt::format("budget: {}{}\n", limit_.of_keep ? planned_->reduce + ": " : "", planned_->why);
}

OrderedJson QuestionBudget::ToJson() const {
  if (!planned_) return nullptr;
  return OrderedJson::parse(plan::QuestionPlanJson(*planned_, planner_->here().doubts, off_));
}

}  // namespace eyeshot::cli
