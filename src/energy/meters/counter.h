// EnergyCounter: makes a sum that only grows out of a raw counter that wraps, and tells a wrap from a reset.
#ifndef EYESHOT_ENERGY_METERS_COUNTER_H_
#define EYESHOT_ENERGY_METERS_COUNTER_H_

#include <cstdint>
#include <string>
#include <utility>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"

namespace eyeshot {

class EnergyCounter {
 public:
  // The counter is brought up to date each `period_s`. After `range_j` joules it begins at 0 again; 0: it never does.
  // `name` is for errors.
  EnergyCounter(std::string name, double period_s, double range_j)
      : name_(std::move(name)), period_s_(period_s), range_j_(range_j) {}

  // The counter showed `raw_j` joules at `at_ns`. Errors, from then on at each call: kCorrupt, where no power up to
  // limits::kMaxCounterWatts explains the step (a reset, or a jump), or where more than one wrap may have been missed.
  Result<EnergySample> Add(uint64_t at_ns, double raw_j);

 private:
  Status Failed(std::string found, std::string mend);

  std::string name_;
  double period_s_;
  double range_j_;
  bool started_ = false;
  double raw_j_ = 0;
  EnergySample last_;
  Status failure_;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_COUNTER_H_
