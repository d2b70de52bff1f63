// What simulations of servers are made of: a device that is moved on by what it does, and batches' work and clocks.
#ifndef EYESHOT_ENERGY_SIMULATOR_SERVING_DEVICE_H_
#define EYESHOT_ENERGY_SIMULATOR_SERVING_DEVICE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

#include "energy/simulator/serving.h"

namespace eyeshot::simulator {

// A device's time, clock and energy. Begins at the highest clock.
class Device {
 public:
  // Both must live longer.
  Device(const Machine& machine, const ServingSetup& setup)
      : machine_(&machine), setup_(&setup), clock_mhz_(machine.clock_max_mhz) {}

  double now_s() const { return now_s_; }
  double clock_mhz() const { return clock_mhz_; }
  double joules() const { return joules_; }
  double busy_s() const { return busy_s_; }
  int64_t switches() const { return switches_; }
  int64_t refused() const { return refused_; }

  void StartAt(double clock_mhz) { clock_mhz_ = clock_mhz; }
  void WaitUntil(double time_s);
  // Waits for an arrival, under the policy ondemand at the lowest clock once the last was kept for the dwell time.
  void IdleUntil(double time_s);

  // Whether the last clock was kept for so long that a lower one may be taken.
  bool MayLower() const { return switches_ == 0 || now_s_ - switched_s_ >= setup_->dwell_s; }
  // Refused where a lower clock comes too soon.
  void Switch(double clock_mhz);
  // Up where the stage needs it. Down only if that saves more than it costs to come back as well, and if both switches
  // fit into `spare_s`.
  void SwitchIfItPays(double clock_mhz, const Work& work, double steps, double spare_s);

  void Run(const Point& point, double steps);

 private:
  void Spend(double seconds, double joules);
  double SwitchJoules(double clock_mhz) const;

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
  // All must live longer.
  Plans(const Machine& machine, const ModelShape& model, const Software& software, const Request& request,
        const ServingSetup& setup)
      : machine_(machine), model_(model), software_(software), request_(request), setup_(setup) {}

  Plan& For(int batch);

  // One step of a stage at the device's clock.
  const Point& PointOf(const Device& device, Plan& plan, int stage) const;
  // All steps of a stage, or `steps` of them.
  void Run(Device& device, Plan& plan, int stage) const { Run(device, plan, stage, plan.batch.steps[stage]); }
  void Run(Device& device, Plan& plan, int stage, double steps) const {
    device.Run(PointOf(device, plan, stage), steps);
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
int Waiting(std::span<const double> ready, size_t first, double now_s, int most);

StageClocks AllAt(double clock_mhz);

// The clock that a device keeps, if it keeps one. Requests that come one by one don't change it.
std::optional<double> KeptClock(Plans& plans, const ServingSetup& setup);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_SERVING_DEVICE_H_
