#include "cli/energy_of_command.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "energy/meters/attribution.h"
#include "energy/meters/sampler.h"

namespace eyeshot::cli {
namespace {

// As shells and `env` say it.
constexpr int kExitNotExecutable = 126;
constexpr int kExitNoCommand = 127;
constexpr int kExitSignal = 128;
constexpr char kHelpOfMeters[] =
    "give --cpu-watts IDLE,BUSY for an estimate (the watts of this machine when it does nothing, and more for each "
    "busy "
    "core), or make a meter readable as the lines above say";

// What one meter said of the command.
struct MeterResult {
  MeterInfo info;
  Joules joules;
  std::optional<IdlePower> idle;
  uint64_t lost = 0;
  std::string note;  // why there is no figure, or what is odd; empty: nothing
};

struct EnergyReport {
  std::vector<std::string> command;
  int exit_code = 0;
  double seconds = 0;
  double idle_seconds = 0;
  double sampler_cpu_share = 0;  // of a core
  std::vector<MeterResult> meters;
  std::vector<MissingMeter> missing;
  PerKwh rates;           // the mean while it ran
  std::string rate_note;  // where a series ended before
};

// While it lives this program outlives a Ctrl-C, which is the command's.
class IgnoredInterrupts {
 public:
  IgnoredInterrupts() {
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignore, &old_int_);
    sigaction(SIGQUIT, &ignore, &old_quit_);
  }
  ~IgnoredInterrupts() {
    sigaction(SIGINT, &old_int_, nullptr);
    sigaction(SIGQUIT, &old_quit_, nullptr);
  }
  IgnoredInterrupts(const IgnoredInterrupts&) = delete;
  IgnoredInterrupts& operator=(const IgnoredInterrupts&) = delete;

 private:
  struct sigaction old_int_ = {};
  struct sigaction old_quit_ = {};
};

// Runs it to its end. Returns its exit code, or 128 and the signal that ended it. `start_error`: why it didn't start.
int RunCommand(const std::vector<std::string>& command, int* start_error) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGINT);
  sigaddset(&defaults, SIGQUIT);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  const IgnoredInterrupts ignored;
  pid_t child = 0;
  *start_error = posix_spawnp(&child, arguments[0], nullptr, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  if (*start_error != 0) return *start_error == ENOENT ? kExitNoCommand : kExitNotExecutable;
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitSignal + WTERMSIG(status);
}

Joules WholeOf(const MeterTrace& trace, std::string* note) {
  const Result<EnergyCurve> curve = EnergyCurve::Make(trace.info, trace.samples);
  if (!curve.ok()) {
    *note = trace.failure.ok() ? curve.status().message() : trace.failure.message();
    return {};
  }
  // What was taken after the last good reading isn't in the sum.
  if (trace.last_lost) {
    *note = trace.failure.message();
    return {};
  }
  const Joules joules = curve->Between(curve->begin_ns(), curve->end_ns());
  if (joules.source == EnergySource::kNone) {
    *note = fmt::format("below resolution: the counter moves each {:g} s, and two such times are needed",
                        trace.info.resolution_s);
  } else if (trace.lost > 0) {
    *note = fmt::format("{} readings were lost ({})", trace.lost, trace.failure.found());
  }
  return joules;
}

// Power of each meter while the machine idles; without a value where it can't be said.
std::vector<std::optional<IdlePower>> MeasureIdle(const std::vector<std::unique_ptr<Meter>>& meters, double seconds) {
  std::vector<std::optional<IdlePower>> powers(meters.size());
  if (seconds <= 0) return powers;
  Sampler sampler(meters);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  sampler.Stop();
  const std::vector<MeterTrace> traces = sampler.Traces();
  for (size_t i = 0; i < traces.size(); ++i) {
    std::string note;
    const Joules joules = WholeOf(traces[i], &note);
    if (joules.source == EnergySource::kNone) continue;
    powers[i] = MeanPower(joules, traces[i].samples.back().at_ns - traces[i].samples.front().at_ns);
  }
  return powers;
}

