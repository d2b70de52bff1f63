#include "energy/simulator/power.h"

#include <algorithm>
#include <cmath>

namespace eyeshot::simulator {
namespace {

// Of the p-norm that joins what overlaps: 2^(1/6) = 12 % more than the longer of two equal times.
constexpr double kOverlap = 6;
// Inner dimension at which a product's prologue and epilogue take as long as its main loop.
constexpr double kFillWidth = 256;
// Of SimulatedJoules.
constexpr double kRelativeError = 0.3;

double Overlapped(double a, double b) {
  const double longer = std::max(a, b);
  if (longer <= 0) return 0;
  return longer * std::pow(1 + std::pow(std::min(a, b) / longer, kOverlap), 1 / kOverlap);
}

double PeakFlops(const Machine& machine, double clock_mhz) {
  return machine.peak_tflops * 1e12 * clock_mhz / machine.peak_clock_mhz;
}

double Bandwidth(const Machine& machine, double clock_mhz) {
  const double knee = machine.bandwidth_knee_ratio * machine.clock_max_mhz;
  return machine.bandwidth_gb_s * 1e9 * std::min(1.0, clock_mhz / knee);
}

}  // namespace

double SwitchingShare(const Machine& machine, double clock_mhz) {
  const double ratio = clock_mhz / machine.clock_max_mhz;
  const double above = std::max(0.0, ratio - machine.v_knee_ratio) / (1 - machine.v_knee_ratio);
  const double voltage = machine.v_min_ratio + (1 - machine.v_min_ratio) * above;
  return ratio * voltage * voltage;
}

double WaitingPower(const Machine& machine, double clock_mhz) {
  return machine.idle_w + machine.context_w + machine.clock_w * SwitchingShare(machine, clock_mhz);
}

double BusySeconds(const Machine& machine, const Work& work, double clock_mhz) {
  const double peak = PeakFlops(machine, clock_mhz);
  const double bandwidth = Bandwidth(machine, clock_mhz) * machine.bandwidth_efficiency;
  const double filled = work.gemm_width / (work.gemm_width + kFillWidth);
  const double gemm = work.gemm_flops > 0 ? work.gemm_flops / (peak * machine.gemm_efficiency * filled) : 0;
  const double attention = work.attention_flops / (peak * machine.attention_efficiency);
  return Overlapped(gemm, work.stream_bytes / bandwidth) + attention + work.activation_bytes / bandwidth;
}

Point UncappedPoint(const Machine& machine, const Work& work, double clock_mhz) {
  Point point;
  point.clock_mhz = clock_mhz;
  const double device_s = work.kernels * machine.launch_us * 1e-6 + BusySeconds(machine, work, clock_mhz);
  point.seconds = Overlapped(device_s, work.host_s) + work.gap_s;
  point.power_w = WaitingPower(machine, clock_mhz);
  if (point.seconds <= 0) return point;
  point.compute_use = work.flops() / PeakFlops(machine, clock_mhz) / point.seconds;
  point.memory_use = work.bytes() / (machine.bandwidth_gb_s * 1e9) / point.seconds;
  point.power_w += SwitchingShare(machine, clock_mhz) *
                       (point.compute_use * machine.compute_w + point.memory_use * machine.memory_path_w) +
                   point.memory_use * machine.memory_w;
  return point;
}

Point RunAt(const Machine& machine, const Work& work, double clock_mhz) {
  Point point = UncappedPoint(machine, work, clock_mhz);
  while (point.power_w > machine.tdp_w && point.clock_mhz - machine.clock_step_mhz >= machine.clock_min_mhz) {
    point = UncappedPoint(machine, work, point.clock_mhz - machine.clock_step_mhz);
  }
  return point;
}

std::vector<double> Clocks(const Machine& machine) {
  std::vector<double> clocks;
  for (double clock = machine.clock_max_mhz; clock >= machine.clock_min_mhz; clock -= machine.clock_step_mhz) {
    clocks.push_back(clock);
  }
  std::reverse(clocks.begin(), clocks.end());
  return clocks;
}

std::vector<double> TriedClocks(const Machine& machine, size_t count) {
  const std::vector<double> all = Clocks(machine);
  const size_t stride = std::max<size_t>(all.size() / count, 1);
  std::vector<double> tried;
  for (size_t i = (all.size() - 1) % stride; i < all.size(); i += stride) tried.push_back(all[i]);
  return tried;
}

double NearestClock(const Machine& machine, double clock_mhz) {
  const double steps = std::round((machine.clock_max_mhz - clock_mhz) / machine.clock_step_mhz);
  const double most = std::floor((machine.clock_max_mhz - machine.clock_min_mhz) / machine.clock_step_mhz);
  return machine.clock_max_mhz - std::clamp(steps, 0.0, most) * machine.clock_step_mhz;
}

Joules SimulatedJoules(double value) {
  return {value, value * (1 - kRelativeError), value * (1 + kRelativeError), EnergySource::kModel};
}

}  // namespace eyeshot::simulator
