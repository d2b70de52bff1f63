#include "energy/simulator/serving.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/splitmix64.h"
#include "energy/governors/slo_feedback.h"

namespace eyeshot::simulator {
namespace {

// A device's time, clock and energy, moved on by what it does.
class Device {
 public:
  Device(const Machine& machine, const ServingSetup& setup)
      : machine_(&machine), setup_(&setup), clock_mhz_(machine.clock_max_mhz) {}

  double now_s() const { return now_s_; }
  double clock_mhz() const { return clock_mhz_; }
  double joules() const { return joules_; }
  double busy_s() const { return busy_s_; }
  int64_t switches() const { return switches_; }
  int64_t refused() const { return refused_; }

  void StartAt(double clock_mhz) { clock_mhz_ = clock_mhz; }

  void WaitUntil(double time_s) {
    if (time_s <= now_s_) return;
    Spend(time_s - now_s_, WaitingPower(*machine_, clock_mhz_) * (time_s - now_s_));
    now_s_ = time_s;  // whatever the sum rounds to
  }

  // Refused where a lower clock comes too soon.
  void Switch(double clock_mhz) {
    if (clock_mhz == clock_mhz_) return;
    if (setup_->policy == Policy::kOracle) {
      clock_mhz_ = clock_mhz;
      return;
    }
    if (clock_mhz < clock_mhz_ && switches_ > 0 && now_s_ - switched_s_ < setup_->dwell_s) {
      ++refused_;
      return;
    }
    Spend(machine_->switch_ms * 1e-3, SwitchJoules(clock_mhz));
    clock_mhz_ = clock_mhz;
    switched_s_ = now_s_;
    ++switches_;
  }

  // Up where the stage needs it. Down only if that saves more than it costs to come back as well, and if both switches
  // fit into `spare_s`.
  void SwitchIfItPays(double clock_mhz, const Work& work, double steps, double spare_s) {
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

  void Run(const Point& point, double steps) {
    busy_s_ += steps * point.seconds;
    Spend(steps * point.seconds, steps * point.joules());
  }

 private:
  void Spend(double seconds, double joules) {
    if (setup_->on_energy) setup_->on_energy(now_s_, now_s_ + seconds, joules);
    now_s_ += seconds;
    joules_ += joules;
  }

  double SwitchJoules(double clock_mhz) const {
    return WaitingPower(*machine_, std::max(clock_mhz, clock_mhz_)) * machine_->switch_ms * 1e-3;
  }

  const Machine* machine_;
  const ServingSetup* setup_;
  double clock_mhz_;
  double now_s_ = 0;
  double joules_ = 0;
  double busy_s_ = 0;
  double switched_s_ = 0;
  int64_t switches_ = 0;
  int64_t refused_ = 0;
};

// Work and planned clocks of batches by size, made once each.
class Plans {
 public:
  struct Plan {
    BatchWork batch;
    StageClocks clocks;
    double spare_s;  // that the batch may be late
    std::array<std::map<double, Point>, kStages> points;  // by clock, as they are asked for
  };
  Plans(const Machine& machine, const ModelShape& model, const Software& software, const Request& request,
        const ServingSetup& setup)
      : machine_(machine), model_(model), software_(software), request_(request), setup_(setup) {}

