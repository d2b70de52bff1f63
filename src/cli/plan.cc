// eyeshot plan: which model, at which detail and precision, a question is best asked of; and what it will cost.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/plan_chart.h"
#include "cli/plan_points.h"
#include "cli/plan_report.h"
#include "cli/plan_speed.h"
#include "cli/program_files.h"
#include "cli/report.h"
#include "energy/simulator/power.h"
#include "hub/cache.h"
#include "hub/settings.h"
#include "models/model_source.h"
#include "plan/cost.h"
#include "plan/planner.h"

namespace eyeshot::cli {
namespace {

struct PlanFlags {
  std::vector<std::string> models;
  std::string goal = "accuracy";
  std::string task = "reasoning";
  double least_accuracy = 0;
  double most_ms = 0;  // 0: as much as it takes
  double most_joules = 0;
  double most_mb = 0;
  double most_price = 0;
  std::vector<std::string> pictures = {"1024x768"};
  int64_t question_tokens = 32;
  int64_t output_tokens = 64;
  bool cached_question = false;
  std::vector<std::string> details;
  std::vector<int64_t> keeps;
  std::vector<std::string> precisions = {"exact", "int8", "int4"};
  std::string kv_cache = "f16";
  std::vector<int64_t> batches = {1};
  std::vector<std::string> points;
  std::string machine;  // empty: this one
  std::string software = "graph";
  double watts = 0;
  plan::Prices prices;
  std::string speed;
  int threads = 0;
  int rounds = 9;
  bool calibrate = false;
  bool refit = false;
  bool costs = false;
  bool all = false;
  bool json = false;
  std::string svg;
  std::string html;
};

Result<plan::ModelAtHand> ReadModel(const FoundModel& found) {
  EYESHOT_ASSIGN_OR_RETURN(const ModelSource source, ModelSource::Open({.path = found.dir}));
  plan::ModelAtHand model{.name = found.name, .path = found.dir, .config = source.config()};
  if (model.name.empty()) model.name = std::filesystem::path(found.dir).lexically_normal().filename().string();
  if (model.name.empty()) model.name = found.dir;  // "/", or with a slash at its end
  if (model.config.has_vision()) {
    EYESHOT_ASSIGN_OR_RETURN(model.processing, source.Processor());
  }
  EYESHOT_ASSIGN_OR_RETURN(PromptParts parts, ReadPromptParts({}, found.dir, model.processing));
  model.format = std::move(parts.format);
  return model;
}

// Those named, else those of the cache that can be run, else the built-in one.
Result<std::vector<plan::ModelAtHand>> ReadModels(const std::vector<std::string>& names) {
  std::vector<plan::ModelAtHand> models;
  for (const std::string& name : names) {
    EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(name));
    EYESHOT_ASSIGN_OR_RETURN(plan::ModelAtHand model, ReadModel(found));
    models.push_back(std::move(model));
  }
  if (!models.empty()) return models;
  const Result<HubSettings> settings = HubSettingsFromEnvironment();
  if (settings.ok()) {
    for (const CachedModel& cached : ListCache(settings->cache)) {
      Result<plan::ModelAtHand> model = ReadModel({cached.dir, false, cached.id});
      if (model.ok() && model->config.has_vision()) models.push_back(*std::move(model));
    }
  }
  if (!models.empty()) return models;
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(""));
  EYESHOT_ASSIGN_OR_RETURN(plan::ModelAtHand model, ReadModel(found));
  models.push_back(std::move(model));
  return models;
}

// "1024x768"
Result<std::pair<int, int>> ParsePicture(const std::string& text) {
  const auto side = [](std::string_view part) {
    int value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    return error == std::errc() && end == part.data() + part.size() ? value : 0;
  };
  const size_t by = std::min(text.find('x'), text.size());
  const int width = side(std::string_view(text).substr(0, by));
  const int height = by == text.size() ? 0 : side(std::string_view(text).substr(by + 1));
  const int most = static_cast<int>(limits::kMaxImageSide);
  if (width >= 1 && height >= 1 && width <= most && height <= most) return std::pair(width, height);
  return InvalidArgumentError(fmt::format("--picture {}", text),
                              fmt::format("write WIDTHxHEIGHT in pixels, 1 to {} each", most));
}

