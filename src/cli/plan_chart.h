// The chart of a plan: time against accuracy, every way a dot, those that nothing beats joined by a line.
#ifndef EYESHOT_CLI_PLAN_CHART_H_
#define EYESHOT_CLI_PLAN_CHART_H_

#include <string>

#include "cli/plan_report.h"

namespace eyeshot::cli {

// A file of its own.
std::string PlanSvg(const PlanReport& report);
// A page with the chart, the words and a table.
std::string PlanHtml(const PlanReport& report);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PLAN_CHART_H_
