// The report of `eyeshot energy --html`: one file that asks for nothing else, for light and dark, wide and narrow.
#ifndef EYESHOT_CLI_ENERGY_HTML_H_
#define EYESHOT_CLI_ENERGY_HTML_H_

#include <string>

#include "cli/energy_workload.h"

namespace eyeshot::cli {

std::string WorkloadHtml(const WorkloadReport& report);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_HTML_H_
