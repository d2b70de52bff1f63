#include "energy/simulator/serving.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/splitmix64.h"
#include "energy/governors/slo_feedback.h"
#include "energy/simulator/continuous.h"
#include "energy/simulator/serving_device.h"

namespace eyeshot::simulator {
namespace {

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

// Takes batches until all are done; the end of each request goes to `ends`.
void ServeOnOne(Device& device, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                const ServingSetup& setup, std::vector<double>& ends) {
  SloFeedback feedback(Clocks(machine), setup.slo_s);
  const std::optional<double> kept = KeptClock(plans, setup);
  if (kept) device.StartAt(*kept);
  for (size_t first = 0; first < arrivals.size();) {
    device.IdleUntil(arrivals[first]);
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
  const bool two = setup.layout == Layout::kTwoAlike || setup.layout == Layout::kPools;
  std::vector<Device> devices(two ? 2 : 1, Device(machine, setup));
  std::vector<double> ends;
  switch (setup.layout) {
    case Layout::kOneDevice: ServeOnOne(devices[0], machine, plans, arrivals, setup, ends); break;
    case Layout::kContinuous: ServeContinuously(devices[0], machine, plans, arrivals, setup, ends); break;
    case Layout::kTwoAlike: ServeInTurn(devices, machine, plans, arrivals, setup, ends); break;
    case Layout::kPools: ServePools(devices, machine, plans, arrivals, setup, ends); break;
  }
  const double end_s = *std::max_element(ends.begin(), ends.end());
  for (Device& device : devices) device.WaitUntil(end_s);
  return Summarize(devices, arrivals, ends);
}

}  // namespace eyeshot::simulator
