// eyeshot tune: what each stage takes at each clock, and how many threads decoding needs, measured into a profile.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/median.h"
#include "cli/commands.h"
#include "cli/energy_workload.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/report.h"
#include "energy/governors/clock_plan.h"
#include "energy/governors/profile.h"
#include "energy/meters/find.h"

namespace eyeshot::cli {
namespace {

// Tokens of an answer whose speed is measured, and the words before it.
constexpr int kSpeedTokens = 48;
constexpr int kSpeedWords = 128;
constexpr int kSpeedRuns = 3;
// Of the fastest, that fewer threads may be slower.
constexpr double kThreadLoss = 0.03;
// Numbers of threads that are tried: all up to this one, then in steps.
constexpr int kAllThreadsTo = 8;
// How long a new clock is given before anything is measured at it.
constexpr std::chrono::milliseconds kSettle{200};
// At a clock, each longer than the last, until its joules are known.
constexpr int kAttempts = 3;

struct TuneFlags {
  WorkloadFlags workload;
  bool allow_clocks = false;
  int clocks = 8;
  double slowdown_percent = 5;
  std::string output;
  bool json = false;
};

// What a governor would make of the profile.
struct PolicyOutcome {
  std::string name;
  ClockPlan plan;
  PlannedCost cost;
};

std::string Today() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%d}", fmt::localtime(now));
}

std::vector<int> ThreadCounts(int all) {
  std::vector<int> counts;
  for (int threads = 1; threads < all; threads += threads < kAllThreadsTo ? 1 : kAllThreadsTo / 2) {
    counts.push_back(threads);
  }
  counts.push_back(all);
  return counts;
}

class Tuning {
 public:
  explicit Tuning(const TuneFlags& flags) : flags_(flags) {}
  Status Run();
  Status Write() const;
  void Print() const;

 private:
  Result<double> DecodeSpeed(int threads);
  Status TuneThreads();
  Status TuneClocks();
  Status MeasureAt(ClockControl& control, double mhz);
  // False: there is a meter, and it gave no figure.
  bool AddPoint(double mhz, const RequestFigure& request, const std::vector<MeterGroup>& groups);
  void Plan();
  void PrintCurves() const;
  OrderedJson ToJson() const;

  const TuneFlags& flags_;
  Interrupt interrupt_;
  ModelInfo model_;
  TuneProfile profile_;
  std::vector<double> clocks_mhz_;
  std::vector<PolicyOutcome> outcomes_;
};

// The best of some runs: others can only make it slower.
Result<double> Tuning::DecodeSpeed(int threads) {
  ModelFlags flags = flags_.workload.model;
  flags.decode_threads = threads;
  flags.gpu_readings = false;
  EYESHOT_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine, LoadEngine(flags, false));
  std::string words;
  for (int i = 0; i < kSpeedWords; ++i) words += "a ";
  double best = 0;
  for (int run = 0; run <= kSpeedRuns; ++run) {
    EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Chat> chat, engine->NewChat());
    AskOptions options;
    options.max_tokens = kSpeedTokens;
    options.ignore_end = true;
    options.cancel = interrupt_.flag();
    EYESHOT_ASSIGN_OR_RETURN(const Answer answer, chat->Ask({words}, options));
    if (answer.finish_reason == FinishReason::kCancelled) return CancelledError("cancelled");
    const StageCost& cost = answer.ledger.cost(StageId::kDecode);
    best = std::max(best, static_cast<double>(cost.tokens) * 1e9 / static_cast<double>(cost.wall_ns));
  }
  return best;
}

Status Tuning::TuneThreads() {
  if (model_.device != "cpu" || model_.threads < 2) return Status::Ok();
  for (const int threads : ThreadCounts(model_.threads)) {
    EYESHOT_ASSIGN_OR_RETURN(const double speed, DecodeSpeed(threads));
    fmt::print(stderr, "decoding on {} of {} threads: {:.1f} tokens/s\n", threads, model_.threads, speed);
    profile_.threads.push_back({threads, speed});
  }
  profile_.decode_threads = FewestThreads(profile_.threads, kThreadLoss);
  return Status::Ok();
}

