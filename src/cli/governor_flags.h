// --governor and what belongs to it: a governor of clocks, or of threads, for the time of a command.
#ifndef EYESHOT_CLI_GOVERNOR_FLAGS_H_
#define EYESHOT_CLI_GOVERNOR_FLAGS_H_

#include <memory>
#include <optional>
#include <string>

#include "cli/model_flags.h"
#include "energy/clocks/clock_session.h"
#include "energy/governors/clock_plan.h"
#include "energy/governors/stage_governor.h"
#include "eyeshot/scheduler.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

struct GovernorFlags {
  std::string governor = "none";
  bool allow_clocks = false;
  std::string profile;  // empty: DefaultProfilePath()
  double slowdown_percent = 5;
  double power_limit_w = 0;  // 0: as it is
  std::string energy_preference;  // empty: as it is
};

// --governor, --allow-clocks, --profile, --slowdown, --power-limit, --energy-preference.
void AddGovernorFlags(CLI::App& command, GovernorFlags& flags);

// $XDG_CONFIG_HOME/eyeshot/profile.json, else ~/.config/eyeshot/profile.json.
std::string DefaultProfilePath();

// What a profile calls the device that runs the model: the processor's name, or the GPU's.
std::string MachineNameOf(const ModelInfo& model);

// Puts back clocks that an earlier run has left, and says so on standard error. At every start.
void RepairClocks();
// What the guard of a lease runs ("eyeshot dev clock-guard LEASE").
inline constexpr const char* kGuardCommand = "clock-guard";

// $EYESHOT_SYSFS, else /sys.
std::string SysfsRoot();

// The clocks of the device that runs the model, with a lease and a guard; whoever calls has seen --allow-clocks.
// Errors: those of OpenCpuClocks(), OpenGpuClocks() and ClockSession.
Result<std::unique_ptr<ClockSession>> BeginClocks(const ModelInfo& model);

class Governor {
 public:
  // Before the model is loaded: reads the profile, if the governor needs one, and sets the threads of "gears" in
  // `model`. Errors: of ParseGovernor(), ParseProfile(); kInvalidArgument (--allow-clocks is missing).
  static Result<std::unique_ptr<Governor>> Prepare(const GovernorFlags& flags, ModelFlags& model);
  ~Governor();

  // With the loaded model: checks that the profile is of this model and machine, and begins to set clocks.
  Status Start(const ModelInfo& model);

  // Of AskOptions; null: nothing to tell.
  StageObserver* observer() { return governor_.get(); }
  // Makes a scheduler tell of its stages and requests. It has to end before Finish().
  void Watch(SchedulerOptions& scheduler);
  // Whether stages have clocks of their own.
  bool follows_stages() const;
  void RequestDone(double seconds) {
    if (governor_ != nullptr) governor_->RequestDone(seconds);
  }

  // Puts clocks back. Errors: the first setting that failed, or that of putting back.
  Status Finish();
  // "one-clock: encode 1410, prefill 1410, decode 1410 MHz; 2 switches, 0.031 s"; empty: no governor. After Finish().
  std::string Summary() const;

 private:
  explicit Governor(const GovernorFlags& flags) : flags_(flags) {}
  Status CheckProfile(const ModelInfo& model) const;

  GovernorFlags flags_;
  GovernorChoice choice_;
  std::string profile_path_;
  std::optional<TuneProfile> profile_;
  std::unique_ptr<ClockSession> session_;
  std::unique_ptr<StageGovernor> governor_;
  ClockPlan plan_;
  GovernorReport report_;
};

// A model with its governor, which has begun. Errors: of LoadEngine() and Governor.
struct GovernedEngine {
  std::shared_ptr<Engine> engine;
  std::unique_ptr<Governor> governor;
};
Result<GovernedEngine> LoadGoverned(const ModelFlags& model, const GovernorFlags& flags, bool chatty);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_GOVERNOR_FLAGS_H_
