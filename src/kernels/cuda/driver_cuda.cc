#include <cublasLt.h>
#include <cuda_runtime.h>

#include <array>
#include <map>
#include <tuple>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cuda/driver.h"

// The cuBLAS that has scales of rows.
#define EYESHOT_CUBLAS_ROW_SCALES 120900

namespace eyeshot::cuda {
namespace {

constexpr int kOldestMajor = 8;  // bfloat16 tensor cores
constexpr int kHopper = 9;

cudaStream_t Stream(StreamHandle stream) { return static_cast<cudaStream_t>(stream); }

Status DriverError(cudaError_t error) {
  const std::string found = fmt::format("CUDA: {} ({})", cudaGetErrorString(error), cudaGetErrorName(error));
  switch (error) {
    case cudaErrorInsufficientDriver:
      if (int version = 0; cudaDriverGetVersion(&version) == cudaSuccess && version == 0) {
        return UnsupportedError("no NVIDIA driver is installed", "install one, or use --device cpu");
      }
      return UnsupportedError(found,
                              fmt::format("install an NVIDIA driver for CUDA {}.{} or later, or use --device cpu",
                                          CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10));
    case cudaErrorNoDevice: return UnsupportedError(found, "check nvidia-smi, or use --device cpu");
    default: return UnsupportedError(found, "check nvidia-smi and the system's log, or use --device cpu");
  }
}

Status GpuStatus(cudaError_t error) {
  if (error == cudaSuccess) return Status::Ok();
  return IoError(fmt::format("the GPU failed: {} ({})", cudaGetErrorString(error), cudaGetErrorName(error)),
                 "start the program again; if it stays so, report it with the model and the GPU");
}

// What a query found. Other errors are those of work that was enqueued: who waits for it gets them.
bool IsDone(cudaError_t found) {
  if (found != cudaErrorNotReady) return true;
  cudaGetLastError();  // it counts as an error, which the next wait would report
  return false;
}

bool IsE4M3(const Product& product) { return product.x.dtype == DType::kF8E4M3; }

// A product's shape and what was found for it.
struct Plan {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t w = nullptr, x = nullptr, c = nullptr, d = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  bool found = false;
};

class CublasLtMatmul final : public Matmul {
 public:
  static Result<std::unique_ptr<Matmul>> Create();
  ~CublasLtMatmul() override;

  bool Run(StreamHandle stream, const Product& product, void* workspace) override;
  bool TakesE4M3() const override { return takes_e4m3_; }
  Status Error() const override;

 private:
  // Alignments of weight, x, residual and y, as algorithms may count on them.
  using Alignments = std::array<uint32_t, 4>;
  // m, n, k, strides of x, residual and y, float32 output, bias, GELU, E4M3, yields.
  using Key =
      std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, bool, bool, bool, bool, bool, Alignments>;

  static uint32_t Alignment(const void* data) {
    constexpr uintptr_t kMost = 256;  // that cuBLASLt asks about, and what it takes for granted otherwise
    const auto address = reinterpret_cast<uintptr_t>(data) | kMost;
    return static_cast<uint32_t>(address & (~address + 1));
  }
  static Alignments AlignmentsOf(const Product& p) {
    const uint32_t y = Alignment(p.y.data);
    return {Alignment(p.weight), Alignment(p.x.data), p.residual.empty() ? y : Alignment(p.residual.data), y};
  }

  void Note(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS && error_ == CUBLAS_STATUS_SUCCESS) error_ = status;
  }
  template <typename T>
  void Set(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const T& value) {
    Note(cublasLtMatmulDescSetAttribute(operation, attribute, static_cast<const void*>(&value), sizeof(value)));
  }
  cublasLtMatrixLayout_t Layout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride) {
    cublasLtMatrixLayout_t layout = nullptr;
    Note(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols), stride));
    return layout;
  }
  Plan MakePlan(const Product& product);
  void SetScales(cublasLtMatmulDesc_t operation, const Product& product);
  void Choose(Plan& plan, const Alignments& alignments);

  cublasLtHandle_t handle_ = nullptr;
  bool takes_e4m3_ = false;
  int processors_ = 0;
  std::map<Key, Plan> plans_;
  cublasStatus_t error_ = CUBLAS_STATUS_SUCCESS;
};

