#include "energy/governors/stage_governor.h"

#include <chrono>

#include "base/clock.h"

namespace eyeshot {
namespace {

constexpr uint32_t kIdle = kGovernedStages;
constexpr uint32_t kEnd = kIdle + 1;
constexpr uint32_t kWhatBits = 3;
constexpr uint32_t kWhatMask = (1u << kWhatBits) - 1;
// Requests after which feedback looks: a person asks fewer than a simulated crowd.
constexpr int kFeedbackWindow = 16;
constexpr std::chrono::milliseconds kDwellLook{1};

}  // namespace

StageGovernor::StageGovernor(ClockControl& control, const ClockPlan& plan, double dwell_s)
    : control_(control), plan_(plan), dwell_s_(dwell_s), one_clock_mhz_(control.highest_mhz()), wanted_(kIdle) {
  if (plan.target_s > 0) feedback_.emplace(control.clocks_mhz(), plan.target_s, kFeedbackWindow);
  // What is the same for all stages holds before the first one begins.
  if (!feedback_ && plan_.clock_mhz[0] == plan_.clock_mhz[1] && plan_.clock_mhz[1] == plan_.clock_mhz[2]) {
    Set(plan_.clock_mhz[0]);
  }
  thread_ = std::thread([this] { Main(); });
}

StageGovernor::~StageGovernor() { Finish(); }

void StageGovernor::OnStage(StageId id) noexcept {
  const std::optional<GovernedStage> stage = GovernedStageOf(id);
  if (!stage) return;
  const auto what = static_cast<uint32_t>(*stage);
  const uint32_t before = wanted_.load(std::memory_order_relaxed);
  if ((before & kWhatMask) == what) return;
  wanted_.store(((before >> kWhatBits) + 1) << kWhatBits | what, std::memory_order_release);
  wanted_.notify_one();
}

void StageGovernor::RequestDone(double seconds) {
  Observe(seconds);
  Idle();
}

void StageGovernor::Observe(double seconds) {
  if (!feedback_) return;
  feedback_->Observe(seconds);
  one_clock_mhz_.store(feedback_->clock_mhz(), std::memory_order_relaxed);
}

void StageGovernor::Idle() {
  const uint32_t before = wanted_.load(std::memory_order_relaxed);
  wanted_.store(((before >> kWhatBits) + 1) << kWhatBits | kIdle, std::memory_order_release);
  wanted_.notify_one();
}

double StageGovernor::ClockOf(uint32_t wanted) const {
  const uint32_t what = wanted & kWhatMask;
  if (what == kIdle) return plan_.idle_mhz;
  return feedback_ ? one_clock_mhz_.load(std::memory_order_relaxed) : plan_.clock_mhz[what];
}

void StageGovernor::Set(double mhz) {
  const int64_t begin = static_cast<int64_t>(SteadyNowNs());
  const Status status = control_.SetHighest(mhz);
  set_at_ns_ = static_cast<int64_t>(SteadyNowNs());
  report_.switch_s += static_cast<double>(set_at_ns_ - begin) * 1e-9;
  if (!status.ok()) {
    if (report_.failure.ok()) report_.failure = status;
    return;
  }
  ++report_.switches;
  report_.clock_mhz = mhz;
}

void StageGovernor::Main() {
  uint32_t seen = kIdle;  // as it began: a stage may have been noted since
  for (;;) {
    wanted_.wait(seen, std::memory_order_acquire);
    seen = wanted_.load(std::memory_order_acquire);
    bool delayed = false;
    for (;; std::this_thread::sleep_for(kDwellLook)) {
      if ((seen & kWhatMask) == kEnd) return;
      const double mhz = ClockOf(seen);
      if (mhz == 0 || mhz == report_.clock_mhz || !report_.failure.ok()) break;
      const double kept_s = static_cast<double>(static_cast<int64_t>(SteadyNowNs()) - set_at_ns_) * 1e-9;
      if (mhz > report_.clock_mhz || kept_s >= dwell_s_) {
        Set(mhz);
        break;
      }
      delayed = true;
      seen = wanted_.load(std::memory_order_acquire);
    }
    report_.delayed += delayed;
  }
}

GovernorReport StageGovernor::Finish() {
  if (thread_.joinable()) {
    wanted_.store(kEnd, std::memory_order_release);
    wanted_.notify_one();
    thread_.join();
  }
  return report_;
}

}  // namespace eyeshot
