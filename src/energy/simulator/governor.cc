#include "energy/simulator/governor.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "base/error.h"
#include "energy/governors/lagrange.h"
#include "energy/simulator/find_by_name.h"

namespace eyeshot::simulator {
namespace {

constexpr PolicyName kPolicies[] = {
    {Policy::kRaceToIdle, "race-to-idle"}, {Policy::kOndemand, "ondemand"},      {Policy::kOneClock, "one-clock"},
    {Policy::kStageTable, "stage-table"},  {Policy::kMemorySafe, "memory-safe"}, {Policy::kSloFeedback, "slo"},
    {Policy::kEncodeLow, "encode-low"},    {Policy::kDecodeLow, "decode-low"},   {Policy::kOracle, "oracle-bound"},
};

// Of the naive policies.
constexpr double kLowShare = 0.5;

// The clock at which joules + lambda x seconds are least; seconds at most `most_s`.
Point Cheapest(const Machine& machine, const Work& work, double lambda, double most_s) {
  Point best = RunAt(machine, work, machine.clock_max_mhz);
  for (const double clock : Clocks(machine)) {
    const Point point = UncappedPoint(machine, work, clock);
    if (point.seconds > most_s || point.power_w > machine.tdp_w) continue;
    if (point.joules() + lambda * point.seconds < best.joules() + lambda * best.seconds) best = point;
  }
  return best;
}

Point Cheapest(const Machine& machine, const Work& work, double slowdown) {
  return Cheapest(machine, work, 0, (1 + slowdown) * RunAt(machine, work, machine.clock_max_mhz).seconds);
}

bool IsMemoryBound(const Point& point) { return point.memory_use > point.compute_use; }

double StageClock(Policy policy, const Machine& machine, const Work& work, Stage stage, double slowdown) {
  const double low = NearestClock(machine, kLowShare * machine.clock_max_mhz);
  const bool is_decode = stage == Stage::kDecode;
  switch (policy) {
    case Policy::kStageTable: return Cheapest(machine, work, slowdown).clock_mhz;
    case Policy::kMemorySafe:
      return IsMemoryBound(RunAt(machine, work, machine.clock_max_mhz)) ? Cheapest(machine, work, slowdown).clock_mhz
                                                                        : machine.clock_max_mhz;
    case Policy::kEncodeLow: return is_decode ? machine.clock_max_mhz : low;
    case Policy::kDecodeLow: return is_decode ? low : machine.clock_max_mhz;
    default: return machine.clock_max_mhz;
  }
}

}  // namespace

std::span<const PolicyName> Policies() { return kPolicies; }

Result<Policy> FindPolicy(const std::string& name) {
  EYESHOT_ASSIGN_OR_RETURN(const PolicyName found, FindByName(Policies(), name, "policy"));
  return found.policy;
}

BatchWork BatchWorkFor(const ModelShape& model, const Software& software, const Request& request, double batch) {
  BatchWork all;
  for (int s = 0; s < kStages; ++s) {
    all.work[s] = StageWork(static_cast<Stage>(s), model, software, request, batch);
    all.steps[s] = StageSteps(static_cast<Stage>(s), request);
  }
  return all;
}

StageClocks OracleClocks(const Machine& machine, const BatchWork& batch, double slowdown) {
  double allowed = 0;
  for (int s = 0; s < kStages; ++s) {
    allowed += batch.steps[s] * RunAt(machine, batch.work[s], machine.clock_max_mhz).seconds * (1 + slowdown);
  }
  StageClocks clocks{};
  const auto choose = [&](double lambda) {
    double seconds = 0;
    for (int s = 0; s < kStages; ++s) {
      const Point best = Cheapest(machine, batch.work[s], lambda, std::numeric_limits<double>::infinity());
      clocks[s] = best.clock_mhz;
      seconds += batch.steps[s] * best.seconds;
    }
    return seconds;
  };
  // A second is worth nothing, or as much as the machine can ever draw in it and far more.
  ChooseWithin(allowed, 100 * machine.tdp_w, choose);
  return clocks;
}

StageClocks PlannedClocks(Policy policy, const Machine& machine, const BatchWork& batch, double slowdown) {
  if (policy == Policy::kOracle) return OracleClocks(machine, batch, slowdown);
  StageClocks clocks{};
  if (policy == Policy::kOneClock) {
    clocks.fill(PoolClock(machine, batch, {true, true, true}, slowdown));
    return clocks;
  }
  for (int s = 0; s < kStages; ++s) {
    clocks[s] = StageClock(policy, machine, batch.work[s], static_cast<Stage>(s), slowdown);
  }
  return clocks;
}

double PoolClock(const Machine& machine, const BatchWork& batch, const std::array<bool, kStages>& stages,
                 double slowdown) {
  double best_clock = machine.clock_max_mhz;
  double best_joules = std::numeric_limits<double>::infinity();
  double allowed = 0;
  const std::vector<double> clocks = Clocks(machine);
  for (auto clock = clocks.rbegin(); clock != clocks.rend(); ++clock) {
    double seconds = 0;
    double joules = 0;
    for (int s = 0; s < kStages; ++s) {
      if (!stages[s]) continue;
      const Point point = RunAt(machine, batch.work[s], *clock);
      seconds += batch.steps[s] * point.seconds;
      joules += batch.steps[s] * point.joules();
    }
    if (clock == clocks.rbegin()) allowed = (1 + slowdown) * seconds;
    if (seconds <= allowed && joules < best_joules) {
      best_joules = joules;
      best_clock = *clock;
    }
  }
  return best_clock;
}

}  // namespace eyeshot::simulator
