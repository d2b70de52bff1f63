#include "cli/governor_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "energy/clocks/lease.h"

namespace eyeshot::cli {
namespace {

constexpr double kDwellS = 0.1;

bool SetsSomething(const GovernorFlags& flags, const GovernorChoice& choice) {
  return choice.touches_clocks() || flags.power_limit_w > 0 || !flags.energy_preference.empty();
}

Result<TuneProfile> LoadProfile(const std::string& path, const GovernorChoice& choice) {
  if (!FileExists(path)) {
    return NotFoundError(fmt::format("--governor {} needs a profile, and there is none at {}", choice.name, path),
                         "run `eyeshot tune` with this model first, or name one with --profile");
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxProfileBytes));
  return ParseProfile(text, path);
}

}  // namespace

void AddGovernorFlags(CLI::App& command, GovernorFlags& flags) {
  command
      .add_option("--governor", flags.governor,
                  "Of clocks (with --allow-clocks): fixed:MHZ, race-to-idle, ondemand, one-clock, stage-table, "
                  "memory-safe, slo:MS, encode-low, decode-low, oracle; or gears, which sets threads alone")
      ->type_name("G");
  command.add_flag("--allow-clocks", flags.allow_clocks,
                   "Clocks and power limits of this machine may be set meanwhile");
  command.add_option("--profile", flags.profile, "What `eyeshot tune` has measured; its own place by default")
      ->type_name("FILE");
  command.add_option("--slowdown", flags.slowdown_percent, "Percent that a governor may make stages slower")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str()
      ->type_name("P");
  command.add_option("--power-limit", flags.power_limit_w, "Of a GPU, for the time of the command (--allow-clocks)")
      ->check(CLI::Range(1.0, 1e5))
      ->type_name("WATTS");
  command
      .add_option("--energy-preference", flags.energy_preference,
                  "Of a processor, for the time of the command: performance, balance_power, ... (--allow-clocks)")
      ->type_name("NAME");
}

std::string DefaultProfilePath() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  std::string folder = config != nullptr && *config == '/' ? config : JoinPath(home == nullptr ? "." : home, ".config");
  return JoinPath(JoinPath(folder, "eyeshot"), "profile.json");
}

std::string MachineNameOf(const ModelInfo& model) {
  if (model.device == "cpu") return CpuName();
  const size_t open = model.device.find('(');
  if (open == std::string::npos) return model.device;
  return model.device.substr(open + 1, model.device.rfind(')') - open - 1);
}

std::string SysfsRoot() {
  const char* named = std::getenv("EYESHOT_SYSFS");
  return named != nullptr && *named != '\0' ? named : "/sys";
}

void RepairClocks() {
  const Result<bool> repaired = RepairLease(LeasePath());
  if (!repaired.ok()) {
    fmt::print(stderr, "eyeshot: {}\n", repaired.status().message());
  } else if (*repaired) {
    fmt::print(stderr, "note: an earlier run ended without putting the machine's clocks back; they are back now\n");
  }
}

Result<std::unique_ptr<ClockSession>> BeginClocks(const ModelInfo& model) {
  std::unique_ptr<ClockControl> control;
  if (model.pci_bus_id.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(control, OpenCpuClocks(SysfsRoot()));
  } else {
    EYESHOT_ASSIGN_OR_RETURN(control, OpenGpuClocks(model.pci_bus_id));
  }
  const std::string lease = LeasePath();
  return ClockSession::Begin(std::move(control), lease, {"/proc/self/exe", "dev", kGuardCommand, lease});
}

Result<std::unique_ptr<Governor>> Governor::Prepare(const GovernorFlags& flags, ModelFlags& model) {
  std::unique_ptr<Governor> governor(new Governor(flags));
  EYESHOT_ASSIGN_OR_RETURN(governor->choice_, ParseGovernor(flags.governor));
  const GovernorChoice& choice = governor->choice_;
  if (SetsSomething(flags, choice) && !flags.allow_clocks) {
    return InvalidArgumentError(
        choice.touches_clocks() ? fmt::format("--governor {} sets the clock of this machine", choice.name)
                                : "--power-limit and --energy-preference set this machine",
        "add --allow-clocks if that is meant (all is put back at the end), or take --governor gears");
  }
  if (!choice.needs_profile()) return governor;
  governor->profile_path_ = flags.profile.empty() ? DefaultProfilePath() : flags.profile;
  EYESHOT_ASSIGN_OR_RETURN(governor->profile_, LoadProfile(governor->profile_path_, choice));
  if (choice.kind == GovernorChoice::Kind::kGears) model.decode_threads = governor->profile_->decode_threads;
  return governor;
}

