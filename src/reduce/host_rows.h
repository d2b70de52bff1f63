// HostRows: a backend's matrix as float32 rows that the host can read.
#ifndef EYESHOT_REDUCE_HOST_ROWS_H_
#define EYESHOT_REDUCE_HOST_ROWS_H_

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace eyeshot {

// On a CPU whose matrix is float32 the matrix itself; else a copy, for which is waited.
class HostRows {
 public:
  // Errors: those of the backend's Sync(), and of its Allocate() where rows don't lie side by side.
  static Result<HostRows> Read(Backend& backend, Stream& stream, ConstMatrixView matrix);

  const float* data() const { return copy_.empty() ? data_ : copy_.data(); }
  int64_t stride() const { return stride_; }  // floats from one row to the next

 private:
  const float* data_ = nullptr;
  std::vector<float> copy_;
  int64_t stride_ = 0;
};

// The way back: `values` [y.rows, y.cols] into a matrix, for which is not waited.
void WriteRows(Backend& backend, Stream& stream, const float* values, MatrixView y);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_HOST_ROWS_H_
