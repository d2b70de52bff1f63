// How the CUDA backend keeps weights, and how they get there.
#ifndef EYESHOT_KERNELS_CUDA_WEIGHTS_H_
#define EYESHOT_KERNELS_CUDA_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "kernels/backend.h"
#include "kernels/cuda/kernels.h"

namespace eyeshot::cuda {

// A weight in device memory. Matrices are bfloat16, rounded to nearest where the source has more bits, or blocks of 32
// inputs with a float16 scale each: 8 bits for kInt8 and kQ8, 4 bits for kInt4 and kQ4 (levels of the portable
// backend), or E4M3 with a float32 scale for each row, kFp8.
struct CudaWeight : PackedWeight {
  WeightFormat format = WeightFormat::kExact;
  WeightMatrix matrix;        // of matrices and tables: inputs are those below, rounded up to a multiple of 8
  const float* floats = nullptr;       // of vectors: [outputs]
  const uint16_t* rounded = nullptr;   // of vectors: the same in bfloat16
  Buffer buffer;
};

// A weight as it will lie on the device.
struct HostWeight {
  std::vector<uint8_t> bytes;  // values, then scales on a 16-byte boundary
  size_t scales = 0;           // where scales begin; 0: there are none
};

constexpr int64_t PaddedInputs(int64_t inputs) { return (inputs + 7) / 8 * 8; }
// What a matrix of `rows` (gates and ups together) takes.
size_t MatrixBytes(WeightFormat format, int64_t rows, int64_t inputs);
// The parts of `source` one after the other. REQUIRES: CheckPackable() of each part.
HostWeight PackMatrix(const LinearSource& source, int64_t inputs, ThreadPool& pool);
WeightMatrix::Format MatrixFormat(WeightFormat format);

}  // namespace eyeshot::cuda

#endif  // EYESHOT_KERNELS_CUDA_WEIGHTS_H_
