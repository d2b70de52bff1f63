// What the CUDA backend needs of the driver and of cuBLASLt, so that it runs over the emulator as well.
//
// driver_cuda.cc has the real ones, driver_emulated.cc those whose device memory is the host's.
#ifndef EYESHOT_KERNELS_CUDA_DRIVER_H_
#define EYESHOT_KERNELS_CUDA_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "eyeshot/status.h"
#include "tensor/view.h"

namespace eyeshot::cuda {

using StreamHandle = void*;  // cudaStream_t
using GraphHandle = void*;   // cudaGraphExec_t
using EventHandle = void*;   // cudaEvent_t

struct DeviceInfo {
  int index = 0;
  std::string name;  // "NVIDIA H100 80GB HBM3"
  int major = 0;     // compute capability
  int minor = 0;
  std::string pci_bus_id;  // "00000000:1B:00.0"
  size_t total_bytes = 0;
};

// Of device `index`, which the calling thread then uses. Errors: kUnsupported (no driver, one that is too old, no such
// device, one that is older than the kernels), each with what to do.
Result<DeviceInfo> OpenDevice(int index);
// Makes the device the calling thread's.
void UseDevice(int index);
// As the driver says now.
size_t FreeDeviceBytes();

// nullptr: no memory.
void* AllocateDevice(size_t bytes);
void FreeDevice(void* data, size_t bytes);

// Host memory that the GPU reads by itself, so that copies don't wait. nullptr: no memory.
void* AllocatePinned(size_t bytes);
void FreePinned(void* data);

// Kernels of an urgent stream go before those of others that have not begun.
StreamHandle NewStream(bool urgent);
void DestroyStream(StreamHandle stream);
// Copies are ordered with the kernels of the stream. Pinned memory is read when the copy's turn comes; other memory may
// be reused when the call returns.
void CopyToDevice(StreamHandle stream, const void* host, void* device, size_t bytes);
void CopyToHost(StreamHandle stream, const void* device, void* host, size_t bytes);
void CopyOnDevice(StreamHandle stream, const void* from, void* to, size_t bytes);
void ClearDevice(StreamHandle stream, void* device, size_t bytes);
// Whether all that was enqueued is done. Synchronize() has its errors.
bool IsIdle(StreamHandle stream);
// Waits. The first error of anything that was enqueued since the last call, by any stream: kIo.
Status Synchronize(StreamHandle stream);

// Moments of a stream, by the GPU's clock.
EventHandle NewEvent();
void DestroyEvent(EventHandle event);
void RecordEvent(StreamHandle stream, EventHandle event);
// The error of what was enqueued before it, or of anything before that: kIo.
Status WaitFor(EventHandle event);
bool HasPassed(EventHandle event);
// REQUIRES: both were recorded and waited for.
uint64_t NanosecondsBetween(EventHandle begin, EventHandle end);

// What `enqueue` enqueues, as a graph; null where graphs can't be had. It does not run.
GraphHandle CaptureGraph(StreamHandle stream, const std::function<void()>& enqueue);
void LaunchGraph(StreamHandle stream, GraphHandle graph);
void DestroyGraph(GraphHandle graph);

// y[m, n] = gelu(x[m, k] w[n, k]^T + bias) + residual, with float32 sums.
struct Product {
  ConstMatrixView x;  // bfloat16, or E4M3
  const void* weight = nullptr;  // [n, k] of x's type, rows one after the other
  const float* x_scales = nullptr;  // [m] of E4M3, one for each row
  const float* weight_scales = nullptr;  // [n] the same
  const uint16_t* bias = nullptr;  // [n] bfloat16, may be null
  bool gelu = false;  // the tanh form; without a residual
  ConstMatrixView residual;  // as y; may be empty, may be y
  MatrixView y;  // bfloat16 or float32
  bool yields = false;  // leaves multiprocessors to kernels of other streams
};

// Dense products: cuBLASLt. One call at a time.
class Matmul {
 public:
  virtual ~Matmul() = default;
  // Whether there are products of E4M3 with a scale for each row.
  virtual bool TakesE4M3() const = 0;
  // False: not of matrices like these, and nothing was enqueued. Products of bfloat16 always are. `workspace`: device
  // memory of kMatmulWorkspace bytes, which products of other streams don't have.
  virtual bool Run(StreamHandle stream, const Product& product, void* workspace) = 0;
  // Of anything that was run: kIo.
  virtual Status Error() const = 0;
};
// NVIDIA advises 32 MiB for Hopper, 4 before.
inline constexpr size_t kMatmulWorkspace = size_t{32} << 20;
// Of the device that the calling thread uses.
Result<std::unique_ptr<Matmul>> NewMatmul();

}  // namespace eyeshot::cuda

#endif  // EYESHOT_KERNELS_CUDA_DRIVER_H_
