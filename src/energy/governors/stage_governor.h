// A governor that runs: it is told of stages as they begin, and sets the clock in a thread of its own.
#ifndef EYESHOT_ENERGY_GOVERNORS_STAGE_GOVERNOR_H_
#define EYESHOT_ENERGY_GOVERNORS_STAGE_GOVERNOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "energy/clocks/clock_control.h"
#include "energy/governors/clock_plan.h"
#include "energy/governors/slo_feedback.h"
#include "eyeshot/ledger.h"

namespace eyeshot {

struct GovernorReport {
  int64_t switches = 0;
  int64_t delayed = 0;  // kept waiting by the dwell time, or overtaken by the next stage while they waited
  double switch_s = 0;  // spent in setting clocks, beside the run
  double clock_mhz = 0;  // at the end
  Status failure;  // the first setting that failed; after it the clock is left alone
};

class StageGovernor final : public StageObserver {
 public:
  // A lower clock is set only when the last was kept for `dwell_s`. `control` lives longer.
  StageGovernor(ClockControl& control, const ClockPlan& plan, double dwell_s);
  ~StageGovernor() override;

  // Notes the stage: an atomic store, and a wake where another clock may be due.
  void OnStage(StageId id) noexcept override;
  // By the thread that calls OnStage(), as the two below. A request has ended after `seconds`, and no other is there.
  void RequestDone(double seconds);
  // How long an answer took, which a plan with a target looks at.
  void Observe(double seconds);
  // There is nothing to do until the next stage.
  void Idle();

  // Ends the thread.
  GovernorReport Finish();

 private:
  void Main();
  double ClockOf(uint32_t wanted) const;
  void Set(double mhz);

  ClockControl& control_;
  ClockPlan plan_;
  double dwell_s_;
  std::optional<SloFeedback> feedback_;  // of a plan with a target
  std::atomic<double> one_clock_mhz_;  // of feedback
  // A GovernedStage, kIdle or kEnd, in the low bits, and a count that makes each note another value.
  std::atomic<uint32_t> wanted_;
  GovernorReport report_;
  int64_t set_at_ns_ = 0;
  std::thread thread_;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_GOVERNORS_STAGE_GOVERNOR_H_
