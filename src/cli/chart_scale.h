// Axes of charts: ticks at round numbers, and values to shares of the axis.
#ifndef EYESHOT_CLI_CHART_SCALE_H_
#define EYESHOT_CLI_CHART_SCALE_H_

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

namespace eyeshot::cli {

// 1, 2 or 5 times a power of ten, so that `range` has at most four such steps.
inline double NiceStep(double range) {
  constexpr int kTicks = 4;
  if (!(range > 0)) return 1;
  const double rough = range / kTicks;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

// Values to percentages of the axis.
struct Scale {
  double low = 0;
  double high = 1;
  double step = 1;  // between ticks
  double Of(double value) const { return 100 * (value - low) / (high - low); }
};

inline Scale ScaleOf(double low, double high) {
  const double step = NiceStep(high - low);
  return {std::floor(low / step + 1e-9) * step, std::max(step, std::ceil(high / step - 1e-9) * step), step};
}

inline std::vector<double> TicksOf(const Scale& scale) {
  std::vector<double> ticks;
  for (double at = scale.low; at <= scale.high + scale.step * 1e-6; at += scale.step) {
    ticks.push_back(std::abs(at) < scale.step * 1e-6 ? 0 : at);
  }
  return ticks;
}

// 1, 2 and 5 times powers of ten from `low` to `high`, both above zero: ticks of a logarithmic axis.
inline std::vector<double> LogTicksOf(double low, double high) {
  std::vector<double> ticks;
  for (double power = std::pow(10, std::floor(std::log10(low))); power <= high; power *= 10) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= low && factor * power <= high) ticks.push_back(factor * power);
    }
  }
  return ticks;
}

// Of a tick's text, so that it stays within the chart.
inline std::string_view Anchor(double percent) { return percent < 2 ? "start" : percent > 98 ? "end" : "middle"; }

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_CHART_SCALE_H_
