// What libeyeshot_cuda.so exports: see kernels/cuda_plugin.h.
#include <utility>

#include "eyeshot/export.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda_plugin.h"

extern "C" EYESHOT_EXPORT const char* eyeshot_cuda_version();
extern "C" EYESHOT_EXPORT void eyeshot_cuda_create(const eyeshot::CudaOptions* options,
                                                   std::unique_ptr<eyeshot::Backend>* backend, eyeshot::Status* status);

const char* eyeshot_cuda_version() { return eyeshot::kCudaPluginVersion; }

void eyeshot_cuda_create(const eyeshot::CudaOptions* options, std::unique_ptr<eyeshot::Backend>* backend,
                         eyeshot::Status* status) {
  eyeshot::Result<std::unique_ptr<eyeshot::Backend>> created = eyeshot::cuda::NewCudaBackend(*options);
  *status = created.status();
  if (created.ok()) *backend = std::move(created).value();
}
