#include "energy/simulator/serving_device.h"

#include <algorithm>

namespace eyeshot::simulator {

void Device::WaitUntil(double time_s) {
  if (time_s <= now_s_) return;
  Spend(time_s - now_s_, WaitingPower(*machine_, clock_mhz_) * (time_s - now_s_));
  now_s_ = time_s;  // whatever the sum rounds to
}

void Device::IdleUntil(double time_s) {
  if (setup_->policy == Policy::kOndemand && time_s > now_s_ + setup_->dwell_s) {
    WaitUntil(now_s_ + setup_->dwell_s);
    Switch(machine_->clock_min_mhz);
  }
  WaitUntil(time_s);
}

void Device::Switch(double clock_mhz) {
  if (clock_mhz == clock_mhz_) return;
  if (setup_->policy == Policy::kOracle) {
    clock_mhz_ = clock_mhz;
    return;
  }
  if (clock_mhz < clock_mhz_ && !MayLower()) {
    ++refused_;
    return;
  }
  Spend(machine_->switch_ms * 1e-3, SwitchJoules(clock_mhz));
  clock_mhz_ = clock_mhz;
  switched_s_ = now_s_;
  ++switches_;
}

void Device::SwitchIfItPays(double clock_mhz, const Work& work, double steps, double spare_s) {
  if (clock_mhz < clock_mhz_) {
    const double saved =
        steps * (RunAt(*machine_, work, clock_mhz_).joules() - RunAt(*machine_, work, clock_mhz).joules());
    if (saved < 2 * SwitchJoules(clock_mhz) || spare_s < 2e-3 * machine_->switch_ms) {
      ++refused_;
      return;
    }
  }
  Switch(clock_mhz);
}

void Device::Run(const Point& point, double steps) {
  busy_s_ += steps * point.seconds;
  Spend(steps * point.seconds, steps * point.joules());
}

void Device::Spend(double seconds, double joules) {
  if (setup_->on_energy) setup_->on_energy(now_s_, now_s_ + seconds, joules);
  now_s_ += seconds;
  joules_ += joules;
}

double Device::SwitchJoules(double clock_mhz) const {
  return WaitingPower(*machine_, std::max(clock_mhz, clock_mhz_)) * machine_->switch_ms * 1e-3;
}

Plans::Plan& Plans::For(int batch) {
  const auto found = plans_.find(batch);
  if (found != plans_.end()) return found->second;
  Plan plan;
  plan.batch = BatchWorkFor(model_, software_, request_, batch);
  plan.clocks = PlannedClocks(setup_.policy, machine_, plan.batch, setup_.slowdown);
  plan.spare_s = 0;
  for (int s = 0; s < kStages; ++s) {
    const double seconds = RunAt(machine_, plan.batch.work[s], machine_.clock_max_mhz).seconds;
    plan.spare_s += setup_.slowdown * plan.batch.steps[s] * seconds;
  }
  return plans_.emplace(batch, plan).first->second;
}

const Point& Plans::PointOf(const Device& device, Plan& plan, int stage) const {
  auto& points = plan.points[stage];
  const auto found = points.find(device.clock_mhz());
  if (found != points.end()) return found->second;
  return points.emplace(device.clock_mhz(), RunAt(machine_, plan.batch.work[stage], device.clock_mhz())).first->second;
}

int Waiting(std::span<const double> ready, size_t first, double now_s, int most) {
  int count = 1;
  while (count < most && first + count < ready.size() && ready[first + count] <= now_s) ++count;
  return count;
}

StageClocks AllAt(double clock_mhz) {
  StageClocks clocks{};
  clocks.fill(clock_mhz);
  return clocks;
}

std::optional<double> KeptClock(Plans& plans, const ServingSetup& setup) {
  if (setup.clocks) return (*setup.clocks)[static_cast<int>(Stage::kPrefill)];
  if (setup.policy == Policy::kOneClock) return plans.For(setup.max_batch).clocks[0];
  return std::nullopt;
}

}  // namespace eyeshot::simulator
