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

// Takes less than a minute on two cores. Each class is measured in `rounds` rounds over all of its points, so that
// what another program takes away is spread over them, and those count that it left alone. on_progress (may be empty) gets the share that
// is done and returns false to cancel (kCancelled). Errors: kUnsupported (the backend's weights can't be copied: use
// the portable one), kOutOfMemory.
Result<Calibration> Calibrate(Backend& backend, int rounds, const std::function<bool(double)>& on_progress);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_CALIBRATE_H_
