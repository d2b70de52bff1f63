// The workload of `eyeshot energy`: questions with pictures and their text-only twins, in phases, and the joules of
// their stages.
#ifndef EYESHOT_CLI_ENERGY_WORKLOAD_H_
#define EYESHOT_CLI_ENERGY_WORKLOAD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/energy_batch.h"
#include "cli/energy_machine.h"
#include "cli/energy_phases.h"
#include "cli/energy_set.h"
#include "cli/energy_solution.h"
#include "cli/governor_flags.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "energy/cost.h"
#include "energy/meters/find.h"
#include "eyeshot/engine.h"

namespace eyeshot::cli {

struct WorkloadFlags {
  ModelFlags model;
  GovernorFlags governor;
  std::vector<std::string> images;      // files; empty: synthetic pictures
  std::vector<std::string> sizes;       // "512x512"
  std::vector<int> per_question;        // pictures; empty: all that were given, or one
  PictureDetail detail{PictureDetail::Kind::kAuto, 0};
  std::string reduce = "none";          // AskOptions::reduce
  double watts = 0;                     // BudgetFlags
  std::vector<int> tokens = {64};       // of answers
  std::string question = "Describe the image.";
  std::vector<int> batches;  // numbers of questions that are also asked side by side
  double phase_s = 0;        // SchedulerOptions::phase_s of those
  std::string set;     // a file of questions with answers; empty: none
  int64_t limit = 0;   // of its questions; 0: all
  std::string machine;  // for peaks and, without a meter, for a model's power; empty: found by itself
  int runs = 3;
  double seconds = 4;       // of each input and run, shared by its phases
  double idle_seconds = 2;  // of each of the two idle powers
};

struct WorkloadReport {
  ModelInfo model;
  std::vector<MeterGroup> groups;
  std::vector<MeterInfo> meters;
  std::vector<MissingMeter> missing;
  std::vector<double> period_s;              // by group, as it was seen
  std::vector<std::optional<IdlePower>> idle;   // by group: before anything was loaded
  std::vector<std::optional<IdlePower>> ready;  // by group: the model loaded, waiting
  MachineChoice machine;
  std::vector<RequestFigure> requests;
  std::vector<BatchFigure> batches;
  std::optional<SetFigure> set;
  std::vector<std::string> skipped;  // inputs that don't fit, and why
  std::vector<PhaseResult> last_run;
  std::string governor;  // what it did; empty: none
  std::vector<std::string> budgets;  // what KEEP in milliseconds or joules came to, by input; empty: it has none
  double planned_s = 0;
  double measured_s = 0;
  double sampler_cpu_share = 0;
  PerKwh rates;  // when it was begun
};

// Progress and the plan are told on standard error. `found`: the meters of this machine. Error: kCancelled (Ctrl-C),
// and others.
Result<WorkloadReport> RunWorkload(const WorkloadFlags& flags, FoundMeters found, const Interrupt& interrupt);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_WORKLOAD_H_