Result<EnergyReport> Measure(const EnergyFlags& flags, FoundMeters found, std::vector<std::string> command,
                             const KwhRates& rates) {
  EnergyReport report{.command = std::move(command), .idle_seconds = flags.idle_s, .missing = std::move(found.missing)};
  const std::vector<std::optional<IdlePower>> idle = MeasureIdle(found.meters, flags.idle_s);
  int start_error = 0;
  Sampler sampler(found.meters);
  const double begin_s = WallClock();
  const uint64_t begin = SteadyNowNs();
  report.exit_code = RunCommand(report.command, &start_error);
  report.seconds = static_cast<double>(SteadyNowNs() - begin) * 1e-9;
  sampler.Stop();
  if (start_error != 0) {
    const std::string found_error = fmt::format("'{}' can't be run: {}", report.command[0], std::strerror(start_error));
    const std::string mend = "check the command's name and path";
    return start_error == ENOENT ? NotFoundError(found_error, mend) : IoError(found_error, mend);
  }
  report.rates = MeanOf(rates, begin_s, begin_s + report.seconds);
  if (const Status status = rates.Check(begin_s, begin_s + report.seconds); !status.ok()) {
    report.rate_note = fmt::format("{}; its last value was taken", status.found());
  }
  report.sampler_cpu_share = sampler.cpu_seconds() / report.seconds;
  const std::vector<MeterTrace> traces = sampler.Traces();
  for (size_t i = 0; i < traces.size(); ++i) {
    MeterResult result{.info = traces[i].info, .idle = idle[i], .lost = traces[i].lost};
    result.joules = WholeOf(traces[i], &result.note);
    report.meters.push_back(std::move(result));
  }
  return report;
}

std::string PartNote(EnergyDomain domain) {
  if (domain == EnergyDomain::kCore) return "a part of the package";
  if (domain == EnergyDomain::kPlatform) return "the package and more";
  return "";
}

Joules ActiveOf(const MeterResult& meter, double seconds) {
  return meter.idle ? WithoutIdle(meter.joules, static_cast<uint64_t>(seconds * 1e9), *meter.idle) : Joules{};
}

std::string MeterText(const MeterResult& meter, double seconds, const PerKwh& rates) {
  const Joules& joules = meter.joules;
  std::string text = fmt::format("{:<8}", EnergyDomainName(meter.info.domain));
  if (joules.source == EnergySource::kNone) return text + fmt::format("no figure: {}\n", meter.note);
  const Joules active = ActiveOf(meter, seconds);
  text += fmt::format("{:>10.4g} J  ({:.4g} to {:.4g})  {:>7.4g} W", joules.value, joules.low, joules.high,
                      joules.value / seconds);
  if (meter.idle) {
    text += fmt::format("; idle {:.4g} W, without it {:.4g} J ({:.4g} to {:.4g})", meter.idle->watts, active.value,
                        active.low, active.high);
  }
  text += joules.source == EnergySource::kModel ? "; an ESTIMATE, not a measurement, by the " : "; measured by ";
  text += meter.info.name;
  const std::string part = PartNote(meter.info.domain);
  if (!part.empty()) text += fmt::format("; {}", part);
  if (!meter.note.empty()) text += fmt::format("; {}", meter.note);
  if (const std::string cost = CostText("cost", joules, 1, rates); !cost.empty()) text += "; " + cost;
  return text + "\n";
}

// Of domains that don't overlap, where all have a figure of one source and there is more than one.
Joules TotalOf(const std::vector<MeterResult>& meters) {
  Joules total;
  int summed = 0;
  for (const MeterResult& meter : meters) {
    if (OverlapsOthers(meter.info.domain)) continue;
    ++summed;
    if (!AddJoules(total, meter.joules)) return {};
  }
  return summed > 1 ? total : Joules{};
}

std::string ReportText(const EnergyReport& report) {
  std::string text = fmt::format("\ncommand: {}\nexit code: {}\ntime:   {:>10.4g} s\n", fmt::join(report.command, " "),
                                 report.exit_code, report.seconds);
  for (const MeterResult& meter : report.meters) text += MeterText(meter, report.seconds, report.rates);
  const Joules total = TotalOf(report.meters);
  if (total.source != EnergySource::kNone) {
    text += fmt::format("total   {:>10.4g} J  ({:.4g} to {:.4g})  {:>7.4g} W\n", total.value, total.low, total.high,
                        total.value / report.seconds);
    if (const std::string cost = CostText("total cost", total, 1, report.rates); !cost.empty()) text += cost + "\n";
  }
  if (!report.rate_note.empty()) text += report.rate_note + "\n";
  text += "Joules are the whole machine's while the command ran, whatever else worked on it.\n";
  if (!report.missing.empty()) text += "Not read:\n" + MissingText(report.missing);
  return text;
}

