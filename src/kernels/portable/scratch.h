// Memory for intermediate values, kept from operation to operation.
#ifndef EYESHOT_KERNELS_PORTABLE_SCRATCH_H_
#define EYESHOT_KERNELS_PORTABLE_SCRATCH_H_

#include <cstdint>
#include <utility>

#include "base/check.h"
#include "kernels/cpu_backend.h"

namespace eyeshot::portable {

// Grows, never shrinks; growing loses what it held.
class Scratch {
 public:
  // At least `count` floats. Sizes are shapes of the model, checked at load, and a few MB a thread: that there's
  // no memory for them isn't a state to go on from.
  float* Floats(int64_t count) {
    const size_t bytes = static_cast<size_t>(count) * sizeof(float);
    if (bytes > buffer_.bytes()) {
      buffer_ = Buffer();
      Result<Buffer> buffer = AllocateHost(bytes, "scratch memory of kernels");
      EYESHOT_CHECK(buffer.ok());
      buffer_ = std::move(buffer).value();
    }
    return static_cast<float*>(buffer_.data());
  }

 private:
  Buffer buffer_;
};

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_SCRATCH_H_
