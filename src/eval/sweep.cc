#include "eval/sweep.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"

namespace eyeshot::eval {

Result<SweepAxis> ParseSweepAxis(std::string_view text) {
  const size_t equals = text.find('=');
  const auto error = [&](std::string_view what) {
    return InvalidArgumentError(fmt::format("--sweep '{}': {}", text, what),
                                "write a setting and its values, as in --sweep detail=low,high");
  };
  if (equals == std::string_view::npos || equals == 0) return error("there is no 'NAME='");
  SweepAxis axis{.name = std::string(text.substr(0, equals))};
  std::string_view rest = text.substr(equals + 1);
  while (true) {
    const size_t comma = rest.find(',');
    std::string value(rest.substr(0, comma));
    std::replace(value.begin(), value.end(), '+', ',');
    if (value.empty()) return error("a value is empty");
    if (std::find(axis.values.begin(), axis.values.end(), value) != axis.values.end()) {
      return error(fmt::format("'{}' stands twice", value));
    }
    axis.values.push_back(std::move(value));
    if (comma == std::string_view::npos) return axis;
    rest.remove_prefix(comma + 1);
  }
}

Result<std::vector<Point>> PointsOf(std::span<const SweepAxis> axes) {
  std::vector<Point> points(1);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto same = [&](const SweepAxis& other) { return other.name == axes[i].name; };
    if (std::any_of(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(i), same)) {
      return InvalidArgumentError(fmt::format("--sweep names '{}' twice", axes[i].name), "give all its values at once");
    }
    if (points.size() * axes[i].values.size() > limits::kMaxSweepPoints) {
      return LimitError(fmt::format("a sweep of more than kMaxSweepPoints ({}) points", limits::kMaxSweepPoints),
                        "take fewer values, or make several sweeps");
    }
    std::vector<Point> longer;
    for (const Point& point : points) {
      for (const std::string& value : axes[i].values) {
        longer.push_back(point);
        longer.back().emplace_back(axes[i].name, value);
      }
    }
    points = std::move(longer);
  }
  return points;
}

std::string PointName(const Point& point) {
  std::string name;
  for (const auto& [axis, value] : point) name += fmt::format("{}{}={}", name.empty() ? "" : " ", axis, value);
  return name;
}

std::vector<bool> ParetoFront(std::span<const double> costs, std::span<const double> scores) {
  EYESHOT_CHECK(costs.size() == scores.size());
  std::vector<bool> front;
  for (size_t i = 0; i < costs.size(); ++i) {
    bool beaten = false;
    for (size_t j = 0; j < costs.size() && !beaten; ++j) {
      const bool as_good = costs[j] <= costs[i] && scores[j] >= scores[i];
      beaten = as_good && (costs[j] < costs[i] || scores[j] > scores[i]);
    }
    front.push_back(!beaten);
  }
  return front;
}

}  // namespace eyeshot::eval