Result<std::unique_ptr<Matmul>> CublasLtMatmul::Create() {
  auto matmul = std::make_unique<CublasLtMatmul>();
  matmul->Note(cublasLtCreate(&matmul->handle_));
  // Scales of rows are Hopper's alone (cuBLAS 12.9, "Outer vector scaling").
  int device = 0;
  int major = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&matmul->processors_, cudaDevAttrMultiProcessorCount, device);
  matmul->takes_e4m3_ = CUBLAS_VERSION >= EYESHOT_CUBLAS_ROW_SCALES && major == kHopper;
  EYESHOT_RETURN_IF_ERROR(matmul->Error());
  return std::unique_ptr<Matmul>(std::move(matmul));
}

CublasLtMatmul::~CublasLtMatmul() {
  for (auto& [key, plan] : plans_) {
    cublasLtMatmulDescDestroy(plan.operation);
    for (cublasLtMatrixLayout_t layout : {plan.w, plan.x, plan.c, plan.d}) cublasLtMatrixLayoutDestroy(layout);
  }
  if (handle_ != nullptr) cublasLtDestroy(handle_);
}

Status CublasLtMatmul::Error() const {
  if (error_ == CUBLAS_STATUS_SUCCESS) return Status::Ok();
  return IoError(fmt::format("cuBLASLt: {}", cublasLtGetStatusString(error_)), "report it, with the model and the GPU");
}

// cuBLAS counts columns first: y^T [n, m] = w [n, k] x^T [k, m], where each row-major matrix is its own transpose.
Plan CublasLtMatmul::MakePlan(const Product& p) {
  const int64_t m = p.y.rows;
  const int64_t n = p.y.cols;
  const int64_t k = p.x.cols;
  const cudaDataType_t out = p.y.dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
  const cudaDataType_t in = IsE4M3(p) ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
  Plan plan;
  Note(cublasLtMatmulDescCreate(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  Set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
  const cublasLtEpilogue_t epilogue = p.gelu ? p.bias != nullptr ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU
                                      : p.bias != nullptr ? CUBLASLT_EPILOGUE_BIAS
                                                          : CUBLASLT_EPILOGUE_DEFAULT;
  Set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
  if (p.bias != nullptr) {
    Set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_16BF);
    Set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }
  plan.w = Layout(in, k, n, k);
  plan.x = Layout(in, k, m, p.x.stride);
  plan.c = Layout(out, n, m, p.residual.empty() ? p.y.stride : p.residual.stride);
  plan.d = Layout(out, n, m, p.y.stride);
  if (IsE4M3(p)) SetScales(plan.operation, p);
  // Its kernels hold their multiprocessors to the end: a step of decoding, whose kernels wait for each other, would
  // wait for as many of them.
  if (p.yields) Set(plan.operation, CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, int32_t{processors_ * 3 / 4});
  Choose(plan, AlignmentsOf(p));
  if (!plan.found && !IsE4M3(p)) Note(CUBLAS_STATUS_NOT_SUPPORTED);
  return plan;
}

void CublasLtMatmul::SetScales(cublasLtMatmulDesc_t operation, const Product& p) {
#if CUBLAS_VERSION >= EYESHOT_CUBLAS_ROW_SCALES
  constexpr cublasLtMatmulMatrixScale_t kEachRow = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
  Set(operation, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, kEachRow);
  Set(operation, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, kEachRow);
  Set(operation, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.weight_scales);
  Set(operation, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.x_scales);
#else
  static_cast<void>(operation);
  static_cast<void>(p);
#endif
}

void CublasLtMatmul::Choose(Plan& plan, const Alignments& alignments) {
  cublasLtMatmulPreference_t preference = nullptr;
  Note(cublasLtMatmulPreferenceCreate(&preference));
  Note(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kMatmulWorkspace,
                                            sizeof(kMatmulWorkspace)));
  constexpr std::array kAttributes = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  for (size_t i = 0; i < kAttributes.size(); ++i) {
    Note(cublasLtMatmulPreferenceSetAttribute(preference, kAttributes[i], &alignments[i], sizeof(alignments[i])));
  }
  cublasLtMatmulHeuristicResult_t result = {};
  int found = 0;
  if (cublasLtMatmulAlgoGetHeuristic(handle_, plan.operation, plan.w, plan.x, plan.c, plan.d, preference, 1, &result,
                                     &found) != CUBLAS_STATUS_SUCCESS) {
    found = 0;
  }
  cublasLtMatmulPreferenceDestroy(preference);
  if (found == 0) return;
  plan.algorithm = result.algo;
  plan.found = true;
}

