// The median of measurements.
#ifndef EYESHOT_BASE_MEDIAN_H_
#define EYESHOT_BASE_MEDIAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

namespace eyeshot {

// Of an even number of values the mean of the two in the middle. REQUIRES: there are values.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace eyeshot

#endif  // EYESHOT_BASE_MEDIAN_H_
