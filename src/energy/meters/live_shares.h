// Live shares: a counter's joules to requests that run side by side, as they run.
//
// Whoever runs the requests says what each has done, in nanoseconds of its part of each step, and lets the counters be
// read now and then between steps. What was taken between two readings goes to the stages and requests by that work;
// time in which nobody had any has its own share. So requests and nobody together are what was counted, to the last
// joule. Unlike attribution.h nothing is kept but sums: a server may run for months.
#ifndef EYESHOT_ENERGY_METERS_LIVE_SHARES_H_
#define EYESHOT_ENERGY_METERS_LIVE_SHARES_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "energy/meters/meter.h"
#include "eyeshot/ledger.h"

namespace eyeshot {

// Of one request.
class EnergyAccount {
 public:
  // Its part of a step, or all of one that was its own.
  void AddWork(StageId id, double ns) { work_ns_[static_cast<size_t>(id)] += ns; }
  // That no reading has shared as yet.
  double pending_ns() const;

 private:
  friend class LiveShares;

  std::array<double, kStageCount> work_ns_{};  // since the last reading
  std::array<Joules, kStageCount> joules_{};   // until then; without a source
  bool lost_ = false;  // a counter failed meanwhile: what it took isn't known
};

// Thread-safety: none. Allocates nothing but when it is made.
class LiveShares {
 public:
  // Reads once. `meters` are of one source and no part of one another, and must live longer; without any, or where a
  // reading fails, it is off from then on.
  explicit LiveShares(std::span<const std::unique_ptr<Meter>> meters);

  bool on() const { return on_; }
  // Whether so much time has passed since the last reading that another costs next to nothing: the sampler's period, or
  // more where readings are slow.
  bool Due(uint64_t now_ns) const { return on_ && now_ns >= due_ns_; }
  // Nobody had work, for so long.
  void AddWaiting(double ns) { waiting_ns_ += ns; }
  // Reads the counters, and shares what was taken since the last time among `accounts`, which are all that have had
  // work since, and nobody.
  void Read(std::span<EnergyAccount* const> accounts);

  // Fills in the joules of the stages of a request that has ended, after Read(). Bounds: between two readings a stage
  // that shared the time with others took no more than kBurst times the highest power for its part, and no less than
  // what they can't have taken; and the counter's own error, at both ends. Nothing if some of it isn't known.
  void Finish(const EnergyAccount& account, Ledger& ledger) const;

  // Of times without work, and where nobody was told of it.
  const Joules& nobody() const { return nobody_; }
  // All that was counted.
  double counted_j() const { return last_j_ - first_j_; }

 private:
  // One for each stage, and one for nobody.
  using Works = std::array<double, kStageCount + 1>;

  // Joules of all meters. False: some can't be read now.
  bool Sum(double& joules, uint64_t& at_ns);
  Joules OfStage(double joules, double seconds, double share) const;

  std::span<const std::unique_ptr<Meter>> meters_;
  bool on_ = false;
  uint64_t last_ns_ = 0;
  uint64_t due_ns_ = 0;
  double first_j_ = 0;
  double last_j_ = 0;
  double peak_w_ = 0;
  double waiting_ns_ = 0;
  double resolution_s_ = 0;
  double resolution_j_ = 0;
  double relative_error_ = 0;
  EnergySource source_ = EnergySource::kNone;
  Joules nobody_;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_LIVE_SHARES_H_