  Plan& For(int batch) {
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

  void Run(Device& device, Plan& plan, int stage) const {
    auto& points = plan.points[stage];
    auto found = points.find(device.clock_mhz());
    if (found == points.end()) {
      found = points.emplace(device.clock_mhz(), RunAt(machine_, plan.batch.work[stage], device.clock_mhz())).first;
    }
    device.Run(found->second, plan.batch.steps[stage]);
  }

 private:
  const Machine& machine_;
  const ModelShape& model_;
  const Software& software_;
  const Request& request_;
  const ServingSetup& setup_;
  std::map<int, Plan> plans_;
};

// How many of `ready` (ascending) from `first` on are there at `now_s`, up to `most`; at least 1.
int Waiting(std::span<const double> ready, size_t first, double now_s, int most) {
  int count = 1;
  while (count < most && first + count < ready.size() && ready[first + count] <= now_s) ++count;
  return count;
}

void RunStages(Device& device, const Plans& plans, Plans::Plan& plan, const StageClocks& clocks, Policy policy) {
  for (int s = 0; s < kStages; ++s) {
    if (plan.batch.steps[s] <= 0) continue;
    if (policy == Policy::kStageTable) {
      device.SwitchIfItPays(clocks[s], plan.batch.work[s], plan.batch.steps[s], plan.spare_s);
    } else {
      device.Switch(clocks[s]);
    }
    plans.Run(device, plan, s);
  }
}

StageClocks AllAt(double clock_mhz) {
  StageClocks clocks{};
  clocks.fill(clock_mhz);
  return clocks;
}

// The clock that a device keeps, if it keeps one. Requests that come one by one don't change it.
std::optional<double> KeptClock(Plans& plans, const ServingSetup& setup) {
  if (setup.clocks) return (*setup.clocks)[static_cast<int>(Stage::kPrefill)];
  if (setup.policy == Policy::kOneClock) return plans.For(setup.max_batch).clocks[0];
  return std::nullopt;
}

// Takes batches until all are done; the end of each request goes to `ends`.
void ServeOnOne(Device& device, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                const ServingSetup& setup, std::vector<double>& ends) {
  SloFeedback feedback(Clocks(machine), setup.slo_s);
  const std::optional<double> kept = KeptClock(plans, setup);
  if (kept) device.StartAt(*kept);
  for (size_t first = 0; first < arrivals.size();) {
    if (setup.policy == Policy::kOndemand && arrivals[first] > device.now_s() + setup.dwell_s) {
      device.WaitUntil(device.now_s() + setup.dwell_s);
      device.Switch(machine.clock_min_mhz);
    }
    device.WaitUntil(arrivals[first]);
    const int batch = Waiting(arrivals, first, device.now_s(), setup.max_batch);
    Plans::Plan& plan = plans.For(batch);
    StageClocks clocks = plan.clocks;
    if (setup.policy == Policy::kSloFeedback) clocks = AllAt(feedback.clock_mhz());
    if (kept) clocks = AllAt(*kept);
    RunStages(device, plans, plan, clocks, setup.policy);
    for (int i = 0; i < batch; ++i) {
      feedback.Observe(device.now_s() - arrivals[first + i]);
      ends.push_back(device.now_s());
    }
    first += batch;
  }
}

// The same for a device that does only the marked stages, at one clock.
void ServePool(Device& device, Plans& plans, std::span<const double> ready, int max_batch,
               const std::array<bool, kStages>& stages, std::vector<double>& ends) {
  for (size_t first = 0; first < ready.size();) {
    device.WaitUntil(ready[first]);
    const int batch = Waiting(ready, first, device.now_s(), max_batch);
    Plans::Plan& plan = plans.For(batch);
    for (int s = 0; s < kStages; ++s) {
      if (stages[s]) plans.Run(device, plan, s);
    }
    ends.insert(ends.end(), batch, device.now_s());
    first += batch;
  }
}

void ServePools(std::span<Device> devices, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                const ServingSetup& setup, std::vector<double>& ends) {
  constexpr std::array<bool, kStages> kPools[] = {{true, true, false}, {false, false, true}};
  std::vector<double> ready(arrivals.begin(), arrivals.end());
  for (int pool = 0; pool < 2; ++pool) {
    if (setup.clocks) {
      devices[pool].StartAt((*setup.clocks)[static_cast<int>(pool == 0 ? Stage::kPrefill : Stage::kDecode)]);
    } else if (setup.policy == Policy::kOneClock) {
      devices[pool].StartAt(PoolClock(machine, plans.For(setup.max_batch).batch, kPools[pool], setup.slowdown));
    }
    ends.clear();
    ServePool(devices[pool], plans, ready, setup.max_batch, kPools[pool], ends);
    ready = ends;
  }
}

void ServeInTurn(std::span<Device> devices, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                 const ServingSetup& setup, std::vector<double>& ends) {
  ends.resize(arrivals.size());
  for (size_t d = 0; d < devices.size(); ++d) {
    std::vector<double> own;
    for (size_t i = d; i < arrivals.size(); i += devices.size()) own.push_back(arrivals[i]);
    std::vector<double> own_ends;
    ServeOnOne(devices[d], machine, plans, own, setup, own_ends);
    for (size_t i = 0; i < own.size(); ++i) ends[d + i * devices.size()] = own_ends[i];
  }
}

double Quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto index = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<size_t>(index, 1) - 1];
}

ServingResult Summarize(std::span<const Device> devices, std::span<const double> arrivals,
                        const std::vector<double>& ends) {
  std::vector<double> latencies(arrivals.size());
  for (size_t i = 0; i < arrivals.size(); ++i) latencies[i] = ends[i] - arrivals[i];
  ServingResult result;
  result.p50_s = Quantile(latencies, 0.5);
  result.p95_s = Quantile(latencies, 0.95);
  const double end_s = devices.front().now_s();
  result.seconds = end_s - arrivals.front();
  for (const Device& device : devices) {
    result.joules_per_request += device.joules() / static_cast<double>(arrivals.size());
    result.switches += device.switches();
    result.refused_switches += device.refused();
    result.busy_share += device.busy_s() / end_s / static_cast<double>(devices.size());
  }
  return result;
}

}  // namespace

std::vector<double> PoissonArrivals(size_t count, double rate_per_s, uint64_t seed) {
  std::vector<double> arrivals;
  arrivals.reserve(count);
  double time_s = 0;
  for (size_t i = 0; i < count; ++i) {
    // Not by the standard library, whose distributions differ between implementations.
    time_s -= std::log1p(-UnitOfBits(SplitMix64(seed + i * kSplitMix64Step))) / rate_per_s;
    arrivals.push_back(time_s);
  }
  return arrivals;
}

Result<std::vector<double>> ReadArrivals(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxArrivalFileBytes));
  std::vector<double> arrivals;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int64_t line = 1; at < end; ++line) {
    const char* const stop = std::find(at, end, '\n');
    double time_s = 0;
    const auto [rest, error] = std::from_chars(at, stop, time_s);
    if (error != std::errc() || rest != stop || !std::isfinite(time_s) || time_s < 0 ||
        (!arrivals.empty() && time_s < arrivals.back())) {
      return CorruptError(fmt::format("{}: line {} is no time in seconds at or after the one before", path, line),
                          "write one number a line, ascending");
    }
    if (arrivals.size() == limits::kMaxArrivals) {
      return LimitError(fmt::format("{}: more than {} arrivals", path, limits::kMaxArrivals), "cut the trace");
    }
    arrivals.push_back(time_s);
    at = stop == end ? end : stop + 1;
  }
  if (arrivals.empty()) return CorruptError(path + ": no arrivals", "write one time in seconds a line");
  return arrivals;
}

ServingResult Serve(const Machine& machine, const ModelShape& model, const Software& software, const Request& request,
                    std::span<const double> arrivals, const ServingSetup& setup) {
  Plans plans(machine, model, software, request, setup);
  std::vector<Device> devices(setup.layout == Layout::kOneDevice ? 1 : 2, Device(machine, setup));
  std::vector<double> ends;
  if (setup.layout == Layout::kOneDevice) ServeOnOne(devices[0], machine, plans, arrivals, setup, ends);
  if (setup.layout == Layout::kTwoAlike) ServeInTurn(devices, machine, plans, arrivals, setup, ends);
  if (setup.layout == Layout::kPools) ServePools(devices, machine, plans, arrivals, setup, ends);
  const double end_s = *std::max_element(ends.begin(), ends.end());
  for (Device& device : devices) device.WaitUntil(end_s);
  return Summarize(devices, arrivals, ends);
}

}  // namespace eyeshot::simulator