Result<plan::Workload> WorkloadOf(const PlanFlags& flags) {
  plan::Workload workload{.question_tokens = flags.question_tokens,
                          .cached_question = flags.cached_question,
                          .output_tokens = flags.output_tokens};
  if (flags.pictures == std::vector<std::string>{"none"}) return workload;
  for (const std::string& text : flags.pictures) {
    EYESHOT_ASSIGN_OR_RETURN(const auto picture, ParsePicture(text));
    workload.pictures.push_back(picture);
  }
  return workload;
}

Result<plan::Aim> AimOf(const PlanFlags& flags) {
  plan::Aim aim{.least_accuracy = flags.least_accuracy};
  EYESHOT_ASSIGN_OR_RETURN(aim.goal, plan::ParseGoal(flags.goal));
  if (flags.most_ms > 0) aim.most_ms = flags.most_ms;
  if (flags.most_joules > 0) aim.most_joules = flags.most_joules;
  if (flags.most_mb > 0) aim.most_bytes = flags.most_mb * 1e6;
  if (flags.most_price > 0) aim.most_price = flags.most_price;
  return aim;
}

Result<std::string> PlanDataFile(const std::string& name) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string dir, FindBesideProgram("plan", "data/plan", [](const auto& path) {
                             return std::filesystem::is_directory(path);
                           }));
  return JoinPath(dir, name);
}

Result<plan::Knowledge> KnowledgeOf(const PlanFlags& flags) {
  plan::Knowledge knowledge;
  EYESHOT_ASSIGN_OR_RETURN(knowledge.task, plan::ParseTask(flags.task));
  knowledge.law = plan::LawOf(knowledge.task);
  EYESHOT_ASSIGN_OR_RETURN(const std::string scores, PlanDataFile("smolvlm_scores.json"));
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(scores, limits::kMaxMachineBytes));
  EYESHOT_ASSIGN_OR_RETURN(knowledge.published, plan::ParsePublishedScores(text, scores));
  EYESHOT_RETURN_IF_ERROR(ReadPoints(flags.points, knowledge));
  return knowledge;
}

Result<plan::Choices> ChoicesOf(const PlanFlags& flags, const Backend& backend, const simulator::Machine* machine) {
  plan::Choices choices{.keeps = flags.keeps};
  for (const std::string& text : flags.details) {
    EYESHOT_ASSIGN_OR_RETURN(const PictureDetail detail, ParsePictureDetail(text));
    choices.details.push_back(detail);
  }
  for (const std::string& text : flags.precisions) {
    EYESHOT_ASSIGN_OR_RETURN(ModelPrecision precision, ParsePrecision(text, backend));
    EYESHOT_ASSIGN_OR_RETURN(precision.kv_cache, ParseKvFormat(flags.kv_cache));
    choices.precisions.emplace_back(text, precision);
  }
  choices.batches = flags.batches;
  if (machine != nullptr && flags.goal != "time" && !flags.costs) {
    // A dozen clocks tell where a minimum is.
    constexpr size_t kClocks = 12;
    const std::vector<double> clocks = simulator::Clocks(*machine);
    choices.clocks.clear();
    for (size_t i = 0; i < kClocks; ++i) choices.clocks.push_back(clocks[i * (clocks.size() - 1) / (kClocks - 1)]);
    choices.clocks.erase(std::unique(choices.clocks.begin(), choices.clocks.end()), choices.clocks.end());
  }
  return choices;
}

// Where to run, and what the place's parts are.
struct PlaceParts {
  std::unique_ptr<Backend> backend;
  std::optional<FoundSpeed> speed;
  std::optional<simulator::Machine> machine;
  std::optional<simulator::Software> software;
  plan::Place place;
};

Status FindPlace(const PlanFlags& flags, PlaceParts& parts, PlanReport& report) {
  EYESHOT_ASSIGN_OR_RETURN(parts.backend, CreateBackend({.threads = flags.threads}));
  parts.place = {.backend = parts.backend.get(), .watts = flags.watts};
  if (flags.machine.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(parts.speed, FindSpeed(flags.speed, *parts.backend));
    parts.place.speed = &parts.speed->speed;
    report.doubts = parts.speed->doubts;
    const plan::MachineSpeed& speed = parts.speed->speed;
    report.machine = fmt::format("{}, {}, {} thread{}, measured on {}", speed.cpu, speed.isa, speed.threads,
                                 speed.threads == 1 ? "" : "s", speed.date);
    return Status::Ok();
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string machines,
                           FindBesideProgram("machines", "data/machines",
                                             [](const auto& path) { return std::filesystem::is_directory(path); }));
  EYESHOT_ASSIGN_OR_RETURN(parts.machine, simulator::LoadMachine(flags.machine, machines));
  EYESHOT_ASSIGN_OR_RETURN(parts.software, simulator::FindSoftware(flags.software));
  parts.place.machine = &*parts.machine;
  parts.place.software = &*parts.software;
  report.simulated = true;
  report.machine = fmt::format("{}, software {}", parts.machine->name, parts.software->name);
  return Status::Ok();
}

