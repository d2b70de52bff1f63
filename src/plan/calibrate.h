// Measures how fast this machine runs operations, on small seeded shapes that are no model's.
#ifndef EYESHOT_PLAN_CALIBRATE_H_
#define EYESHOT_PLAN_CALIBRATE_H_

#include <functional>
#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "plan/speed.h"

namespace eyeshot::plan {

// A point that was measured, and what the fitted figures say of it.
struct CalibrationPoint {
  std::string class_name;
  std::string shape;  // for people: "512 x 896 x 1280"
  Features features{};
  double seconds = 0;  // that a fifth of the rounds stay below
  double fitted_seconds = 0;
};

struct Calibration {
  MachineSpeed speed;  // without `version` and `date`, which are the caller's
  std::vector<CalibrationPoint> points;
};

struct CalibrationOptions {
  int rounds = 9;  // each class is measured in so many over all of its points, so that disturbances are spread
  // All shapes and rings of weights are so many times smaller along each side: for tests, whose figures mean nothing.
  int64_t shrink = 1;
  std::function<bool(double)> on_progress;  // share that is done; returns false to cancel. May be empty
};

// Takes about half a minute on two cores and 1 GB of memory. Errors: kUnsupported (the backend's weights can't be
// copied: use the portable one), kOutOfMemory, kCancelled.
Result<Calibration> Calibrate(Backend& backend, const CalibrationOptions& options);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_CALIBRATE_H_
