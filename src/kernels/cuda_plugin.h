// The CUDA backend as a library of its own, loaded when it is wanted, so that one program runs with and without a GPU.
#ifndef EYESHOT_KERNELS_CUDA_PLUGIN_H_
#define EYESHOT_KERNELS_CUDA_PLUGIN_H_

#include <cstddef>
#include <memory>
#include <string>

#include "eyeshot/status.h"
#include "kernels/backend.h"

namespace eyeshot {

struct CudaOptions {
  int device = 0;           // index
  size_t memory_limit = 0;  // bytes that may be taken; 0: what the GPU has
  int threads = 0;          // that pack weights; 0: the cores that this process may use
};

// What the library exports, by the names below. All of them are of one build: kCudaPluginVersion is compared first.
inline constexpr const char* kCudaPluginVersion = EYESHOT_PLUGIN_VERSION;
using CudaPluginVersion = const char* (*)();
using CudaPluginCreate = void (*)(const CudaOptions* options, std::unique_ptr<Backend>* backend, Status* status);
inline constexpr const char* kCudaPluginVersionName = "eyeshot_cuda_version";
inline constexpr const char* kCudaPluginCreateName = "eyeshot_cuda_create";

// "cuda" or "cuda:1": the index. Error: kInvalidArgument.
Result<int> ParseCudaDevice(const std::string& device);

// The backend of the library that $EYESHOT_CUDA_PLUGIN names or, without it, that lies beside this program or library
// or where it is installed. Errors: kNotFound (no library, or no driver), kUnsupported (another version, no GPU, too
// old a driver or GPU), kOutOfMemory.
Result<std::unique_ptr<Backend>> LoadCudaBackend(const CudaOptions& options);

// Whether this machine has a driver; cheap where it hasn't.
bool HasCudaDriver();

}  // namespace eyeshot

#endif  // EYESHOT_KERNELS_CUDA_PLUGIN_H_
