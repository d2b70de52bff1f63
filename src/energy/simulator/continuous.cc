#include "energy/simulator/continuous.h"

#include <algorithm>
#include <deque>
#include <optional>

#include "energy/governors/slo_feedback.h"

namespace eyeshot::simulator {
namespace {

constexpr int kEncode = static_cast<int>(Stage::kEncode);
constexpr int kPrefill = static_cast<int>(Stage::kPrefill);
constexpr int kDecode = static_cast<int>(Stage::kDecode);

class ContinuousServer {
 public:
  ContinuousServer(Device& device, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                   const ServingSetup& setup, std::vector<double>& ends)
      : device_(device),
        plans_(plans),
        arrivals_(arrivals),
        setup_(setup),
        ends_(ends),
        feedback_(Clocks(machine), setup.slo_s),
        kept_(KeptClock(plans, setup)) {
    if (kept_) device_.StartAt(*kept_);
  }

  void Run() {
    while (ends_.size() < arrivals_.size()) {
      if (decoding_ == 0) device_.IdleUntil(arrivals_[next_]);
      if (StartsNow()) {
        StartPhase();
      } else {
        Step();
      }
      EndThoseThatAreDone();
    }
  }

 private:
  // Requests that began together, and the number of decoding steps, of all since the beginning, at which they end.
  struct Group {
    int count;
    double end_step;
  };

  bool SomebodyWaits() const {
    return next_ < arrivals_.size() && arrivals_[next_] <= device_.now_s() && decoding_ < setup_.max_batch;
  }
  bool StartsNow() const {
    return SomebodyWaits() && (decoding_ == 0 || device_.now_s() - phase_begin_s_ >= setup_.phase_s);
  }

  // All that has come is encoded and then read, until nobody waits that there is room for.
  void StartPhase() {
    while (SomebodyWaits()) {
      const int count = Waiting(arrivals_, next_, device_.now_s(), setup_.max_batch - decoding_);
      Plans::Plan& plan = plans_.For(count);
      for (const int stage : {kEncode, kPrefill}) {
        if (plan.batch.steps[stage] <= 0) continue;
        SwitchFor(stage, plan, plan.batch.steps[stage], plan.spare_s);
        plans_.Run(device_, plan, stage);
      }
      groups_.push_back({count, steps_ + plan.batch.steps[kDecode]});
      decoding_ += count;
      next_ += count;
    }
    phase_begin_s_ = device_.now_s();
    phase_is_new_ = true;
  }

  // One step of all answers that are under way.
  void Step() {
    Plans::Plan& plan = plans_.For(decoding_);
    SwitchForDecode(plan);
    const double steps = std::min(1.0, groups_.front().end_step - steps_);
    plans_.Run(device_, plan, kDecode, steps);
    // The very end and not a sum that rounds to a little less.
    steps_ = std::min(steps_ + steps, groups_.front().end_step);
  }

  void EndThoseThatAreDone() {
    while (!groups_.empty() && groups_.front().end_step <= steps_) {
      for (int i = 0; i < groups_.front().count; ++i) {
        feedback_.Observe(device_.now_s() - arrivals_[ends_.size()]);
        ends_.push_back(device_.now_s());
      }
      decoding_ -= groups_.front().count;
      groups_.pop_front();
    }
  }

  double ClockOf(int stage) {
    if (kept_) return *kept_;
    if (setup_.policy == Policy::kSloFeedback) return feedback_.clock_mhz();
    return plans_.For(setup_.max_batch).clocks[stage];
  }

  void SwitchFor(int stage, const Plans::Plan& plan, double steps, double spare_s) {
    if (setup_.policy == Policy::kStageTable) {
      device_.SwitchIfItPays(ClockOf(stage), plan.batch.work[stage], steps, spare_s);
    } else {
      device_.Switch(ClockOf(stage));
    }
  }

  // When a phase begins and, where a lower clock then came too soon, as soon as it may come.
  void SwitchForDecode(Plans::Plan& plan) {
    if (!phase_is_new_ && !(lowers_later_ && device_.MayLower())) return;
    const double clock_mhz = ClockOf(kDecode);
    lowers_later_ = clock_mhz < device_.clock_mhz() && !device_.MayLower();
    phase_is_new_ = false;
    // What is certain to come: until the phase may end, or the answers do.
    const double step_s = plans_.PointOf(device_, plan, kDecode).seconds;
    const double left = groups_.back().end_step - steps_;
    const double steps = setup_.phase_s > 0 ? std::min(left, setup_.phase_s / step_s) : 1;
    SwitchFor(kDecode, plan, steps, setup_.slowdown * steps * step_s);
  }

  Device& device_;
  Plans& plans_;
  std::span<const double> arrivals_;
  const ServingSetup& setup_;
  std::vector<double>& ends_;
  SloFeedback feedback_;
  const std::optional<double> kept_;
  std::deque<Group> groups_;  // by when they began, and so by when they end
  int decoding_ = 0;  // requests of all groups
  size_t next_ = 0;   // of arrivals_
  double steps_ = 0;  // of decoding, since the beginning
  double phase_begin_s_ = 0;  // of decoding
  bool phase_is_new_ = false;
  bool lowers_later_ = false;
};

}  // namespace

void ServeContinuously(Device& device, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                       const ServingSetup& setup, std::vector<double>& ends) {
  ContinuousServer(device, machine, plans, arrivals, setup, ends).Run();
}

}  // namespace eyeshot::simulator
