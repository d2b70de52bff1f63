// How alike tokens are: products of rows, in the best instruction set that this machine has.
#ifndef EYESHOT_REDUCE_SIMILARITY_H_
#define EYESHOT_REDUCE_SIMILARITY_H_

#include <cstdint>
#include <vector>

#include "base/large_array.h"
#include "base/threads.h"

namespace eyeshot {

// Rows of float32 on the host.
struct FloatRows {
  const float* data = nullptr;
  int64_t count = 0;
  int64_t width = 0;
  int64_t stride = 0;  // floats from one row to the next

  const float* Row(int64_t i) const { return data + i * stride; }
};

float Dot(const float* a, const float* b, int64_t width);

// y[i * y_stride + j] = a_i . b_j. REQUIRES: rows of one width.
void Dots(const FloatRows& a, const FloatRows& b, float* y, int64_t y_stride);

// y[0..width): the row with length 1; a row of zeros stays one.
void UnitRow(const float* row, int64_t width, float* y);
// [count, width]: that of all rows.
std::vector<float> UnitRows(const FloatRows& rows);

// [count, count]: the cosine of the angle between each two rows.
LargeArray<float> CosineMatrix(const FloatRows& rows, ThreadPool& pool);

// [count, width / heads]: the mean of each row's parts of one head.
std::vector<float> MeanOverHeads(const FloatRows& rows, int64_t heads);

}  // namespace eyeshot

#endif  // EYESHOT_REDUCE_SIMILARITY_H_