bool CublasLtMatmul::Run(StreamHandle stream, const Product& p, void* workspace) {
  EYESHOT_CHECK(!p.gelu || p.residual.empty());
  EYESHOT_CHECK(p.residual.empty() || p.residual.dtype == p.y.dtype);
  const Key key{p.y.rows,
                p.y.cols,
                p.x.cols,
                p.x.stride,
                p.residual.empty() ? 0 : p.residual.stride,
                p.y.stride,
                p.y.dtype == DType::kF32,
                p.bias != nullptr,
                p.gelu,
                IsE4M3(p),
                p.yields,
                AlignmentsOf(p)};
  auto plan = plans_.find(key);
  if (plan == plans_.end()) plan = plans_.emplace(key, MakePlan(p)).first;
  if (!plan->second.found) return !IsE4M3(p);
  if (IsE4M3(p)) SetScales(plan->second.operation, p);
  if (p.bias != nullptr) Set(plan->second.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  const float one = 1;
  const float beta = p.residual.empty() ? 0 : 1;
  Note(cublasLtMatmul(handle_, plan->second.operation, &one, p.weight, plan->second.w, p.x.data, plan->second.x, &beta,
                      p.residual.empty() ? p.y.data : p.residual.data, plan->second.c, p.y.data, plan->second.d,
                      &plan->second.algorithm, workspace, kMatmulWorkspace, Stream(stream)));
  return true;
}

}  // namespace

Result<DeviceInfo> OpenDevice(int index) {
  int count = 0;
  if (const cudaError_t error = cudaGetDeviceCount(&count); error != cudaSuccess) return DriverError(error);
  if (index < 0 || index >= count) {
    return InvalidArgumentError(fmt::format("GPU {} of {}", index, count), fmt::format("use 0 to {}", count - 1));
  }
  cudaDeviceProp properties = {};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, index); error != cudaSuccess) {
    return DriverError(error);
  }
  if (properties.major < kOldestMajor) {
    return UnsupportedError(
        fmt::format("{} has compute capability {}.{}", properties.name, properties.major, properties.minor),
        fmt::format("use a GPU of {}.0 or later, or --device cpu", kOldestMajor));
  }
  if (const cudaError_t error = cudaSetDevice(index); error != cudaSuccess) return DriverError(error);
  std::array<char, 32> bus = {};
  if (const cudaError_t error = cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), index);
      error != cudaSuccess) {
    return DriverError(error);
  }
  return DeviceInfo{index, properties.name, properties.major, properties.minor, bus.data(), properties.totalGlobalMem};
}

void UseDevice(int index) { cudaSetDevice(index); }

size_t FreeDeviceBytes() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  return cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess ? free_bytes : 0;
}

void* AllocateDevice(size_t bytes) {
  void* data = nullptr;
  if (cudaMalloc(&data, bytes) == cudaSuccess) return data;
  cudaGetLastError();  // the next call must not report this one's
  return nullptr;
}
void FreeDevice(void* data, size_t) { cudaFree(data); }