OrderedJson MeterJson(const MeterResult& meter, double seconds, const PerKwh& rates) {
  const bool known = meter.joules.source != EnergySource::kNone;
  OrderedJson json = {{"name", meter.info.name},
                      {"domain", EnergyDomainName(meter.info.domain)},
                      {"source", EnergySourceName(meter.info.source)},
                      {"measured", known && meter.info.source != EnergySource::kModel},
                      {"resolution_j", meter.info.resolution_j},
                      {"resolution_s", meter.info.resolution_s}};
  json["joules"] = JoulesJson(meter.joules);
  PutCosts(json, meter.joules, rates);
  json["mean_w"] = known ? OrderedJson(meter.joules.value / seconds) : OrderedJson();
  json["idle_w"] = meter.idle ? OrderedJson(meter.idle->watts) : OrderedJson();
  json["active_joules"] = JoulesJson(ActiveOf(meter, seconds));
  json["overlaps_others"] = OverlapsOthers(meter.info.domain);
  json["lost_readings"] = meter.lost;
  json["note"] = meter.note.empty() ? OrderedJson() : OrderedJson(meter.note);
  return json;
}

OrderedJson ReportJson(const EnergyReport& report) {
  OrderedJson json = {{"command", report.command}, {"exit_code", report.exit_code}, {"seconds", report.seconds}};
  json["idle_seconds"] = report.idle_seconds;
  json["meters"] = OrderedJson::array();
  for (const MeterResult& meter : report.meters)
    json["meters"].push_back(MeterJson(meter, report.seconds, report.rates));
  json["total_joules"] = JoulesJson(TotalOf(report.meters));
  if (report.rates.any()) {
    PutCosts(json["total_cost"], TotalOf(report.meters), report.rates);
    json["rate_note"] = report.rate_note.empty() ? OrderedJson() : OrderedJson(report.rate_note);
  }
  json["not_read"] = MissingJson(report.missing);
  json["sampler_cpu_share"] = report.sampler_cpu_share;
  return json;
}

Status WriteReport(const EnergyFlags& flags, const EnergyReport& report) {
  if (flags.output.empty()) {
    if (flags.json) {
      PrintJson(ReportJson(report));
    } else {
      fmt::print(stderr, "{}", ReportText(report));
    }
    return Status::Ok();
  }
  const std::string text = flags.json ? JsonLine(ReportJson(report)) : ReportText(report);
  return WriteTextFile(flags.output, text);
}

// No meter at all: what was tried, and what to do.
int ReportNoMeter(const EnergyFlags& flags, const std::vector<MissingMeter>& missing) {
  fmt::print(stderr, "No meter of energy can be read on this machine, and the command was not run. Tried:\n{}",
             MissingText(missing));
  const Status status = NotFoundError("no meter of energy can be read", kHelpOfMeters);
  if (!flags.json) return ReportError(status, false);
  fmt::print(stderr, "eyeshot: {}\n", status.message());
  PrintJson({{"error", {{"code", StatusCodeName(status.code())}, {"message", status.message()}}},
             {"not_read", MissingJson(missing)}});
  return ExitCodeOf(status);
}

}  // namespace

int MeasureCommand(const EnergyFlags& flags, FoundMeters found, const std::vector<std::string>& command,
                   const KwhRates& rates) {
  if (found.meters.empty()) return ReportNoMeter(flags, found.missing);
  const Result<EnergyReport> report = Measure(flags, std::move(found), command, rates);
  if (!report.ok()) {
    ReportError(report.status(), flags.json);
    return report.status().code() == StatusCode::kNotFound ? kExitNoCommand : kExitNotExecutable;
  }
  if (const Status status = WriteReport(flags, *report); !status.ok()) return ReportError(status, flags.json);
  return report->exit_code;
}

}  // namespace eyeshot::cli
