#include "energy/governors/slo_feedback.h"

#include <algorithm>
#include <utility>

#include "energy/clocks/clock_control.h"

namespace eyeshot {
namespace {

// The share of a window that a 95th percentile leaves is one in so many.
constexpr int kTailOneIn = 20;
constexpr double kNearShare = 0.95;
// Steps, as shares of the highest clock.
constexpr double kStepDown = 0.03;
constexpr double kStepUp = 0.1;

}  // namespace

SloFeedback::SloFeedback(std::vector<double> clocks_mhz, double target_s, int window)
    : clocks_mhz_(std::move(clocks_mhz)), target_s_(target_s), window_(window), clock_mhz_(clocks_mhz_.back()) {}

void SloFeedback::Observe(double latency_s) {
  ++seen_;
  missed_ += latency_s > target_s_;
  near_ += latency_s > kNearShare * target_s_;
  if (seen_ < window_) return;
  const int tail = window_ / kTailOneIn;
  if (missed_ > tail) {
    clock_mhz_ = NearestOf(clocks_mhz_, clock_mhz_ + kStepUp * clocks_mhz_.back());
  } else if (near_ <= tail) {
    // Of few clocks the next one may be farther than a step.
    const auto at = std::lower_bound(clocks_mhz_.begin(), clocks_mhz_.end(), clock_mhz_);
    const double next = at == clocks_mhz_.begin() ? clock_mhz_ : *(at - 1);
    clock_mhz_ = std::min(next, NearestOf(clocks_mhz_, clock_mhz_ - kStepDown * clocks_mhz_.back()));
  }
  seen_ = missed_ = near_ = 0;
}

}  // namespace eyeshot