Governor::~Governor() { static_cast<void>(Finish()); }

// Each model is its own case, and so is each machine.
Status Governor::CheckProfile(const ModelInfo& model) const {
  if (!profile_) return Status::Ok();
  const auto differs = [&](std::string_view what, const std::string& of, const std::string& is) {
    return InvalidArgumentError(
        fmt::format("{} is a profile of the {} '{}', and this is '{}'", profile_path_, what, of, is),
        "run `eyeshot tune` with this model here, or name another one with --profile");
  };
  const std::string machine = MachineNameOf(model);
  if (profile_->machine != machine) return differs("machine", profile_->machine, machine);
  if (profile_->model != model.name) return differs("model", profile_->model, model.name);
  if (profile_->precision != model.precision) return differs("precision", profile_->precision, model.precision);
  return Status::Ok();
}

Status Governor::Start(const ModelInfo& model) {
  EYESHOT_RETURN_IF_ERROR(CheckProfile(model));
  if (!SetsSomething(flags_, choice_)) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(session_, BeginClocks(model));
  ClockControl& control = session_->control();
  if (flags_.power_limit_w > 0) EYESHOT_RETURN_IF_ERROR(control.SetPowerLimit(flags_.power_limit_w));
  if (!flags_.energy_preference.empty()) EYESHOT_RETURN_IF_ERROR(control.SetPreference(flags_.energy_preference));
  if (!choice_.touches_clocks()) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(
      plan_, PlanClocks(choice_, control.clocks_mhz(), profile_ ? &*profile_ : nullptr, flags_.slowdown_percent / 100));
  governor_ = std::make_unique<StageGovernor>(control, plan_, kDwellS);
  return Status::Ok();
}

void Governor::Watch(SchedulerOptions& scheduler) {
  if (governor_ == nullptr) return;
  scheduler.stage_observer = governor_.get();
  scheduler.on_request_end = [governor = governor_.get()](const RequestEnd& end) {
    if (end.answered) governor->Observe(end.seconds);
    if (end.last) governor->Idle();
  };
}

bool Governor::follows_stages() const {
  return governor_ != nullptr && (plan_.clock_mhz[0] != plan_.clock_mhz[1] || plan_.clock_mhz[1] != plan_.clock_mhz[2]);
}

Status Governor::Finish() {
  if (governor_ != nullptr) {
    report_ = governor_->Finish();
    governor_.reset();
  }
  if (session_ == nullptr) return report_.failure;
  const Status ended = session_->End();
  session_.reset();
  return report_.failure.ok() ? ended : report_.failure;
}

Result<GovernedEngine> LoadGoverned(const ModelFlags& model, const GovernorFlags& flags, bool chatty) {
  GovernedEngine loaded;
  ModelFlags own = model;
  EYESHOT_ASSIGN_OR_RETURN(loaded.governor, Governor::Prepare(flags, own));
  EYESHOT_ASSIGN_OR_RETURN(loaded.engine, LoadEngine(own, chatty));
  EYESHOT_RETURN_IF_ERROR(loaded.governor->Start(loaded.engine->info()));
  return loaded;
}

std::string Governor::Summary() const {
  if (choice_.kind == GovernorChoice::Kind::kNone) return "";
  if (choice_.kind == GovernorChoice::Kind::kGears) {
    return fmt::format("governor gears: threads while decoding: {}", profile_->decode_threads == 0
                                                                         ? std::string("all")
                                                                         : fmt::format("{}", profile_->decode_threads));
  }
  // Where nothing was set, it is as it begins.
  const double at_end = report_.switches > 0 ? report_.clock_mhz : plan_.clock_mhz[0];
  const std::string clocks = choice_.kind == GovernorChoice::Kind::kSlo
                                 ? fmt::format("one clock, {:.0f} MHz at the end", at_end)
                                 : Described(plan_);
  return fmt::format("governor {}: {}; {} settings of the clock, {:.3g} s; {} kept waiting", choice_.name, clocks,
                     report_.switches, report_.switch_s, report_.delayed);
}

}  // namespace eyeshot::cli