// Joules are those of the device whose clock is set: of a GPU's board, or of the processor with its memory.
bool Tuning::AddPoint(double mhz, const RequestFigure& request, const std::vector<MeterGroup>& groups) {
  const std::string wanted = model_.device == "cpu" ? "cpu" : "gpu";
  const auto group =
      std::find_if(groups.begin(), groups.end(), [&](const MeterGroup& one) { return one.name == wanted; });
  const auto index = static_cast<size_t>(group - groups.begin());
  std::array<ClockPoint, kGovernedStages> points{};
  for (size_t s = 0; s < kStageCount; ++s) {
    const std::optional<GovernedStage> stage = GovernedStageOf(static_cast<StageId>(s));
    const StageFigure& figure = request.stages[s];
    if (!stage || figure.busy_s() <= 0) continue;
    ClockPoint& point = points[static_cast<size_t>(*stage)];
    point.clock_mhz = mhz;
    point.seconds += figure.busy_s();
    if (group == groups.end()) continue;
    if (figure.joules[index].joules.source == EnergySource::kNone) return false;
    point.joules = point.joules.value_or(0) + figure.joules[index].joules.value;
  }
  for (size_t s = 0; s < kGovernedStages; ++s) {
    std::vector<ClockPoint>& curve = profile_.stages[s].points;
    if (points[s].seconds > 0) curve.insert(curve.begin(), points[s]);  // clocks come from high to low
  }
  if (group != groups.end()) profile_.energy_source = EnergySourceName(group->source);
  return true;
}

Status Tuning::MeasureAt(ClockControl& control, double mhz) {
  const uint64_t begin = SteadyNowNs();
  EYESHOT_RETURN_IF_ERROR(control.SetHighest(mhz));
  profile_.switch_s = std::max(profile_.switch_s, static_cast<double>(SteadyNowNs() - begin) * 1e-9);
  std::this_thread::sleep_for(kSettle);
  WorkloadFlags workload = flags_.workload;
  for (int attempt = 1;; ++attempt) {
    EYESHOT_ASSIGN_OR_RETURN(const WorkloadReport report, RunWorkload(workload, FindMeters(SysfsRoot()), interrupt_));
    const auto request = std::find_if(report.requests.begin(), report.requests.end(),
                                      [](const RequestFigure& one) { return one.pictures > 0; });
    if (request == report.requests.end()) {
      return InvalidArgumentError("the picture of the measurement doesn't fit into the context",
                                  "take a smaller one: --size 512x512");
    }
    if (AddPoint(mhz, *request, report.groups)) return Status::Ok();
    const std::string why = request->notes.empty() ? "a meter gave no figure" : request->notes.front();
    if (attempt == kAttempts) {
      return IoError(fmt::format("at {:.0f} MHz: {}", mhz, why),
                     "give it more time with --seconds, or end what else runs");
    }
    workload.seconds = 2 * std::max(workload.seconds, report.planned_s);
    fmt::print(stderr, "{}; again, for longer\n", why);
  }
}

Status Tuning::TuneClocks() {
  if (!flags_.allow_clocks) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<ClockSession> session, BeginClocks(model_));
  ClockControl& control = session->control();
  clocks_mhz_ = control.clocks_mhz();
  std::vector<double> wanted = Thinned(clocks_mhz_, static_cast<size_t>(flags_.clocks));
  std::reverse(wanted.begin(), wanted.end());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (interrupt_.happened()) return CancelledError("cancelled; the clocks are as they were");
    fmt::print(stderr, "clock {} of {}: {:.0f} MHz\n", i + 1, wanted.size(), wanted[i]);
    EYESHOT_RETURN_IF_ERROR(MeasureAt(control, wanted[i]));
  }
  EYESHOT_RETURN_IF_ERROR(session->End());
  for (StageCurve& curve : profile_.stages) curve.fit = FitStage(curve.points);
  return Status::Ok();
}

void Tuning::Plan() {
  if (!profile_.has_clocks()) return;
  for (const char* const name :
       {"race-to-idle", "one-clock", "stage-table", "memory-safe", "encode-low", "decode-low", "oracle"}) {
    const Result<GovernorChoice> choice = ParseGovernor(name);
    const Result<ClockPlan> plan = PlanClocks(*choice, clocks_mhz_, &profile_, flags_.slowdown_percent / 100);
    if (plan.ok()) outcomes_.push_back({name, *plan, CostOf(profile_, plan->clock_mhz)});
  }
}

