// The machine beside the meters: what it can do at most, which of its limits a stage meets, and, where no meter can be
// read, what a model of a machine says of joules.
#ifndef EYESHOT_CLI_ENERGY_MACHINE_H_
#define EYESHOT_CLI_ENERGY_MACHINE_H_

#include <optional>
#include <string>
#include <string_view>

#include "energy/simulator/machine.h"
#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

struct Peaks {
  double flops_per_s = 0;
  double bytes_per_s = 0;
  std::string source;  // in words
};

struct MachineChoice {
  std::optional<Peaks> peaks;
  std::optional<simulator::Machine> machine;  // the one of the peaks, or a stand-in
  bool stand_in = false;  // nobody named it, and it isn't this one
};

// `asked`: a machine of data/machines or a FILE.json; empty: of a GPU the one that its name says, of a processor what a
// probe of a second measures, and a laptop's power. Errors: of LoadMachine(), of what was asked for.
Result<MachineChoice> ChooseMachine(const std::string& asked, const ModelInfo& model);

// Of a stage that takes `seconds`.
struct Utilization {
  double flops_per_s = 0;
  double bytes_per_s = 0;
  double compute = 0;  // over the peak
  double memory = 0;
  std::string_view bound;  // "compute", "memory", "latency": far from either limit; "host": it counts no work
};
Utilization UtilizationOf(const StageCost& counts, double seconds, const std::optional<Peaks>& peaks);

// By the power model of docs/energy.md at the highest clock; an estimate with its bounds. Time without work is waiting.
Joules ModelJoules(const simulator::Machine& machine, const Utilization& utilization, double seconds);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_MACHINE_H_
