// eyeshot simulate: time and energy on machines that are not here, by a model; and what governors would save.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/chart_page.h"
#include "cli/commands.h"
#include "cli/cost_flags.h"
#include "cli/energy_plots.h"
#include "cli/help.h"
#include "cli/program_files.h"
#include "cli/report.h"
#include "energy/simulator/governor.h"
#include "energy/simulator/inflation.h"
#include "energy/simulator/machine.h"
#include "energy/simulator/power.h"
#include "energy/simulator/serving.h"
#include "energy/simulator/validation.h"
#include "energy/simulator/work.h"

namespace eyeshot::cli {
namespace {

using namespace simulator;  // NOLINT(google-build-using-namespace): the file is about nothing else

struct SimulateFlags {
  std::string what = "stages";
  std::string machine = "h100-sxm";
  std::string model = "SmolVLM-256M";
  std::string software = "graph";
  std::string policy;  // empty: all
  std::string arrivals;
  double tiles = -1;  // the model's usual picture
  double text_tokens = 128;
  double output_tokens = 64;
  double batch = 8;
  double rate = 4;
  double requests = 2000;
  uint64_t seed = 1;
  double slowdown_percent = 5;
  double dwell_ms = 100;
  double slo_ms = 0;
  double phase_ms = 1000;
  CostFlags cost;
  std::string start;  // the time of what is simulated, in series of rates
  std::string svg;
  bool json = false;
};

// What the flags name.
struct Setting {
  Machine machine;
  ModelShape model;
  Software software;
  Request request;
  KwhRates rates;
  double start_s = 0;
};

Result<std::string> MachineDir() {
  const auto is_folder = [](const std::filesystem::path& path) { return std::filesystem::is_directory(path); };
  return FindBesideProgram("machines", "data/machines", is_folder);
}

Status ReadCosts(const SimulateFlags& flags, Setting& setting) {
  EYESHOT_ASSIGN_OR_RETURN(setting.rates, ReadRates(flags.cost));
  setting.start_s = setting.rates.begin_s().value_or(0);
  if (!flags.start.empty()) {
    const std::optional<double> start = ParseTime(flags.start);
    if (!start) {
      return InvalidArgumentError(fmt::format("--start {} is no time", flags.start),
                                  "write it as 2026-11-26T14:00Z or in seconds");
    }
    setting.start_s = *start;
  }
  return setting.rates.Check(setting.start_s, setting.start_s);
}

Result<Setting> ReadSetting(const SimulateFlags& flags) {
  Setting setting;
  EYESHOT_ASSIGN_OR_RETURN(const std::string machines, MachineDir());
  EYESHOT_ASSIGN_OR_RETURN(setting.machine, LoadMachine(flags.machine, machines));
  EYESHOT_ASSIGN_OR_RETURN(setting.model, FindModelShape(flags.model));
  EYESHOT_ASSIGN_OR_RETURN(setting.software, FindSoftware(flags.software));
  const double tiles = flags.tiles < 0 ? setting.model.tiles : flags.tiles;
  setting.request = RequestFor(setting.model, tiles, flags.text_tokens, flags.output_tokens);
  EYESHOT_RETURN_IF_ERROR(ReadCosts(flags, setting));
  return setting;
}

OrderedJson CostJson(double joules, const PerKwh& rates) {
  OrderedJson cost = {{"joules", JoulesJson(SimulatedJoules(joules))}};
  PutCosts(cost, SimulatedJoules(joules), rates);
  return cost;
}

void PrintCost(std::string_view what, double joules, const PerKwh& rates) {
  if (rates.any()) fmt::print("{}\n", CostText(what, SimulatedJoules(joules), 1000, rates));
}

OrderedJson Head(const std::string& what, const Setting& setting) {
  return {{"simulated", true},
          {"what", what},
          {"machine", setting.machine.name},
          {"model", setting.model.name},
          {"software", setting.software.name},
          {"tiles", setting.request.tiles},
          {"prompt_tokens", setting.request.visual_tokens + setting.request.text_tokens},
          {"output_tokens", setting.request.output_tokens}};
}

void PrintHead(const Setting& setting) {
  fmt::print("simulated: {} ({}) on {}; {} tiles, {} prompt tokens, {} output tokens\n", setting.model.name,
             setting.software.name, setting.machine.name, setting.request.tiles,
             setting.request.visual_tokens + setting.request.text_tokens, setting.request.output_tokens);
}

OrderedJson PointJson(Stage stage, double steps, const Point& point) {
  return {{"stage", StageLabel(stage)},
          {"clock_mhz", point.clock_mhz},
          {"ms", steps * point.seconds * 1e3},
          {"power_w", point.power_w},
          {"joules", JoulesJson(SimulatedJoules(steps * point.joules()))},
          {"compute_use", point.compute_use},
          {"memory_use", point.memory_use}};
}

void PrintPoint(Stage stage, double steps, const Point& point) {
  fmt::print("{:<8}{:>7.0f} MHz{:>10.3f} ms{:>8.0f} W{:>11.4g} J{:>6.0f} % of FLOP/s{:>6.0f} % of bytes/s\n",
             StageLabel(stage), point.clock_mhz, steps * point.seconds * 1e3, point.power_w, steps * point.joules(),
             100 * point.compute_use, 100 * point.memory_use);
}

// Of one request by itself: each stage at the highest clock, or with `sweep` at about twenty.
int SimulateStages(const SimulateFlags& flags, const Setting& setting, bool sweep) {
  OrderedJson json = Head(flags.what, setting);
  json["rows"] = OrderedJson::array();
  const BatchWork batch = BatchWorkFor(setting.model, setting.software, setting.request, 1);
  const std::vector<double> clocks = TriedClocks(setting.machine, sweep ? 20 : 1);
  double joules = 0;
  if (!flags.json) PrintHead(setting);
  for (int s = 0; s < kStages; ++s) {
    if (batch.steps[s] <= 0) continue;
    for (const double clock : clocks) {
      const Point point = RunAt(setting.machine, batch.work[s], clock);
      if (flags.json) {
        json["rows"].push_back(PointJson(static_cast<Stage>(s), batch.steps[s], point));
      } else {
        PrintPoint(static_cast<Stage>(s), batch.steps[s], point);
      }
      if (clock == clocks.back()) joules += batch.steps[s] * point.joules();
    }
  }
  const PerKwh rates = MeanOf(setting.rates, setting.start_s, setting.start_s);
  json["request"] = CostJson(joules, rates);
  if (flags.json) {
    PrintJson(json);
  } else {
    fmt::print("one request at the highest clock: {:.4g} J, simulated\n", joules);
    PrintCost("1,000 requests, simulated", joules, rates);
  }
  return kExitOk;
}

// A way to serve, and what it gave.
struct PolicyRow {
  std::string name;
  ServingResult result;
  PerKwh rates;  // the means over time, each moment by the energy that went into it
  Policy policy = Policy::kRaceToIdle;
  Layout layout = Layout::kOneDevice;
  double phase_s = 0;  // of Layout::kContinuous
};

// Means of rates over a simulation, weighted by its energy.
class WeightedRates {
 public:
  explicit WeightedRates(const Setting& setting) : setting_(setting) {}
  EnergySink Sink() {
    if (!setting_.rates.carbon && !setting_.rates.price) return {};
    return [this](double begin_s, double end_s, double joules) {
      const PerKwh rates = MeanOf(setting_.rates, setting_.start_s + begin_s, setting_.start_s + end_s);
      joules_ += joules;
      co2_g_ += joules * rates.co2_g.value_or(0);
      price_ += joules * rates.price.value_or(0);
    };
  }
  PerKwh Mean() const {
    PerKwh mean;
    if (setting_.rates.carbon) mean.co2_g = co2_g_ / joules_;
    if (setting_.rates.price) mean.price = price_ / joules_;
    return mean;
  }