Status Tuning::Run() {
  ModelFlags quiet = flags_.workload.model;
  quiet.gpu_readings = false;
  {
    EYESHOT_ASSIGN_OR_RETURN(const std::shared_ptr<Engine> engine, LoadEngine(quiet, !flags_.json));
    model_ = engine->info();
  }
  if (!model_.has_vision) {
    return UnsupportedError(fmt::format("{} reads text alone", model_.name), "tune a model with vision");
  }
  profile_.machine = MachineNameOf(model_);
  profile_.model = model_.name;
  profile_.precision = model_.precision;
  profile_.date = Today();
  profile_.energy_source = EnergySourceName(EnergySource::kNone);
  EYESHOT_RETURN_IF_ERROR(TuneThreads());
  EYESHOT_RETURN_IF_ERROR(TuneClocks());
  Plan();
  if (profile_.threads.empty() && !profile_.has_clocks()) {
    return InvalidArgumentError("there is nothing to tune without clocks: the model runs on one thread or on a GPU",
                                "add --allow-clocks if clocks may be set for the time of the measurement");
  }
  return Status::Ok();
}

Status Tuning::Write() const {
  const std::string path = flags_.output.empty() ? DefaultProfilePath() : flags_.output;
  std::error_code error;
  if (flags_.output.empty()) std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  EYESHOT_RETURN_IF_ERROR(WriteTextFile(path, ProfileText(profile_)));
  fmt::print(stderr, "profile written to {}\n", path);
  return Status::Ok();
}

OrderedJson Tuning::ToJson() const {
  OrderedJson json = OrderedJson::parse(ProfileText(profile_));
  for (size_t s = 0; s < kGovernedStages; ++s) {
    const StageFit& fit = profile_.stages[s].fit;
    if (profile_.stages[s].points.empty()) continue;
    OrderedJson& own = json["fits"][std::string(GovernedStageName(static_cast<GovernedStage>(s)))];
    own = {{"fixed_s", fit.fixed_s}, {"per_ghz_s", fit.per_ghz_s}, {"time_error", fit.time_error}};
    if (fit.has_power) {
      own.update({{"base_w", fit.base_w}, {"cubic_w", fit.cubic_w}, {"power_error", fit.power_error}});
    }
  }
  json["governors"] = OrderedJson::array();
  for (const PolicyOutcome& outcome : outcomes_) {
    json["governors"].push_back(
        {{"governor", outcome.name},
         {"clock_mhz", outcome.plan.clock_mhz},
         {"seconds", outcome.cost.seconds},
         {"joules", outcome.cost.joules > 0 ? OrderedJson(outcome.cost.joules) : OrderedJson()}});
  }
  return json;
}

void Tuning::PrintCurves() const {
  fmt::print("{:<9}{:>9}{:>12}{:>9}{:>11}\n", "stage", "MHz", "ms", "W", "J");
  for (size_t s = 0; s < kGovernedStages; ++s) {
    for (const ClockPoint& point : profile_.stages[s].points) {
      fmt::print("{:<9}{:>9.0f}{:>12.3f}", GovernedStageName(static_cast<GovernedStage>(s)), point.clock_mhz,
                 point.seconds * 1e3);
      if (point.joules) fmt::print("{:>9.1f}{:>11.4g}", *point.joules / point.seconds, *point.joules);
      fmt::print("\n");
    }
    const StageFit& fit = profile_.stages[s].fit;
    fmt::print("         time = {:.3f} ms + {:.3f} ms/GHz, off by {:.1f} %", fit.fixed_s * 1e3, fit.per_ghz_s * 1e3,
               fit.time_error * 100);
    if (fit.has_power) {
      fmt::print("; power = {:.1f} W + {:.2f} W x GHz^3, off by {:.1f} %", fit.base_w, fit.cubic_w,
                 fit.power_error * 100);
    }
    fmt::print("\n");
  }
}