void* AllocatePinned(size_t bytes) {
  void* data = nullptr;
  if (cudaMallocHost(&data, bytes) == cudaSuccess) return data;
  cudaGetLastError();
  return nullptr;
}
void FreePinned(void* data) { cudaFreeHost(data); }

StreamHandle NewStream(bool urgent) {
  int least = 0;
  int greatest = 0;
  if (cudaDeviceGetStreamPriorityRange(&least, &greatest) != cudaSuccess) least = greatest = 0;
  cudaStream_t stream = nullptr;
  EYESHOT_CHECK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, urgent ? greatest : least) == cudaSuccess);
  return stream;
}
void DestroyStream(StreamHandle stream) { cudaStreamDestroy(Stream(stream)); }

void CopyToDevice(StreamHandle stream, const void* host, void* device, size_t bytes) {
  cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, Stream(stream));
}
void CopyToHost(StreamHandle stream, const void* device, void* host, size_t bytes) {
  cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, Stream(stream));
}
void CopyOnDevice(StreamHandle stream, const void* from, void* to, size_t bytes) {
  cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, Stream(stream));
}
void ClearDevice(StreamHandle stream, void* device, size_t bytes) { cudaMemsetAsync(device, 0, bytes, Stream(stream)); }

bool IsIdle(StreamHandle stream) { return IsDone(cudaStreamQuery(Stream(stream))); }
Status Synchronize(StreamHandle stream) {
  cudaError_t error = cudaStreamSynchronize(Stream(stream));
  const cudaError_t launch = cudaGetLastError();
  if (error == cudaSuccess) error = launch;
  return GpuStatus(error);
}

EventHandle NewEvent() {
  cudaEvent_t event = nullptr;
  EYESHOT_CHECK(cudaEventCreate(&event) == cudaSuccess);
  return event;
}
void DestroyEvent(EventHandle event) { cudaEventDestroy(static_cast<cudaEvent_t>(event)); }
void RecordEvent(StreamHandle stream, EventHandle event) {
  cudaEventRecord(static_cast<cudaEvent_t>(event), Stream(stream));
}
Status WaitFor(EventHandle event) { return GpuStatus(cudaEventSynchronize(static_cast<cudaEvent_t>(event))); }
bool HasPassed(EventHandle event) { return IsDone(cudaEventQuery(static_cast<cudaEvent_t>(event))); }
uint64_t NanosecondsBetween(EventHandle begin, EventHandle end) {
  float milliseconds = 0;
  if (cudaEventElapsedTime(&milliseconds, static_cast<cudaEvent_t>(begin), static_cast<cudaEvent_t>(end)) !=
      cudaSuccess) {
    return 0;
  }
  return static_cast<uint64_t>(static_cast<double>(milliseconds) * 1e6);
}

GraphHandle CaptureGraph(StreamHandle stream, const std::function<void()>& enqueue) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  if (cudaStreamBeginCapture(Stream(stream), cudaStreamCaptureModeThreadLocal) == cudaSuccess) {
    enqueue();
    if (cudaStreamEndCapture(Stream(stream), &graph) != cudaSuccess) graph = nullptr;
  }
  if (graph != nullptr) {
    if (cudaGraphInstantiate(&executable, graph, 0) != cudaSuccess) executable = nullptr;
    cudaGraphDestroy(graph);
  }
  if (executable == nullptr) cudaGetLastError();  // the caller runs the step itself: no error of the next wait
  return executable;
}
void LaunchGraph(StreamHandle stream, GraphHandle graph) {
  cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), Stream(stream));
}
void DestroyGraph(GraphHandle graph) { cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)); }

Result<std::unique_ptr<Matmul>> NewMatmul() { return CublasLtMatmul::Create(); }

}  // namespace eyeshot::cuda