 private:
  const Setting& setting_;
  double joules_ = 0;
  double co2_g_ = 0;
  double price_ = 0;
};

Result<std::vector<double>> ArrivalsOf(const SimulateFlags& flags, const Setting& setting) {
  std::vector<double> arrivals;
  if (flags.arrivals.empty()) {
    arrivals = PoissonArrivals(static_cast<size_t>(flags.requests), flags.rate, flags.seed);
  } else {
    EYESHOT_ASSIGN_OR_RETURN(arrivals, ReadArrivals(flags.arrivals));
  }
  EYESHOT_RETURN_IF_ERROR(setting.rates.Check(setting.start_s, setting.start_s + arrivals.back()));
  return arrivals;
}

// Serves the same arrivals again and again.
class PolicyRuns {
 public:
  PolicyRuns(const SimulateFlags& flags, const Setting& setting, std::vector<double> arrivals)
      : setting_(setting), arrivals_(std::move(arrivals)), slo_s_(flags.slo_ms * 1e-3) {
    setup_.max_batch = static_cast<int>(flags.batch);
    setup_.slowdown = flags.slowdown_percent / 100;
    setup_.dwell_s = flags.dwell_ms * 1e-3;
  }

  void Add(std::string_view name, Layout layout, Policy policy, double phase_s = 0) {
    WeightedRates rates(setting_);
    setup_.layout = layout;
    setup_.policy = policy;
    setup_.phase_s = phase_s;
    setup_.slo_s = slo_s_ > 0 || rows_.empty() ? slo_s_ : (1 + setup_.slowdown) * rows_[0].result.p95_s;
    setup_.on_energy = rates.Sink();
    const ServingResult result =
        Serve(setting_.machine, setting_.model, setting_.software, setting_.request, arrivals_, setup_);
    rows_.push_back({std::string(name), result, rates.Mean(), policy, layout, phase_s});
  }

