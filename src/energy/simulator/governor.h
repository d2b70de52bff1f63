// Policies that choose the clock of each stage.
#ifndef EYESHOT_ENERGY_SIMULATOR_GOVERNOR_H_
#define EYESHOT_ENERGY_SIMULATOR_GOVERNOR_H_

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "energy/simulator/machine.h"
#include "energy/simulator/power.h"
#include "energy/simulator/work.h"
#include "eyeshot/status.h"

namespace eyeshot::simulator {

enum class Policy {
  kRaceToIdle,    // the highest clock, always
  kOndemand,      // the highest clock while there is work, the lowest while there is none
  kStageTable,  // each stage's cheapest clock within the allowed slowdown; lowered only where both switches pay and fit
  kOneClock,  // one for all stages, the cheapest within the slowdown of the largest batch
  kMemorySafe,  // stages bound by memory at the lowest clock that keeps their time, the others at the highest
  kSloFeedback,  // one clock, moved by the latencies of finished requests, with hysteresis
  kEncodeLow,  // a naive one: encode and prefill at half the highest clock, decode at the highest
  kDecodeLow,  // and its inverse
  kOracle,  // the least energy within the slowdown of the whole request; switches cost nothing: a bound
};
struct PolicyName {
  Policy policy;
  std::string_view name;
};
std::span<const PolicyName> Policies();
Result<Policy> FindPolicy(const std::string& name);

using StageClocks = std::array<double, kStages>;

// One batch as it will run: what a governor plans for.
struct BatchWork {
  std::array<Work, kStages> work;
  std::array<double, kStages> steps;  // how often each is done; 0: the stage does not happen
};
BatchWork BatchWorkFor(const ModelShape& model, const Software& software, const Request& request, double batch);

// The least energy of a batch whose stages together take at most (1 + slowdown) times as long as at the highest clock.
// Energy is convex in the time of each stage, so that at the optimum a second costs equally much in all of them (the
// Lagrange multiplier, found by bisection).
StageClocks OracleClocks(const Machine& machine, const BatchWork& batch, double slowdown);

// The clocks of a policy that does not look at what happens; kSloFeedback and kOndemand begin at the highest.
StageClocks PlannedClocks(Policy policy, const Machine& machine, const BatchWork& batch, double slowdown);

// The cheapest clock within the slowdown for the stages that are marked, as one: for a device that does only these.
double PoolClock(const Machine& machine, const BatchWork& batch, const std::array<bool, kStages>& stages,
                 double slowdown);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_GOVERNOR_H_
