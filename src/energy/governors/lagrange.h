// The least energy within a time: energy is convex in the time of each stage, so that at the optimum a second costs
// equally much in all of them.
#ifndef EYESHOT_ENERGY_GOVERNORS_LAGRANGE_H_
#define EYESHOT_ENERGY_GOVERNORS_LAGRANGE_H_

#include <functional>

namespace eyeshot {

// `choose` takes for each stage the clock at which joules + lambda x seconds are least, and returns the seconds of all
// of them. It is called last with the least lambda (W, the Lagrange multiplier, from 0 to `most_w`) at which these are
// at most `allowed_s`.
inline void ChooseWithin(double allowed_s, double most_w, const std::function<double(double lambda)>& choose) {
  double low = 0;
  double high = most_w;
  if (choose(low) <= allowed_s) return;
  constexpr int kHalvings = 40;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2;
    (choose(middle) <= allowed_s ? high : low) = middle;
  }
  choose(high);
}

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_GOVERNORS_LAGRANGE_H_
