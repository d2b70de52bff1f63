#include "energy/meters/counter.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot {

Status EnergyCounter::Failed(std::string found, std::string mend) {
  failure_ = CorruptError(std::move(found), std::move(mend));
  return failure_;
}

Result<EnergySample> EnergyCounter::Add(uint64_t at_ns, double raw_j) {
  if (!failure_.ok()) return failure_;
  if (!std::isfinite(raw_j) || raw_j < 0 || (range_j_ > 0 && raw_j > range_j_)) {
    return CorruptError(fmt::format("{}: {} J is no reading of a counter of {} J", name_, raw_j, range_j_),
                        "check the counter; a later reading may be good");
  }
  if (!started_) {
    started_ = true;
    last_ = {at_ns, 0};
    raw_j_ = raw_j;
    return last_;
  }
  if (at_ns <= last_.at_ns) return last_;
  const double seconds = static_cast<double>(at_ns - last_.at_ns) * 1e-9;
  const double most = limits::kMaxCounterWatts * seconds;
  if (range_j_ > 0 && most > range_j_) {
    return Failed(fmt::format("{}: was not read for {:.0f} s and may have wrapped unseen", name_, seconds),
                  "measure again without stopping the program");
  }
  double step = raw_j - raw_j_;
  if (step < 0) step += range_j_;
  // A counter without a range that went back is negative still; one with a range that was reset seems to have taken
  // nearly all of it at once. A step may hold what was taken in the period before the last reading.
  if (step < 0 || step > most + limits::kMaxCounterWatts * period_s_) {
    return Failed(
        fmt::format("{}: went from {:.6g} J to {:.6g} J in {:.3g} s: it was reset", name_, raw_j_, raw_j, seconds),
        "measure again");
  }
  raw_j_ = raw_j;
  last_ = {at_ns, last_.joules + step};
  return last_;
}

}  // namespace eyeshot
