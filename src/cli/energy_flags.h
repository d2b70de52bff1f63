// What both kinds of `eyeshot energy` have in common: flags, and what to say of meters that can't be read.
#ifndef EYESHOT_CLI_ENERGY_FLAGS_H_
#define EYESHOT_CLI_ENERGY_FLAGS_H_

#include <string>
#include <vector>

#include "cli/cost_flags.h"
#include "cli/energy_workload.h"
#include "cli/report.h"
#include "energy/meters/find.h"

namespace eyeshot::cli {

struct EnergyFlags {
  std::string sysfs = "/sys";
  std::vector<double> cpu_watts;
  double idle_s = 0;  // 0: a command's idle power is not measured, a workload's for its own default
  std::string output;
  std::string html;  // a report of a workload as a page
  bool json = false;
  WorkloadFlags workload;
  CostFlags cost;
};

// A line for each kind of meter that can't be read, with why and what to do.
std::string MissingText(const std::vector<MissingMeter>& missing);
OrderedJson MissingJson(const std::vector<MissingMeter>& missing);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_FLAGS_H_
