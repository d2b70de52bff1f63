// The calls that a calibration times, on seeded shapes that are no model's.
#ifndef EYESHOT_PLAN_CALIBRATION_POINTS_H_
#define EYESHOT_PLAN_CALIBRATION_POINTS_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "plan/operations.h"
#include "plan/speed.h"

namespace eyeshot::plan {

using CalibrationCall = std::function<void(Stream&)>;

// Calls that are timed together, one after the other: workers sleep between steps, but not inside of one, and weights
// that follow one another come from memory, as a model's do.
struct TimedCalls {
  std::string class_name;
  std::string shape;
  Features features{};
  std::vector<CalibrationCall> calls;
};

// What the calls of a class use. Freed together.
struct CallGroup {
  std::vector<TimedCalls> points;
  std::vector<Buffer> buffers;
  std::vector<PackedWeightPtr> weights;
  std::vector<std::unique_ptr<KvCache>> caches;
};

// Makes points and adds them to groups. Errors: kOutOfMemory.
class PointMaker {
 public:
  // Shapes are `shrink` times smaller along each side (CalibrationOptions).
  PointMaker(Backend& backend, int64_t shrink) : backend_(backend), stream_(backend.NewStream()), shrink_(shrink) {}

  struct LinearShape {
    int64_t rows, outputs, inputs;
    bool gelu = false;
    bool gated = false;
    bool residual = false;
  };
  Status AddLinear(WeightFormat format, const LinearShape& full, CallGroup& group);
  Status AddEncodeAttention(bool reduced, int64_t tiles, int64_t full_tokens, int64_t heads, int64_t dim,
                            CallGroup& group);
  // `rows` tokens at the end of `context`.
  struct PagedShape {
    int64_t rows, context, heads, kv_heads;
  };
  Status AddPaged(bool reduced, KvFormat format, const PagedShape& full, CallGroup& group);
  // kNorm, kCopy or kRotary.
  Status AddPlain(OperationKind kind, int64_t rows, int64_t cols, CallGroup& group);
  Status AddSample(int64_t vocabulary, CallGroup& group);
  Status AddFresh(CallGroup& group);

  // A size as `shrink` has it, a multiple of `step`.
  int64_t Shrunk(int64_t size, int64_t step) const { return std::max(step, size / shrink_ / step * step); }

 private:
  Status Fill(size_t bytes, const std::function<void(uint8_t*)>& fill, void*& data, CallGroup& group);
  Result<MatrixView> Matrix(int64_t rows, int64_t cols, CallGroup& group);
  Result<std::vector<const PackedWeight*>> Ring(WeightFormat format, int64_t outputs, int64_t inputs, bool gated,
                                                size_t ring_bytes, CallGroup& group);
  Result<const PackedWeight*> Vector(int64_t size, CallGroup& group);
  size_t RingBytes(size_t bytes) const { return bytes / static_cast<size_t>(shrink_ * shrink_); }

  Backend& backend_;
  std::unique_ptr<Stream> stream_;
  int64_t shrink_;
};

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_CALIBRATION_POINTS_H_
