// The file that says how fast this machine is: made, found, and doubted.
#ifndef EYESHOT_CLI_PLAN_SPEED_H_
#define EYESHOT_CLI_PLAN_SPEED_H_

#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "plan/calibrate.h"
#include "plan/speed.h"

namespace eyeshot::cli {

// `path`, or where it is empty the file of this CPU, instruction set and number of threads in the user's cache.
Result<std::string> SpeedPath(const std::string& path, const Backend& backend);

// Measures, with progress and Ctrl-C, and writes the file. Errors: those of Calibrate, kIo.
Result<plan::Calibration> CalibrateInto(const std::string& path, Backend& backend, int rounds);

struct FoundSpeed {
  plan::MachineSpeed speed;
  std::string path;
  std::vector<std::string> doubts;  // why it may not hold here
};
// Error: kNotFound (nobody has measured yet), with the command that does.
Result<FoundSpeed> FindSpeed(const std::string& path, const Backend& backend);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PLAN_SPEED_H_
