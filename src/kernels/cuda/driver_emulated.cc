#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/emulator.h"
#include "tensor/dtype.h"

namespace eyeshot::cuda {
namespace {

float At(const ConstMatrixView& view, int64_t row, int64_t column) {
  return view.dtype == DType::kF32 ? view.Row<float>(row)[column] : F32FromBf16(view.Row<uint16_t>(row)[column]);
}

std::vector<float> Floats(const ConstMatrixView& view) {
  std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
  for (int64_t row = 0; row < view.rows; ++row) {
    for (int64_t column = 0; column < view.cols; ++column) {
      values[static_cast<size_t>(row * view.cols + column)] = At(view, row, column);
    }
  }
  return values;
}

// In several sums, which the compiler computes side by side.
float Dot(const float* a, const float* b, int64_t size) {
  constexpr int64_t kSums = 16;
  std::array<float, kSums> sums = {};
  int64_t i = 0;
  for (; i + kSums <= size; i += kSums) {
    for (int64_t lane = 0; lane < kSums; ++lane) sums[static_cast<size_t>(lane)] += a[i + lane] * b[i + lane];
  }
  for (; i < size; ++i) sums[0] += a[i] * b[i];
  return std::accumulate(sums.begin(), sums.end(), 0.0f);
}

class PlainMatmul final : public Matmul {
 public:
  void Run(StreamHandle, const Product& product) override {
    emulator::Enqueue([product] { Multiply(product); });
  }
  Status Error() const override { return Status::Ok(); }

 private:
  static void Multiply(const Product& p) {
    const int64_t depth = p.x.cols;
    const std::vector<float> x = Floats(p.x);
    const std::vector<float> w = Floats({p.weight, DType::kBF16, p.y.cols, depth, depth});
    for (int64_t m = 0; m < p.y.rows; ++m) {
      for (int64_t n = 0; n < p.y.cols; ++n) {
        float sum = Dot(&x[static_cast<size_t>(m * depth)], &w[static_cast<size_t>(n * depth)], depth);
        if (p.bias != nullptr) sum += F32FromBf16(p.bias[n]);
        if (p.gelu) sum = 0.5f * sum * (1.0f + std::tanh(0.7978845608028654f * (sum + 0.044715f * sum * sum * sum)));
        if (!p.residual.empty()) sum += At(p.residual, m, n);
        if (p.y.dtype == DType::kF32) {
          p.y.Row<float>(m)[n] = sum;
        } else {
          p.y.Row<uint16_t>(m)[n] = Bf16FromF32(sum);
        }
      }
    }
  }
};

}  // namespace

Result<DeviceInfo> OpenDevice(int index) {
  constexpr size_t kBytes = size_t{1} << 34;
  return DeviceInfo{index, "emulated GPU", 9, 0, "00000000:1B:00.0", kBytes};
}
void UseDevice(int) {}
size_t FreeDeviceBytes() { return size_t{1} << 34; }

void* AllocateDevice(size_t bytes) {
  EYESHOT_CHECK(!emulator::Capturing());  // the driver gives a capture up
  constexpr size_t kAlignment = 256;  // cudaMalloc's
  void* data = std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  if (data != nullptr) std::memset(data, 0xff, bytes);  // NaN: nothing may lean on zeros
  return data;
}
void FreeDevice(void* data, size_t) { std::free(data); }

void* AllocatePinned(size_t bytes) { return std::malloc(bytes); }
void FreePinned(void* data) { std::free(data); }

StreamHandle NewStream() { return nullptr; }
void DestroyStream(StreamHandle) {}
void CopyToDevice(StreamHandle, const void* host, void* device, size_t bytes) {
  emulator::Enqueue([=] { std::memcpy(device, host, bytes); });
}
void CopyToHost(StreamHandle, const void* device, void* host, size_t bytes) {
  emulator::Enqueue([=] { std::memcpy(host, device, bytes); });
}
void CopyOnDevice(StreamHandle, const void* from, void* to, size_t bytes) {
  emulator::Enqueue([=] { std::memcpy(to, from, bytes); });
}
void ClearDevice(StreamHandle, void* device, size_t bytes) {
  emulator::Enqueue([=] { std::memset(device, 0, bytes); });
}
Status Synchronize(StreamHandle) {
  EYESHOT_CHECK(!emulator::Capturing());
  return Status::Ok();
}

struct HostEvent {
  std::chrono::steady_clock::time_point at;
};
EventHandle NewEvent() { return new HostEvent; }
void DestroyEvent(EventHandle event) { delete static_cast<HostEvent*>(event); }
void RecordEvent(StreamHandle, EventHandle event) {
  static_cast<HostEvent*>(event)->at = std::chrono::steady_clock::now();
}
Status WaitFor(EventHandle) { return Status::Ok(); }
bool HasPassed(EventHandle) { return true; }
uint64_t NanosecondsBetween(EventHandle begin, EventHandle end) {
  const auto between = static_cast<HostEvent*>(end)->at - static_cast<HostEvent*>(begin)->at;
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(between).count());
}

using Graph = std::vector<std::function<void()>>;
GraphHandle CaptureGraph(StreamHandle, const std::function<void()>& enqueue) {
  emulator::BeginCapture();
  enqueue();
  return new Graph(emulator::EndCapture());
}
void LaunchGraph(StreamHandle, GraphHandle graph) {
  for (const std::function<void()>& work : *static_cast<Graph*>(graph)) work();
}
void DestroyGraph(GraphHandle graph) { delete static_cast<Graph*>(graph); }

Result<std::unique_ptr<Matmul>> NewMatmul(void*) { return std::unique_ptr<Matmul>(std::make_unique<PlainMatmul>()); }

}  // namespace eyeshot::cuda
