// How `eyeshot eval` asks: its settings, as flags and as axes of a sweep.
#ifndef EYESHOT_CLI_EVAL_SETTINGS_H_
#define EYESHOT_CLI_EVAL_SETTINGS_H_

#include <string>
#include <vector>

#include "cli/governor_flags.h"
#include "cli/model_flags.h"
#include "cli/report.h"
#include "eval/ask.h"
#include "eval/record.h"
#include "eval/sweep.h"
#include "eyeshot/engine.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

struct EvalSettings {
  ModelFlags model;
  GovernorFlags governor;
  AskOptions options;
  std::string prompt;  // a name of eval::PromptKinds()
  bool jpeg_scaling = false;
  double watts = 0;  // BudgetFlags
};

// Puts axes that reload the model first, so that it is loaded once for each of their combinations. Errors:
// kInvalidArgument (no such axis, or no such value of one).
Result<std::vector<eval::SweepAxis>> CheckAxes(const std::vector<eval::SweepAxis>& axes);
// "detail, kv-cache, ..."
std::string AxisNames();

// The settings at a point of a sweep. REQUIRES: axes that passed CheckAxes().
Result<EvalSettings> SettingsAt(const EvalSettings& base, const eval::Point& point);
// Whether a model that was loaded for `a`, with its governor, serves `b`.
bool SameModel(const EvalSettings& a, const EvalSettings& b);

// What a file of results says of settings, without those that `axes` vary. `info` is the loaded model's.
Result<OrderedJson> SettingsJson(const EvalSettings& settings, const ModelInfo& info,
                                 const std::vector<eval::SweepAxis>& axes);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_EVAL_SETTINGS_H_
