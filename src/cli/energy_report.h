// What `eyeshot energy` says of a workload.
#ifndef EYESHOT_CLI_ENERGY_REPORT_H_
#define EYESHOT_CLI_ENERGY_REPORT_H_

#include <string>

#include "cli/energy_workload.h"
#include "cli/report.h"

namespace eyeshot::cli {

// "spread 1.9 % over 5 runs", and whether that is too much to be repeatable.
std::string SpreadText(const Repeated& figure);

std::string WorkloadText(const WorkloadReport& report);
OrderedJson WorkloadJson(const WorkloadReport& report);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_REPORT_H_
