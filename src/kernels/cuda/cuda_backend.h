// The CUDA backend: weights, activations and the key/value cache in the memory of one GPU, bfloat16 with float32 sums.
//
// Products of many rows go to cuBLASLt, everything else to the kernels of kernels.h. Nothing inside a stage waits for
// the GPU. What a decoding step enqueues is captured as a graph and repeated (Repeat()).
#ifndef EYESHOT_KERNELS_CUDA_CUDA_BACKEND_H_
#define EYESHOT_KERNELS_CUDA_CUDA_BACKEND_H_

#include <memory>

#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "kernels/cuda_plugin.h"

namespace eyeshot::cuda {

// Errors: those of OpenDevice() (driver.h), kOutOfMemory.
Result<std::unique_ptr<Backend>> NewCudaBackend(const CudaOptions& options);

}  // namespace eyeshot::cuda

#endif  // EYESHOT_KERNELS_CUDA_CUDA_BACKEND_H_
