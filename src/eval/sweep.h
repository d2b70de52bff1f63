// Sweeps: every combination of some settings over one set, and which of them are worth their cost.
#ifndef EYESHOT_EVAL_SWEEP_H_
#define EYESHOT_EVAL_SWEEP_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/record.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

struct SweepAxis {
  std::string name;
  std::vector<std::string> values;

  bool operator==(const SweepAxis&) const = default;
};

// "precision=int8,exact"; a comma within a value is written as "+": "precision=int8+q8_0,exact". Errors:
// kInvalidArgument (no "=", an empty value, one that stands twice).
Result<SweepAxis> ParseSweepAxis(std::string_view text);

// All combinations; the first axis changes slowest. One point without settings where there is no axis. Errors:
// kInvalidArgument (an axis twice), kLimitExceeded (kMaxSweepPoints).
Result<std::vector<Point>> PointsOf(std::span<const SweepAxis> axes);

// "precision=int8 detail=low"
std::string PointName(const Point& point);

// Which points are on the Pareto front: no other costs as little or less and scores as much or more, one of them
// strictly. REQUIRES: as many costs as scores.
std::vector<bool> ParetoFront(std::span<const double> costs, std::span<const double> scores);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_SWEEP_H_
