// What `eyeshot eval` says of its results: tables, JSON and pages.
#ifndef EYESHOT_CLI_EVAL_REPORT_H_
#define EYESHOT_CLI_EVAL_REPORT_H_

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/eval_run.h"
#include "cli/eval_settings.h"
#include "cli/report.h"
#include "eval/summary.h"

namespace eyeshot::cli {

// A point of a sweep, or all there is.
struct EvalPoint {
  eval::Point point;
  eval::Summary summary;
  eval::Interval difference;  // to the first point, by pairs of questions; of that itself 0
};

// What a sweep's points are drawn over: a mean of their questions.
struct EvalCost {
  std::string key;    // "ms", "tokens", "rapl", ...
  std::string title;  // "milliseconds a question"
  std::string unit;
  std::vector<double> values;  // by point
  std::vector<bool> front;     // which points are on the Pareto front of score over it
};

struct EvalReport {
  std::string set;     // its path
  const eval::Scorer* scorer = nullptr;
  std::vector<eval::SweepAxis> axes;
  std::vector<EvalPoint> points;
  std::vector<EvalCost> costs;  // CostsOf(points)
  ModelInfo info;  // name empty: nothing was asked
  std::vector<ModelInfo> infos;  // EvalOutcome::infos
  double seconds = 0;
  size_t resumed = 0;
  std::vector<std::string> governors;  // what they did
  Ledger ledger;
  // How many answers are another engine's, of those that it has, by task and in all (""): empty without --answers.
  std::map<std::string, double> agreement;
  std::optional<double> total_agreement;
};

// Those in which the points differ and that all of them have. REQUIRES: a point.
std::vector<EvalCost> CostsOf(const std::vector<EvalPoint>& points);
// Error: kInvalidArgument (no key that EvalCost may have).
Status CheckCostName(std::string_view key);
// "ms, tokens": the keys of the costs on whose front a point is.
std::string FrontNames(const EvalReport& report, size_t point);

void PrintReport(const EvalReport& report);
OrderedJson ReportJson(const EvalReport& report);

// A line for each point whose answers were asked for, as `eyeshot plan --points` reads them; `settings` are those of
// report.points, and report.infos are there. Points whose KEEP is no number of tokens are left out: a plan knows none
// other.
std::string PointsText(const EvalReport& report, std::span<const EvalSettings> settings);

// A page; and the first cost's (or the named one's) chart alone, as an SVG file.
std::string EvalHtml(const EvalReport& report);
Result<std::string> EvalSvg(const EvalReport& report, const std::string& cost);

// `eyeshot eval --compare`.
struct EvalComparison {
  std::string a;
  std::string b;
  const eval::Scorer* scorer = nullptr;
  eval::Comparison result;
};
void PrintComparison(const EvalComparison& comparison);
OrderedJson ComparisonJson(const EvalComparison& comparison);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_EVAL_REPORT_H_
