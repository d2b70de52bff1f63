// A meter of known power, for tests.
#ifndef EYESHOT_ENERGY_METERS_SYNTHETIC_H_
#define EYESHOT_ENERGY_METERS_SYNTHETIC_H_

#include <cmath>
#include <cstdint>
#include <utility>

#include "energy/meters/meter.h"

namespace eyeshot {

// `joules_at(ns)` is what was taken until then; the counter shows it in steps of its resolution, as it was at the last
// update. `now()` is the clock.
template <typename JoulesAt, typename Now>
class SyntheticMeter final : public Meter {
 public:
  SyntheticMeter(MeterInfo info, JoulesAt joules_at, Now now)
      : info_(std::move(info)), joules_at_(std::move(joules_at)), now_(std::move(now)) {}

  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    const uint64_t now = now_();
    const auto period = static_cast<uint64_t>(info_.resolution_s * 1e9);
    double joules = joules_at_(period == 0 ? now : now / period * period);
    if (info_.resolution_j > 0) joules = std::floor(joules / info_.resolution_j) * info_.resolution_j;
    return EnergySample{now, joules};
  }

 private:
  MeterInfo info_;
  JoulesAt joules_at_;
  Now now_;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_SYNTHETIC_H_
