// Attribution: which stage took how many of the joules that a counter counted.
//
// A counter is read now and then, and shows what was taken until a little before. Between two readings only the sum is
// known; it goes to the stages by time. The bounds say what that leaves open: of a time between readings that a stage
// had to itself, all is its own; of one that it shared, no more than kBurst times the highest power that was seen, for
// the time it had, and no less than what the others can't have taken. Sums are exact: stages, times without a stage and
// what is below the resolution make up the whole.
#ifndef EYESHOT_ENERGY_METERS_ATTRIBUTION_H_
#define EYESHOT_ENERGY_METERS_ATTRIBUTION_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

// Between two readings power may be so many times the highest mean between any two. Half the time at full power and
// half at none is two; a processor's short-term limit is rarely more than twice the lasting one.
inline constexpr double kBurst = 2;

// Power of a machine that does nothing, from a time in which it did.
struct IdlePower {
  double watts = 0;
  double low = 0;
  double high = 0;
};

// Energy over time, of one meter.
class EnergyCurve {
 public:
  // Errors: kNotFound (fewer than two samples), kCorrupt (time or energy goes back).
  static Result<EnergyCurve> Make(const MeterInfo& info, std::span<const EnergySample> samples);

  uint64_t begin_ns() const { return knots_.front().at_ns; }
  uint64_t end_ns() const { return knots_.back().at_ns; }
  // The highest mean power over at least one period of the counter.
  double peak_w() const { return peak_w_; }

  // What was taken in [begin_ns, end_ns). Source kNone: a part was not sampled, or it is shorter than two periods of
  // the counter.
  Joules Between(uint64_t begin_ns, uint64_t end_ns) const;

  // What was taken in `runs`, which are in order and don't overlap, together. REQUIRES: all of them were sampled.
  // `longest_gap_ns`: the longest time between readings that any of them touches.
  Joules Taken(std::span<const StageRun> runs, uint64_t* longest_gap_ns) const;

  bool Covers(uint64_t begin_ns, uint64_t end_ns) const {
    return begin_ns >= knots_.front().at_ns && end_ns <= knots_.back().at_ns && begin_ns <= end_ns;
  }
  // Two periods of the counter, or the usual time between readings if that is longer: what is shorter has no energy.
  uint64_t grain_ns() const { return grain_ns_; }
  uint64_t two_periods_ns() const { return two_periods_ns_; }

 private:
  explicit EnergyCurve(const MeterInfo& info) : info_(info) {}

  MeterInfo info_;
  std::vector<EnergySample> knots_;  // samples at which the counter had moved, the first and the last
  double peak_w_ = 0;
  uint64_t grain_ns_ = 0;
  uint64_t two_periods_ns_ = 0;
};

struct StageEnergy {
  uint64_t wall_ns = 0;
  uint64_t runs = 0;
  Joules joules;  // kNone: below the resolution, or not all of it was sampled. kModel: the estimate that was given
  Joules active;  // without what idling takes; kNone where `joules` is, or idle power isn't known
  bool below_resolution = false;
};

struct Attribution {
  Joules whole;  // from the first run's begin to the last one's end
  Joules active;  // as in stages
  std::array<StageEnergy, kStageCount> stages;
  Joules below_resolution;  // measured, of all stages that are so, together
  Joules between;  // measured, of times without a stage
};

// Joules to stages. Runs are taken in the order of time; where two overlap, the time is the earlier one's. Stages that
// follow one another in runs too short to be measured are measured together, where less than curve.grain_ns() lies
// between them. `estimates`, by stage, are for those below the resolution; source kNone: there is none. Errors:
// kInvalidArgument (no runs, or not all were sampled).
Result<Attribution> Attribute(const EnergyCurve& curve, std::span<const StageRun> runs,
                              const std::array<Joules, kStageCount>& estimates = {}, const IdlePower* idle = nullptr);

// Without what idling takes in `wall_ns`; never negative.
Joules WithoutIdle(const Joules& joules, uint64_t wall_ns, const IdlePower& idle);

// Mean power of what was measured. Source kNone: all 0.
IdlePower MeanPower(const Joules& joules, uint64_t wall_ns);

// Adds `b` to `a`, which is `b` then if it has no source. Nothing is added where `b` has none or their sources differ,
// and false returned.
bool AddJoules(Joules& a, const Joules& b);

// Fills in the joules of the stages of `ledger`, whose runs were kept, by what meters of one source said meanwhile.
// Stages below the resolution share what they took together by time; that is marked as an estimate (kModel). All
// stages add up to what was measured while any of them ran. Errors: of Attribute(); then the ledger is as it was.
Status FillJoules(std::span<const EnergyCurve> curves, Ledger& ledger);

// One batch's joules to its requests, by the work that each one's part was (tokens, or FLOPs). Their sum is the
// batch's; the bounds are the counter's alone. Errors: kInvalidArgument (no work at all, or negative).
Result<std::vector<Joules>> ShareByWork(const Joules& batch, std::span<const double> work);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_ATTRIBUTION_H_
