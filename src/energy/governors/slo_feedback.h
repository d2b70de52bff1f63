// One clock by feedback from the times of finished requests, with hysteresis.
#ifndef EYESHOT_ENERGY_GOVERNORS_SLO_FEEDBACK_H_
#define EYESHOT_ENERGY_GOVERNORS_SLO_FEEDBACK_H_

#include <vector>

namespace eyeshot {

// After each window of requests the clock goes up if more than 5 % of them missed the target, down if no more than
// that came near it, else it is kept. Begins at the highest.
class SloFeedback {
 public:
  static constexpr int kWindow = 64;

  // `clocks_mhz`: ascending, not empty.
  SloFeedback(std::vector<double> clocks_mhz, double target_s, int window = kWindow);

  double clock_mhz() const { return clock_mhz_; }
  void Observe(double latency_s);

 private:
  std::vector<double> clocks_mhz_;
  double target_s_;
  int window_;
  double clock_mhz_;
  int seen_ = 0;    // of this window
  int missed_ = 0;  // above the target
  int near_ = 0;    // above a share of it
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_GOVERNORS_SLO_FEEDBACK_H_