Status RunPlanning(const PlanFlags& flags) {
  PlanReport report;
  PlaceParts parts;
  EYESHOT_RETURN_IF_ERROR(FindPlace(flags, parts, report));
  EYESHOT_ASSIGN_OR_RETURN(report.models, ReadModels(flags.models));
  EYESHOT_ASSIGN_OR_RETURN(report.workload, WorkloadOf(flags));
  EYESHOT_ASSIGN_OR_RETURN(report.aim, AimOf(flags));
  EYESHOT_ASSIGN_OR_RETURN(report.knowledge, KnowledgeOf(flags));
  EYESHOT_ASSIGN_OR_RETURN(const plan::Choices choices, ChoicesOf(flags, *parts.backend, parts.place.machine));
  EYESHOT_ASSIGN_OR_RETURN(report.candidates, plan::CandidatesOf(report.models, report.workload, choices, parts.place,
                                                                 flags.prices, report.knowledge));
  if (flags.costs) {
    if (flags.json) {
      PrintJson(CostsJson(report));
    } else {
      PrintCosts(report);
    }
    return Status::Ok();
  }
  EYESHOT_ASSIGN_OR_RETURN(report.chosen, plan::Choose(report.candidates, report.aim));
  report.front = plan::ParetoFront(report.candidates);
  report.why =
      plan::Explain(report.models, report.candidates, report.chosen, report.aim, report.workload, report.knowledge);
  if (!flags.svg.empty()) EYESHOT_RETURN_IF_ERROR(WriteTextFile(flags.svg, PlanSvg(report)));
  if (!flags.html.empty()) EYESHOT_RETURN_IF_ERROR(WriteTextFile(flags.html, PlanHtml(report)));
  if (flags.json) {
    PrintJson(PlanJson(report));
  } else {
    PrintPlan(report, flags.all);
  }
  return Status::Ok();
}

Status RunCalibration(const PlanFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, CreateBackend({.threads = flags.threads}));
  EYESHOT_ASSIGN_OR_RETURN(const std::string path, SpeedPath(flags.speed, *backend));
  EYESHOT_ASSIGN_OR_RETURN(const plan::Calibration calibration, CalibrateInto(path, *backend, flags.rounds));
  if (flags.json) {
    PrintJson(CalibrationJson(calibration, path));
  } else {
    PrintCalibration(calibration, path);
  }
  return Status::Ok();
}

Status RunRefit(const PlanFlags& flags) {
  RefitReport report;
  EYESHOT_ASSIGN_OR_RETURN(const std::string file, PlanDataFile("visual_tokens_grid.json"));
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, limits::kMaxMachineBytes));
  EYESHOT_ASSIGN_OR_RETURN(report.grid, plan::ParseLawGrid(text, file));
  constexpr int kSteps = 100;
  report.reasoning = plan::ProfileFloor(report.grid.reasoning, kSteps);
  report.reading = plan::ProfileFloor(report.grid.reading, kSteps);
  if (flags.json) {
    PrintJson(RefitJson(report));
  } else {
    PrintRefit(report);
  }
  return Status::Ok();
}

int RunPlan(const PlanFlags& flags) {
  const Status status = flags.calibrate ? RunCalibration(flags) : flags.refit ? RunRefit(flags) : RunPlanning(flags);
  return status.ok() ? kExitOk : ReportError(status, flags.json);
}

void AddAimFlags(CLI::App& command, PlanFlags& flags) {
  command.add_option("--goal", flags.goal, "time, joules, memory, price (the least of it) or accuracy (the best)")
      ->capture_default_str();
  command.add_option("--task", flags.task, "reasoning, or reading: of text in pictures")->capture_default_str();
  command.add_option("--at-least", flags.least_accuracy, "Accuracy that must be reached")->check(CLI::Range(0.0, 1.0));
  command.add_option("--max-ms", flags.most_ms, "Milliseconds that a question may take")->check(CLI::Range(0.0, 1e9));
  command.add_option("--max-joules", flags.most_joules, "Joules of a question")->check(CLI::Range(0.0, 1e9));
  command.add_option("--max-mb", flags.most_mb, "Megabytes of memory")->check(CLI::Range(0.0, 1e9));
  command.add_option("--max-price", flags.most_price, "Price of 1,000 questions")->check(CLI::Range(0.0, 1e9));
}