void Tuning::Print() const {
  if (flags_.json) {
    PrintJson(ToJson());
    return;
  }
  fmt::print("{} ({}) on {}\n", profile_.model, profile_.precision, profile_.machine);
  if (!profile_.threads.empty()) {
    for (const ThreadPoint& point : profile_.threads) {
      fmt::print("{:>3} thread{} {:>8.1f} tokens/s\n", point.threads,
                 point.threads == 1 ? ": " : "s:", point.tokens_per_s);
    }
    fmt::print("decoding needs {} of {} threads (--governor gears)\n", profile_.decode_threads, model_.threads);
  }
  if (!profile_.has_clocks()) {
    fmt::print("clocks were not touched (--allow-clocks would)\n");
    return;
  }
  fmt::print("\njoules: {}\n", profile_.energy_source == "none" ? "no meter can be read (`eyeshot energy` says why)"
                                                                : profile_.energy_source);
  PrintCurves();
  fmt::print("\nby this profile, one request, switches of up to {:.0f} ms not counted but in stage-table:\n",
             profile_.switch_s * 1e3);
  const PlannedCost& base = outcomes_.front().cost;
  for (const PolicyOutcome& outcome : outcomes_) {
    fmt::print("{:<14}{:<50}{:>9.1f} ms {:>+6.1f} %", outcome.name, Described(outcome.plan), outcome.cost.seconds * 1e3,
               100 * (outcome.cost.seconds / base.seconds - 1));
    if (base.joules > 0) {
      fmt::print("{:>11.4g} J {:>+6.1f} %", outcome.cost.joules, 100 * (outcome.cost.joules / base.joules - 1));
    }
    fmt::print("\n");
  }
}

int RunTune(const TuneFlags& flags) {
  Tuning tuning(flags);
  if (const Status status = tuning.Run(); !status.ok()) return ReportError(status, flags.json);
  if (const Status status = tuning.Write(); !status.ok()) return ReportError(status, flags.json);
  tuning.Print();
  return kExitOk;
}

}  // namespace

void AddTuneCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<TuneFlags>();
  flags->workload.runs = 1;
  flags->workload.idle_seconds = 0.5;
  flags->workload.sizes = {"1024x1024"};
  CLI::App* command = program.add_subcommand("tune", "Measure which clocks and threads are enough, for --governor");
  SetUsage(*command, "eyeshot tune [OPTIONS]");
  AddModelFlags(*command, flags->workload.model);
  command->add_flag("--allow-clocks", flags->allow_clocks,
                    "Sweep the clock of the device that runs the model; it is put back at the end, and after a crash");
  command->add_option("--clocks", flags->clocks, "Clocks of the sweep")
      ->check(CLI::Range(2, 64))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option_function<std::string>(
          "--size", [flags](const std::string& size) { flags->workload.sizes = {size}; },
          "Of the synthetic picture that is asked about; 1024x1024 by default")
      ->type_name("WxH");
  command
      ->add_option_function<int>(
          "--tokens", [flags](int tokens) { flags->workload.tokens = {tokens}; }, "Of an answer; 64 by default")
      ->check(CLI::Range(2, 1 << 16))
      ->type_name("N");
  command->add_option("--seconds", flags->workload.seconds, "At each clock")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str()
      ->type_name("S");
  command->add_option("--slowdown", flags->slowdown_percent, "Percent that the governors shown may make stages slower")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str()
      ->type_name("P");
  command->add_option("-o,--output", flags->output, "Where the profile goes; ~/.config/eyeshot/profile.json by default")
      ->type_name("FILE");
  command->add_flag("--json", flags->json, "Print the profile, the fits and the governors as one JSON object");
  command->footer(R"(Examples:
  eyeshot tune                                          how many threads decoding needs; no clock is touched
  eyeshot ask --governor gears photo.jpg "What is it?"  and uses it
  sudo eyeshot tune --allow-clocks                      also what each stage takes at each clock
  sudo eyeshot energy --governor one-clock --allow-clocks --sizes 1024x1024

Without --allow-clocks no clock is ever touched. docs/clocks.md has the governors, permissions, and how clocks are put back.)");
  command->callback([flags, &exit_code] { exit_code = RunTune(*flags); });
}

}  // namespace eyeshot::cli
