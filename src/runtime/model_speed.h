// How fast a model is below the engine, run after run: what a question costs beside, a device that slept among it, is
// left out.
#ifndef EYESHOT_RUNTIME_MODEL_SPEED_H_
#define EYESHOT_RUNTIME_MODEL_SPEED_H_

#include <cstdint>
#include <functional>

#include "eyeshot/status.h"
#include "models/model.h"

namespace eyeshot {

struct BatchSpeed {
  int64_t sequences = 0;
  int64_t depth = 0;        // tokens of context of each when its answer begins
  double ms_per_step = 0;   // median; a step gives a token to each

  // Of all together.
  double tokens_per_s() const { return static_cast<double>(sequences) * 1e3 / ms_per_step; }
};

// Reads `sequences` texts of `depth` tokens each into one cache, then takes `steps` steps with all of them, after a few
// to warm up. Sampling, and its way to the host and back, is part of a step. on_progress (may be empty) gets the share
// that is done and returns false to cancel (kCancelled). Errors: kInvalidArgument (nothing to measure, or more than the
// model's context), kOutOfMemory.
Result<BatchSpeed> MeasureBatch(const VisionLanguageModel& model, int64_t sequences, int64_t depth, int64_t steps,
                                const std::function<bool(double)>& on_progress);

// Median milliseconds, of the host's clock, until the device has done `runs` runs of a stage, each after the other, two
// of them to warm up.
//
// Tower and connector, of `tiles` tiles of noise. Errors: kInvalidArgument (no tiles, no runs, a model of text alone),
// kOutOfMemory.
Result<double> MeasureEncode(VisionLanguageModel& model, int64_t tiles, int runs);
// A prompt of `tokens` tokens from the beginning. Errors: kInvalidArgument (no tokens or more than the context, no
// runs), kOutOfMemory.
Result<double> MeasurePrefill(const VisionLanguageModel& model, int64_t tokens, int runs);

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_MODEL_SPEED_H_
