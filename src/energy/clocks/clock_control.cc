#include "energy/clocks/clock_control.h"

#include <algorithm>
#include <cmath>

namespace eyeshot {

double NearestOf(const std::vector<double>& clocks_mhz, double mhz) {
  return *std::min_element(clocks_mhz.begin(), clocks_mhz.end(),
                           [&](double a, double b) { return std::abs(a - mhz) < std::abs(b - mhz); });
}

std::vector<double> Thinned(const std::vector<double>& clocks, size_t most) {
  if (clocks.size() <= most || most < 2) return clocks;
  std::vector<double> thin;
  thin.reserve(most);
  for (size_t i = 0; i < most; ++i) thin.push_back(clocks[i * (clocks.size() - 1) / (most - 1)]);
  return thin;
}

}  // namespace eyeshot
