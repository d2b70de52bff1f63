// Phases: joules of stages that are far shorter than a counter's period, from requests that are repeated.
//
// One request is repeated for some hundred milliseconds, so that the counter moves many times; other phases leave a
// stage out, or run one alone. Of each phase, energy and the stages' times of whole requests are known. The mean power
// of each stage is then what explains the energies of all phases best (least squares, no power below 0). Assumed is
// that a stage draws in each phase of one system the same mean power; docs/meters.md says where that is not so.
#ifndef EYESHOT_ENERGY_METERS_PHASES_H_
#define EYESHOT_ENERGY_METERS_PHASES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

// Whole requests of a phase, and what they took together.
struct PhaseEnergy {
  size_t first = 0;  // request; it is requests [first, last) that were measured
  size_t last = 0;
  double seconds = 0;
  double joules = 0;
  double sigma_j = 0;  // one standard error, by the counter's reading alone
  double period_s = 0;  // median time between two moves of the counter

  double watts() const { return joules / seconds; }
  double sigma_w() const { return sigma_j / seconds; }
};

// The energy of as many whole requests as may be, of samples that were taken while they ran and no longer. Request i
// ran in [boundaries_ns[i], boundaries_ns[i + 1]). The counter is taken to move evenly between two of its moves. What
// began in the first `lead_ns` is left out: a sensor's mean still holds what was before. Errors: kNotFound (the counter
// moved too seldom for any figure; the message says how often), kCorrupt (time or energy goes back).
Result<PhaseEnergy> EnergyOfPhase(const MeterInfo& info, std::span<const EnergySample> samples,
                                  std::span<const uint64_t> boundaries_ns, uint64_t lead_ns);

// One equation: what a request of a phase took, and for how long each stage was at it.
struct PhaseRow {
  std::vector<double> seconds;  // by stage
  double joules = 0;
  double sigma_j = 0;
};

// What a stage's power is held for before anything is measured. Its error is as large: it decides only where no phase
// says anything.
struct StagePower {
  double watts = 0;
  double sigma_w = 0;
};

// The mean power of each stage. Errors: kInvalidArgument (rows of unlike lengths, no row, an error that is not
// positive).
Result<std::vector<StagePower>> SolvePowers(std::span<const PhaseRow> rows, std::span<const double> expected_w);

// Joules of the stages that a request of `row` has, whose sum is row.joules exactly.
struct StageShare {
  double joules = 0;
  double sigma_j = 0;
};
std::vector<StageShare> SharesOf(const PhaseRow& row, std::span<const StagePower> powers);

// By how much repetitions may differ for a figure to count as repeatable.
inline constexpr double kRepeatableSpread = 0.03;

// Repetitions of one figure.
struct Repeated {
  Joules joules;  // mean; bounds of 95 % by the counter's error and by the scatter, whichever is wider
  double spread = 0;  // (max - min) / mean; 0 for one repetition
  size_t runs = 0;
  bool resolved = false;  // the phases tell it to half of its value, however much it scatters

  // False, too, where nothing was repeated.
  bool repeatable() const { return runs > 1 && spread <= kRepeatableSpread; }
};
// `relative_error` is the meter's own, which repeating doesn't make smaller. `source` kNone: nothing is known.
Repeated Combine(std::span<const StageShare> runs, double relative_error, EnergySource source);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_PHASES_H_
