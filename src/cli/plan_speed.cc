#include "cli/plan_speed.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "base/cpu.h"
#include "base/error.h"
#include "base/file.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

namespace eyeshot::cli {

Result<std::string> SpeedPath(const std::string& path, const Backend& backend) {
  if (!path.empty()) return path;
  return plan::MachineSpeedPath([](const char* name) { return std::getenv(name); }, CpuName(), backend.info().isa,
                                backend.info().threads);
}

Result<plan::Calibration> CalibrateInto(const std::string& path, Backend& backend, int rounds) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string file, SpeedPath(path, backend));
  Progress progress(true);
  Interrupt interrupt;
  EYESHOT_ASSIGN_OR_RETURN(plan::Calibration calibration,
                           plan::Calibrate(backend, {.rounds = rounds, .on_progress = [&](double share) {
                                                       progress.Show("measuring", share);
                                                       return !interrupt.flag()->load();
                                                     }}));
  progress.Clear();
  calibration.speed.version = EYESHOT_VERSION;
  calibration.speed.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
  std::error_code error;  // of which the writing tells
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), error);
  EYESHOT_RETURN_IF_ERROR(WriteTextFile(file, plan::MachineSpeedJson(calibration.speed)));
  return calibration;
}

Result<FoundSpeed> FindSpeed(const std::string& path, const Backend& backend) {
  FoundSpeed found;
  EYESHOT_ASSIGN_OR_RETURN(found.path, SpeedPath(path, backend));
  if (!FileExists(found.path)) {
    return NotFoundError(fmt::format("this machine was not measured yet: there is no {}", found.path),
                         "run `eyeshot plan --calibrate`, which takes less than a minute, or name a machine that is "
                         "simulated with --machine");
  }
  EYESHOT_ASSIGN_OR_RETURN(found.speed, plan::LoadMachineSpeed(found.path));
  found.doubts =
      plan::StaleReasons(found.speed, CpuName(), backend.info().isa, backend.info().threads, EYESHOT_VERSION);
  return found;
}

}  // namespace eyeshot::cli
