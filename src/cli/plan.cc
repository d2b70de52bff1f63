// eyeshot plan: which model, at which detail and precision, a question is best asked of; and what it will cost.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/plan_speed.h"
#include "cli/report.h"
#include "models/model_source.h"
#include "plan/cost.h"

namespace eyeshot::cli {
namespace {

struct PlanFlags {
  std::vector<std::string> models;
  std::vector<std::string> pictures;
  int64_t question_tokens = 32;
  int64_t output_tokens = 64;
  bool cached_question = false;
  std::string precision = "exact";
  std::string speed;
  bool calibrate = false;
  int rounds = 15;
  int threads = 0;
  bool costs = false;
  bool json = false;
};

Result<plan::ModelAtHand> ReadModel(const std::string& name) {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(name));
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open({.path = found.dir}));
  plan::ModelAtHand model{.name = found.name.empty() ? name : found.name, .path = found.dir, .config = source.config()};
  if (source.config().has_vision()) {
    EYESHOT_ASSIGN_OR_RETURN(model.processing, source.Processor());
  }
  ModelFlags flags;
  EYESHOT_ASSIGN_OR_RETURN(PromptParts parts, ReadPromptParts(flags, found.dir, model.processing));
  model.format = std::move(parts.format);
  return model;
}

Status RunCosts(const PlanFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, CreateBackend({.threads = flags.threads}));
  EYESHOT_ASSIGN_OR_RETURN(const FoundSpeed speed, FindSpeed(flags.speed, *backend));
  plan::Workload workload{.question_tokens = flags.question_tokens,
                          .cached_question = flags.cached_question,
                          .output_tokens = flags.output_tokens};
  for (const std::string& text : flags.pictures) {
    int w = 0, h = 0;
    sscanf(text.c_str(), "%dx%d", &w, &h);
    workload.pictures.emplace_back(w, h);
  }
  EYESHOT_ASSIGN_OR_RETURN(const plan::ModelAtHand model, ReadModel(flags.models.at(0)));
  EYESHOT_ASSIGN_OR_RETURN(const ModelPrecision precision, ParsePrecision(flags.precision, *backend));
  plan::Variant variant{.precision = precision};
  EYESHOT_ASSIGN_OR_RETURN(const plan::CostEstimate cost,
                           plan::EstimateCost(model, workload, variant, {.backend = backend.get(), .speed = &speed.speed}));
  fmt::print("{}", cost.ledger.Table());
  fmt::print("tiles {} prompt {} memory {:.0f} MB: program {:.0f} weights {:.0f} workspace {:.0f} pictures {:.0f} kv {:.0f}\n", cost.request.tiles, cost.request.prompt_tokens, cost.memory.total()/1e6, cost.memory.program/1e6, cost.memory.weights/1e6,cost.memory.workspace/1e6, cost.memory.pictures/1e6, cost.memory.kv_cache/1e6);
  return Status::Ok();
}

Status RunPlan(const PlanFlags& flags) {
  if (flags.calibrate) {
    EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, CreateBackend({.threads = flags.threads}));
    EYESHOT_ASSIGN_OR_RETURN(const plan::Calibration calibration, CalibrateInto(flags.speed, *backend, flags.rounds));
    for (const auto& point : calibration.points)
      fmt::print("{:>32} {:>32} {:>10.1f} us {:>10.1f} us {:>7.1f} %\n", point.class_name, point.shape, point.seconds * 1e6, point.fitted_seconds * 1e6, 100 * (point.fitted_seconds / point.seconds - 1));
    return Status::Ok();
  }
  return RunCosts(flags);
}

}  // namespace

void AddPlanCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = program.add_subcommand("plan", "Choose model, detail and precision for a goal, and say why");
  SetUsage(*command, "eyeshot plan [OPTIONS] [MODEL...]");
  command->add_option("models", flags->models, "Models")->type_name("MODEL");
  command->add_option("--picture", flags->pictures, "")->type_name("WxH");
  command->add_option("--question-tokens", flags->question_tokens, "");
  command->add_option("--answer-tokens", flags->output_tokens, "");
  command->add_option("--precision", flags->precision, "");
  command->add_option("--speed", flags->speed, "");
  command->add_option("--threads", flags->threads, "");
  command->add_option("--rounds", flags->rounds, "");
  command->add_flag("--cached-question", flags->cached_question, "");
  command->add_flag("--calibrate", flags->calibrate, "");
  command->add_flag("--costs", flags->costs, "");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->callback([flags, &exit_code] {
    const Status status = RunPlan(*flags);
    exit_code = status.ok() ? kExitOk : ReportError(status, flags->json);
  });
}

}  // namespace eyeshot::cli
