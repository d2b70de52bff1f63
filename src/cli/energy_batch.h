// Questions side by side: what each takes of a scheduler's joules.
#ifndef EYESHOT_CLI_ENERGY_BATCH_H_
#define EYESHOT_CLI_ENERGY_BATCH_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/energy_phases.h"
#include "cli/interrupt.h"
#include "cli/report.h"
#include "eyeshot/engine.h"
#include "eyeshot/scheduler.h"

namespace eyeshot::cli {

struct BatchOptions {
  int batch = 0;       // questions at a time
  double phase_s = 0;  // SchedulerOptions
  int runs = 1;
  int tokens = 64;  // of each answer
  std::string question;
  PictureDetail detail;
  std::string reduce = "none";  // AskOptions
  std::span<const std::unique_ptr<Meter>> meters;
  const MeterGroup* group = nullptr;  // of them; null: times alone are measured
  StageObserver* observer = nullptr;
  const Interrupt* interrupt = nullptr;  // not null
};

struct BatchFigure {
  std::string input;
  int batch = 0;
  int tokens = 0;
  int runs = 0;
  double phase_s = 0;
  double seconds = 0;       // of a batch, on average
  double first_token_s = 0;  // from the question to the first piece of its answer, on average
  double switches = 0;      // from decoding to pictures and prompts or back, a batch
  Ledger request;           // means of one question
  std::vector<Joules> each;  // of the last run's questions
  // Of all runs: what the questions took and nobody did is what was counted.
  Joules questions;
  Joules nobody;
};

// Asks about the pictures `batch` times at once, `runs` times after one to warm up, with pictures that differ by a
// pixel, since equal ones are encoded once. Errors: of Scheduler and its answers; kCancelled.
Result<BatchFigure> MeasureBatch(const std::shared_ptr<Engine>& engine, const std::string& input,
                                 std::span<const std::shared_ptr<const Image>> pictures, const BatchOptions& options);

std::string BatchText(const BatchFigure& figure);
OrderedJson BatchJson(const BatchFigure& figure);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_BATCH_H_