  std::vector<PolicyRow> Take() { return std::move(rows_); }

 private:
  const Setting& setting_;
  std::vector<double> arrivals_;
  double slo_s_;  // 0: by the first row
  ServingSetup setup_;
  std::vector<PolicyRow> rows_;
};

Result<std::vector<PolicyRow>> RunPolicies(const SimulateFlags& flags, const Setting& setting) {
  EYESHOT_ASSIGN_OR_RETURN(std::vector<double> arrivals, ArrivalsOf(flags, setting));
  Policy only = Policy::kRaceToIdle;
  if (!flags.policy.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(only, FindPolicy(flags.policy));
  }
  PolicyRuns runs(flags, setting, std::move(arrivals));
  runs.Add("race-to-idle", Layout::kOneDevice, Policy::kRaceToIdle);
  for (const PolicyName& policy : Policies()) {
    if (policy.policy == Policy::kRaceToIdle || (!flags.policy.empty() && policy.policy != only)) continue;
    runs.Add(policy.name, Layout::kOneDevice, policy.policy);
  }
  runs.Add("continuous, highest", Layout::kContinuous, Policy::kRaceToIdle);
  runs.Add("continuous, one-clock", Layout::kContinuous, Policy::kOneClock);
  runs.Add("continuous, memory-safe", Layout::kContinuous, Policy::kMemorySafe);
  const double phase_s = flags.phase_ms * 1e-3;
  runs.Add("phases, highest", Layout::kContinuous, Policy::kRaceToIdle, phase_s);
  runs.Add("phases, one-clock", Layout::kContinuous, Policy::kOneClock, phase_s);
  runs.Add("phases, memory-safe", Layout::kContinuous, Policy::kMemorySafe, phase_s);
  runs.Add("2 devices, highest", Layout::kTwoAlike, Policy::kRaceToIdle);
  runs.Add("2 devices, one-clock", Layout::kTwoAlike, Policy::kOneClock);
  runs.Add("2 pools, highest", Layout::kPools, Policy::kRaceToIdle);
  runs.Add("2 pools, own clocks", Layout::kPools, Policy::kOneClock);
  return runs.Take();
}

// What is tried in phases: the highest clock, one clock, and clocks that follow the stage.
constexpr PolicyName kPhasePolicies[] = {{Policy::kRaceToIdle, "highest"},
                                         {Policy::kOneClock, "one-clock"},
                                         {Policy::kMemorySafe, "memory-safe"},
                                         {Policy::kStageTable, "stage-table"}};

// Phases of several lengths.
Result<std::vector<PolicyRow>> RunPhases(const SimulateFlags& flags, const Setting& setting) {
  constexpr double kLengthsMs[] = {0, 125, 250, 500, 1000, 2000, 4000};
  EYESHOT_ASSIGN_OR_RETURN(std::vector<double> arrivals, ArrivalsOf(flags, setting));
  PolicyRuns runs(flags, setting, std::move(arrivals));
  for (const double length_ms : kLengthsMs) {
    for (const PolicyName& policy : kPhasePolicies) {
      runs.Add(fmt::format("{:g} ms, {}", length_ms, policy.name), Layout::kContinuous, policy.policy,
               length_ms * 1e-3);
    }
  }
  return runs.Take();
}

// Of one device: the least joules at a p95 that is at most the slowdown longer than the first row's. Never the bound.
const PolicyRow& CheapestInTime(const std::vector<PolicyRow>& rows, double slowdown) {
  const PolicyRow* cheapest = &rows.front();
  for (const PolicyRow& row : rows) {
    if (row.layout == Layout::kTwoAlike || row.layout == Layout::kPools || row.policy == Policy::kOracle) continue;
    if (row.result.p95_s > (1 + slowdown) * rows.front().result.p95_s) continue;
    if (row.result.joules_per_request < cheapest->result.joules_per_request) cheapest = &row;
  }
  return *cheapest;
}

OrderedJson PolicyJson(const PolicyRow& row, const ServingResult& base) {
  OrderedJson json = {{"policy", row.name}};
  json["phase_ms"] = row.layout == Layout::kContinuous ? OrderedJson(row.phase_s * 1e3) : OrderedJson();
  json.update(CostJson(row.result.joules_per_request, row.rates));
  json["joules_change"] = row.result.joules_per_request / base.joules_per_request - 1;
  json["p50_ms"] = row.result.p50_s * 1e3;
  json["p95_ms"] = row.result.p95_s * 1e3;
  json["p95_change"] = row.result.p95_s / base.p95_s - 1;
  json["switches"] = row.result.switches;
  json["refused_switches"] = row.result.refused_switches;
  json["busy_share"] = row.result.busy_share;
  return json;
}

// The colour of a row in a chart, and what it stands for.
ChartLegend::value_type PolicyClass(const PolicyRow& row) {
  switch (row.layout) {
    case Layout::kContinuous: return {SeriesStyle(2), "one device, continuous batching"};
    case Layout::kTwoAlike:
    case Layout::kPools: return {SeriesStyle(1), "two devices"};
    case Layout::kOneDevice: break;
  }
  if (row.policy == Policy::kOracle) return {SeriesStyle(3), "a bound: switches are free"};
  return {SeriesStyle(0), "one device, batches"};
}

// Some of the rows as points, against the first of all.
FilePart PointsOf(const std::vector<PolicyRow>& rows, std::string_view what,
                  const std::function<bool(const PolicyRow&)>& is_shown) {
  const ServingResult& base = rows.front().result;
  PointsChart chart{.x_title = fmt::format("p95 against {}, %", rows.front().name),
                    .y_title = fmt::format("joules of a request against {}, %, simulated", rows.front().name),
                    .description = fmt::format("{} by joules and p95", what)};
  FilePart part{.words = {std::string(what)}};
  for (const PolicyRow& row : rows) {
    if (!is_shown(row)) continue;
    const auto entry = PolicyClass(row);
    if (std::find(part.legend.begin(), part.legend.end(), entry) == part.legend.end()) part.legend.push_back(entry);
    chart.points.push_back({row.name, 100 * (row.result.p95_s / base.p95_s - 1),
                            100 * (row.result.joules_per_request / base.joules_per_request - 1), entry.first});
  }
  part.figure = DrawPoints(chart);
  return part;
}

// A figure of phases over their length, a line for each of kPhasePolicies.
FilePart LinesOf(const std::vector<PolicyRow>& rows, std::string_view what, std::string_view unit,
                 const std::function<double(const ServingResult&)>& value) {
  LinesChart chart{.unit = std::string(unit), .description = fmt::format("{} over the length of phases", what)};
  FilePart part{.words = {fmt::format("{} over the length of phases, simulated; 0 ms: none", what)}};
  for (size_t p = 0; p < std::size(kPhasePolicies); ++p) {
    chart.series.push_back({.name = std::string(kPhasePolicies[p].name), .values = {}});
    part.legend.emplace_back(SeriesStyle(p), kPhasePolicies[p].name);
    for (const PolicyRow& row : rows) {
      if (row.policy != kPhasePolicies[p].policy) continue;
      chart.series.back().values.emplace_back(value(row.result));
      if (p == 0) chart.places.push_back(fmt::format("{:g} ms", row.phase_s * 1e3));
    }
  }
  part.figure = DrawLines(chart);
  return part;
}

std::string PoliciesSvg(const SimulateFlags& flags, const Setting& setting, const std::vector<PolicyRow>& rows) {
  const std::string load = flags.arrivals.empty() ? fmt::format("{} requests a second", flags.rate) : "a trace";
  std::vector<FilePart> parts = {
      {.words = {fmt::format("Simulated: {}, {}, up to {} together, {} tokens out, slowdown {} %", load,
                             setting.software.name, flags.batch, flags.output_tokens, flags.slowdown_percent)}}};
  if (flags.what == "phases") {
    parts.push_back(LinesOf(rows, "Joules of a request", "J",
                            [](const ServingResult& result) { return result.joules_per_request; }));
    parts.push_back(LinesOf(rows, "p95", "ms", [](const ServingResult& result) { return result.p95_s * 1e3; }));
  } else {
    const auto is_continuous = [](const PolicyRow& row) { return row.layout == Layout::kContinuous; };
    parts.push_back(PointsOf(rows, "Batches, and two devices", std::not_fn(is_continuous)));
    parts.push_back(PointsOf(rows, fmt::format("Continuous batching, and phases of {:g} ms", flags.phase_ms),
                             [&](const PolicyRow& row) { return is_continuous(row) || &row == &rows.front(); }));
  }
  return SvgFile(fmt::format("{}, {} on {}", flags.what == "phases" ? "Phases" : "Governors", setting.model.name,
                             setting.machine.name),
                 parts);
}

void PrintPolicies(const SimulateFlags& flags, const Setting& setting, const std::vector<PolicyRow>& rows) {
  const ServingResult& base = rows.front().result;
  PrintHead(setting);
  fmt::print("{:<22}{:>12}{:>9}{:>11}{:>11}{:>9}{:>10}{:>9}{:>7}\n", "policy (simulated)", "J/request", "change",
             "p50 ms", "p95 ms", "change", "switches", "refused", "busy");
  for (const PolicyRow& row : rows) {
    const ServingResult& result = row.result;
    fmt::print("{:<22}{:>12.4g}{:>+8.1f}%{:>11.1f}{:>11.1f}{:>+8.1f}%{:>10}{:>9}{:>6.0f}%\n", row.name,
               result.joules_per_request, 100 * (result.joules_per_request / base.joules_per_request - 1),
               result.p50_s * 1e3, result.p95_s * 1e3, 100 * (result.p95_s / base.p95_s - 1), result.switches,
               result.refused_switches, 100 * result.busy_share);
  }
  fmt::print("least joules on one device, p95 at most {:g} % longer than {}: {} (simulated)\n", flags.slowdown_percent,
             rows.front().name, CheapestInTime(rows, flags.slowdown_percent / 100).name);
  for (const PolicyRow& row : rows) {
    PrintCost(fmt::format("1,000 requests, {}, simulated", row.name), row.result.joules_per_request, row.rates);
  }
}

int SimulatePolicies(const SimulateFlags& flags, const Setting& setting) {
  const Result<std::vector<PolicyRow>> rows =
      flags.what == "phases" ? RunPhases(flags, setting) : RunPolicies(flags, setting);
  if (!rows.ok()) return ReportError(rows.status(), flags.json);
  if (!flags.svg.empty()) {
    if (const Status status = WriteTextFile(flags.svg, PoliciesSvg(flags, setting, *rows)); !status.ok()) {
      return ReportError(status, flags.json);
    }
  }
  if (!flags.json) {
    PrintPolicies(flags, setting, *rows);
    return kExitOk;
  }
  OrderedJson json = Head(flags.what, setting);
  json["rows"] = OrderedJson::array();
  for (const PolicyRow& row : *rows) json["rows"].push_back(PolicyJson(row, rows->front().result));
  json["cheapest_in_time"] = CheapestInTime(*rows, flags.slowdown_percent / 100).name;
  PrintJson(json);
  return kExitOk;
}

// All models at once, over lengths of the answer.
int SimulateInflation(const SimulateFlags& flags, const Setting& setting) {
  OrderedJson json = {{"simulated", true},
                      {"what", flags.what},
                      {"machine", setting.machine.name},
                      {"software", setting.software.name},
                      {"rows", OrderedJson::array()}};
  if (!flags.json) {
    fmt::print(
        "simulated: energy with a picture over that without, {} on {}, {} text "
        "tokens\n{:<22}{:>8}{:>14}{:>12}{:>15}{:>14}\n",
        setting.software.name, setting.machine.name, flags.text_tokens, "model", "output", "prompt-only", "iso-token",
        "encode share", "token share");
  }
  for (const ModelShape& model : ModelShapes()) {
    for (const double output : {16.0, 64.0, 256.0}) {
      const Inflation i = InflationOf(setting.machine, model, setting.software,
                                      RequestFor(model, model.tiles, flags.text_tokens, output));
      json["rows"].push_back({{"model", model.name},
                              {"output_tokens", output},
                              {"prompt_only", i.prompt_only},
                              {"iso_token", i.iso_token},
                              {"encode_share", i.encode_share},
                              {"token_share", i.token_share}});
      if (flags.json) continue;
      fmt::print("{:<22}{:>8}{:>+13.0f}%{:>+11.0f}%{:>+14.0f}%{:>+13.0f}%\n", model.name, output, 100 * i.prompt_only,
                 100 * i.iso_token, 100 * i.encode_share, 100 * i.token_share);
    }
  }
  if (flags.json) PrintJson(json);
  return kExitOk;
}

int SimulateValidation(const SimulateFlags& flags) {
  const Result<std::string> machines = MachineDir();
  if (!machines.ok()) return ReportError(machines.status(), flags.json);
  const Result<std::vector<Check>> checks = ValidationChecks(*machines);
  if (!checks.ok()) return ReportError(checks.status(), flags.json);
  OrderedJson json = {{"simulated", true}, {"what", flags.what}, {"rows", OrderedJson::array()}};
  std::string group;
  int bounded = 0;
  int holding = 0;
  for (const Check& check : *checks) {
    const std::string error =
        check.absolute ? fmt::format("{:+.0f}", check.error()) : fmt::format("{:+.0f}%", 100 * check.error());
    const char* const verdict = check.bound <= 0 ? "" : check.holds() ? "holds" : "MISSES";
    bounded += check.bound > 0;
    holding += check.bound > 0 && check.holds();
    json["rows"].push_back({{"group", check.group},
                            {"what", check.what},
                            {"unit", check.unit},
                            {"predicted", check.predicted},
                            {"published", check.published},
                            {"error", check.error()},
                            {"bound", check.bound},
                            {"holds", check.holds()}});
    if (flags.json) continue;
    if (group != check.group) fmt::print("{}\n", group = check.group);
    fmt::print("  {:<44}{:>10.4g} simulated{:>10.4g} published {:<8}{:>6} {}\n", check.what, check.predicted,
               check.published, check.unit, error, verdict);
  }
  json["bounded"] = bounded;
  json["holding"] = holding;
  if (flags.json) {
    PrintJson(json);
  } else {
    fmt::print("{} of {} rows lie within their bounds\n", holding, bounded);
  }
  return kExitOk;
}

int RunSimulate(const SimulateFlags& flags) {
  if (flags.what == "validation") return SimulateValidation(flags);
  const Result<Setting> setting = ReadSetting(flags);
  if (!setting.ok()) return ReportError(setting.status(), flags.json);
  if (flags.what == "policies" || flags.what == "phases") return SimulatePolicies(flags, *setting);
  if (flags.what == "inflation") return SimulateInflation(flags, *setting);
  return SimulateStages(flags, *setting, flags.what == "sweep");
}

void AddWorkloadFlags(CLI::App& command, SimulateFlags& flags) {
  // Beyond these nothing has a meaning; they keep loops and sums bounded.
  constexpr double kMaxTokens = limits::kMaxContext;
  command.add_option("--machine", flags.machine, "A described machine, or FILE.json (default: h100-sxm)");
  command.add_option("--model", flags.model, "A shape (default: SmolVLM-256M; an unknown name lists them)");
  command.add_option("--software", flags.software, "graph (default), transformers or vllm");
  command.add_option("--tiles", flags.tiles, "Tiles of the picture; 0: none (default: a usual picture's)")
      ->check(CLI::Range(0.0, 10000.0));
  command.add_option("--text", flags.text_tokens, "Text tokens of the prompt (default: 128)")
      ->check(CLI::Range(1.0, kMaxTokens));
  command.add_option("--output", flags.output_tokens, "Tokens of the answer (default: 64)")
      ->check(CLI::Range(1.0, kMaxTokens));
}

void AddServingFlags(CLI::App& command, SimulateFlags& flags) {
  command.add_option("--policy", flags.policy, "Only this one beside race-to-idle (default: all)");
  command.add_option("--batch", flags.batch, "Requests taken together at most (default: 8)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--rate", flags.rate, "Arrivals a second, drawn (default: 4)")->check(CLI::Range(1e-6, 1e6));
  command.add_option("--requests", flags.requests, "Number of them (default: 2000)")
      ->check(CLI::Range(size_t{1}, limits::kMaxArrivals));
  command.add_option("--seed", flags.seed, "Of the drawing (default: 1)");
  command.add_option("--arrivals", flags.arrivals, "A file of arrival times in seconds, one a line, instead");
  command.add_option("--slowdown", flags.slowdown_percent, "Percent of time that may be lost (default: 5)")
      ->check(CLI::Range(0.0, 1000.0));
  command.add_option("--dwell-ms", flags.dwell_ms, "How long a clock is kept at least (default: 100)")
      ->check(CLI::Range(0.0, 1e6));
  command.add_option("--slo-ms", flags.slo_ms, "Target of the policy slo (default: race-to-idle's p95 and --slowdown)")
      ->check(CLI::Range(0.0, 1e9));
  command.add_option("--phase-ms", flags.phase_ms, "Of the policies with phases (default: 1000)")
      ->check(CLI::Range(0.0, 1e3 * limits::kMaxPhaseSeconds));
  AddCostFlags(command, flags.cost);
  command.add_option("--start", flags.start, "When it begins, in such files (default: as they do)")->type_name("TIME");
  command.add_option("--svg", flags.svg, "Also draw the policies into a file")->type_name("FILE.svg");
}

}  // namespace

void AddSimulateCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<SimulateFlags>();
  CLI::App* command = program.add_subcommand("simulate", "Time and energy on machines that are not here, by a model");
  SetUsage(*command, "eyeshot simulate [stages|sweep|policies|phases|inflation|validation] [OPTIONS]");
  command->add_option("what", flags->what, "stages (default), sweep, policies, phases, inflation or validation")
      ->check(CLI::IsMember({"stages", "sweep", "policies", "phases", "inflation", "validation"}));
  AddWorkloadFlags(*command, *flags);
  AddServingFlags(*command, *flags);
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(
      R"(Nothing is measured: every figure is simulated. `eyeshot simulate validation` and docs/energy.md show how far such figures
lie from published measurements.)");
  command->callback([flags, &exit_code] { exit_code = RunSimulate(*flags); });
}

}  // namespace eyeshot::cli