void AddWorkloadFlags(CLI::App& command, PlanFlags& flags) {
  command.add_option("--picture", flags.pictures, "Its size; several times for several pictures; none for text alone")
      ->capture_default_str()
      ->allow_extra_args(false)
      ->type_name("WxH");
  command.add_option("--question-tokens", flags.question_tokens, "Length of the question")
      ->check(CLI::Range(int64_t{0}, limits::kMaxContext))
      ->capture_default_str();
  command.add_flag("--cached-question", flags.cached_question,
                   "The question comes first and is in the cache already: a fixed instruction");
  command.add_option("--answer-tokens", flags.output_tokens, "Length of the answer")
      ->check(CLI::Range(int64_t{1}, limits::kMaxContext))
      ->capture_default_str();
}

void AddWayFlags(CLI::App& command, PlanFlags& flags) {
  command.add_option("--precision", flags.precisions, "One to try; several times for several")
      ->allow_extra_args(false)
      ->capture_default_str();
  command.add_option("--kv-cache", flags.kv_cache, "f16 or int8")->capture_default_str();
  command.add_option("--detail", flags.details, "One to try (as of ask); all without it")->allow_extra_args(false);
  command.add_option("--keep", flags.keeps, "Visual tokens of a tile to try, with commas; 0: all of them")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 16));
  command.add_option("--batch", flags.batches, "Questions at a time to try, with commas; on a simulated machine")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(int64_t{1}, int64_t{1024}));
  AddPointsFlag(command, flags.points);
}

void AddMachineFlags(CLI::App& command, PlanFlags& flags) {
  command.add_option("--machine", flags.machine, "A described machine, which is simulated; this one without it");
  command.add_option("--software", flags.software, "Of a simulated machine: graph, transformers or vllm")
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Of this machine; 0: all cores")
      ->check(CLI::Range(0, limits::kMaxThreads));
  command.add_option("--watts", flags.watts, "Of this machine at work, where no meter can be read")
      ->check(CLI::Range(0.0, 1e5));
  command.add_option("--price-per-hour", flags.prices.hour, "Of the machine")->check(CLI::Range(0.0, 1e6));
  command.add_option("--price-per-kwh", flags.prices.kwh, "Of energy")->check(CLI::Range(0.0, 1e6));
  command.add_option("--speed", flags.speed, "The file of this machine's speed; in the user's cache without it")
      ->type_name("FILE");
  command.add_flag("--calibrate", flags.calibrate, "Measure this machine, and write that file");
  command.add_option("--rounds", flags.rounds, "Of --calibrate: how often each point is measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace

void AddPlanCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<PlanFlags>();
  CLI::App* command = program.add_subcommand("plan", "Choose model, detail and precision for a goal, and say why");
  SetUsage(*command, "eyeshot plan [OPTIONS] [MODEL...]");
  command->add_option("models", flags->models, "Models to choose from; those of the cache without any")
      ->type_name("MODEL");
  AddAimFlags(*command, *flags);
  AddWorkloadFlags(*command, *flags);
  AddWayFlags(*command, *flags);
  AddMachineFlags(*command, *flags);
  command->add_flag("--costs", flags->costs, "Print what each stage of each way costs, and choose nothing");
  command->add_flag("--refit", flags->refit, "Fit the scaling law to its published figures, and say what they fix");
  command->add_flag("--all", flags->all, "Show every way, not only the best ones");
  command->add_option("--svg", flags->svg, "Write the chart of time and accuracy")->type_name("FILE");
  command->add_option("--html", flags->html, "Write a page with chart, words and table")->type_name("FILE");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Examples:
  eyeshot plan --calibrate                                  once, less than a minute
  eyeshot plan --max-ms 500 --task reading MODEL MODEL      the best answers within half a second
  eyeshot plan --goal joules --at-least 0.5 --machine h100-sxm --batch 1,8,64 MODEL
  eyeshot plan --costs --picture 2048x1536 --precision int8 MODEL

Times of this machine come from its measured speed, joules from its power where that is known; figures of other machines
are simulated. Accuracies come from --points, then from published tables, then from a scaling law; each says which.)");
  command->callback([flags, &exit_code] { exit_code = RunPlan(*flags); });
}

}  // namespace eyeshot::cli
