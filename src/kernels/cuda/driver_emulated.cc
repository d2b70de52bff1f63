#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/emulator.h"
#include "tensor/dtype.h"

namespace eyeshot::cuda {
namespace {

float At(const ConstMatrixView& view, int64_t row, int64_t column) {
  switch (view.dtype) {
    case DType::kF32: return view.Row<float>(row)[column];
    case DType::kF8E4M3: return F32FromF8E4M3(view.Row<uint8_t>(row)[column]);
    default: return F32FromBf16(view.Row<uint16_t>(row)[column]);
  }
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

emulator::Queue* Queue(StreamHandle stream) { return static_cast<emulator::Queue*>(stream); }
void Finish(StreamHandle stream) {
  while (emulator::Advance(Queue(stream))) {
  }
}

class PlainMatmul final : public Matmul {
 public:
  bool Run(StreamHandle stream, const Product& product, void* workspace) override {
    EYESHOT_CHECK(workspace != nullptr);
    if (product.x.dtype == DType::kF8E4M3) {
      EYESHOT_CHECK(product.x_scales != nullptr && product.weight_scales != nullptr);
      constexpr int64_t kWhole = 16;  // elements that cuBLASLt wants of each row, and of the outputs
      if (product.x.cols % kWhole != 0 || product.x.stride % kWhole != 0 || product.y.cols % kWhole != 0) return false;
    }
    emulator::Enqueue(Queue(stream), [product] { Multiply(product); });
    return true;
  }
  bool TakesE4M3() const override { return true; }
  Status Error() const override { return Status::Ok(); }

 private:
  static void Multiply(const Product& p) {
    const int64_t depth = p.x.cols;
    const std::vector<float> x = Floats(p.x);
    const std::vector<float> w = Floats({p.weight, p.x.dtype, p.y.cols, depth, depth});
    for (int64_t m = 0; m < p.y.rows; ++m) {
      for (int64_t n = 0; n < p.y.cols; ++n) {
        float sum = Dot(&x[static_cast<size_t>(m * depth)], &w[static_cast<size_t>(n * depth)], depth);
        if (p.x_scales != nullptr) sum *= p.x_scales[m] * p.weight_scales[n];
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
// As cudaFree(): the whole device ends what it has to do first.
void FreeDevice(void* data, size_t) {
  emulator::FinishAll();
  std::free(data);
}

namespace {

// Memory that copies may read and write when their turn comes.
struct PinnedMemory {
  std::mutex mutex;
  std::map<uintptr_t, size_t> bytes;  // by address

  bool Has(const void* data) {
    const auto address = reinterpret_cast<uintptr_t>(data);
    const std::lock_guard lock(mutex);
    auto after = bytes.upper_bound(address);
    if (after == bytes.begin()) return false;
    --after;
    return address - after->first < after->second;
  }
};
PinnedMemory& Pinned() {
  static PinnedMemory pinned;
  return pinned;
}

}  // namespace

void* AllocatePinned(size_t bytes) {
  void* data = std::malloc(bytes);
  const std::lock_guard lock(Pinned().mutex);
  Pinned().bytes[reinterpret_cast<uintptr_t>(data)] = bytes;
  return data;
}
void FreePinned(void* data) {
  emulator::FinishAll();
  {
    const std::lock_guard lock(Pinned().mutex);
    Pinned().bytes.erase(reinterpret_cast<uintptr_t>(data));
  }
  std::free(data);
}

StreamHandle NewStream(bool) { return emulator::NewQueue(); }
void DestroyStream(StreamHandle stream) { emulator::DeleteQueue(Queue(stream)); }
void CopyToDevice(StreamHandle stream, const void* host, void* device, size_t bytes) {
  if (Pinned().Has(host)) {
    emulator::Enqueue(Queue(stream), [=] { std::memcpy(device, host, bytes); });
  } else {
    const auto* from = static_cast<const unsigned char*>(host);
    emulator::Enqueue(Queue(stream), [device, held = std::vector<unsigned char>(from, from + bytes)] {
      std::memcpy(device, held.data(), held.size());
    });
  }
}
void CopyToHost(StreamHandle stream, const void* device, void* host, size_t bytes) {
  emulator::Enqueue(Queue(stream), [=] { std::memcpy(host, device, bytes); });
  if (!Pinned().Has(host)) Finish(stream);
}
void CopyOnDevice(StreamHandle stream, const void* from, void* to, size_t bytes) {
  emulator::Enqueue(Queue(stream), [=] { std::memcpy(to, from, bytes); });
}
void ClearDevice(StreamHandle stream, void* device, size_t bytes) {
  emulator::Enqueue(Queue(stream), [=] { std::memset(device, 0, bytes); });
}
// Each time that somebody asks, one piece of work has been done meanwhile.
bool IsIdle(StreamHandle stream) { return !emulator::Advance(Queue(stream)); }
Status Synchronize(StreamHandle stream) {
  EYESHOT_CHECK(!emulator::Capturing());
  Finish(stream);
  return Status::Ok();
}

namespace {

// A moment that an event was recorded for last; the work that notes it may outlive the event.
struct Moment {
  StreamHandle stream = nullptr;
  std::atomic<bool> passed = false;  // then `at` is set
  std::chrono::steady_clock::time_point at;
};
struct HostEvent {
  std::shared_ptr<Moment> moment;
};
const std::shared_ptr<Moment>& MomentOf(EventHandle event) { return static_cast<HostEvent*>(event)->moment; }

}  // namespace

EventHandle NewEvent() { return new HostEvent; }
void DestroyEvent(EventHandle event) { delete static_cast<HostEvent*>(event); }
void RecordEvent(StreamHandle stream, EventHandle event) {
  auto moment = std::make_shared<Moment>();
  moment->stream = stream;
  static_cast<HostEvent*>(event)->moment = moment;
  emulator::Enqueue(Queue(stream), [moment] {
    moment->at = std::chrono::steady_clock::now();
    moment->passed = true;
  });
}
Status WaitFor(EventHandle event) {
  const std::shared_ptr<Moment>& moment = MomentOf(event);
  while (moment != nullptr && !moment->passed) EYESHOT_CHECK(emulator::Advance(Queue(moment->stream)));
  return Status::Ok();
}
// As IsIdle().
bool HasPassed(EventHandle event) {
  const std::shared_ptr<Moment>& moment = MomentOf(event);
  if (moment == nullptr) return true;
  if (!moment->passed) emulator::Advance(Queue(moment->stream));
  return moment->passed;
}
uint64_t NanosecondsBetween(EventHandle begin, EventHandle end) {
  const auto between = MomentOf(end)->at - MomentOf(begin)->at;
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(between).count());
}

// Graphs that are destroyed run to their ends, if they were launched.
using Graph = std::shared_ptr<std::vector<std::function<void()>>>;
GraphHandle CaptureGraph(StreamHandle stream, const std::function<void()>& enqueue) {
  emulator::BeginCapture(Queue(stream));
  enqueue();
  return new Graph(std::make_shared<Graph::element_type>(emulator::EndCapture()));
}
void LaunchGraph(StreamHandle stream, GraphHandle graph) {
  emulator::Enqueue(Queue(stream), [all = *static_cast<Graph*>(graph)] {
    for (const std::function<void()>& work : *all) work();
  });
}
void DestroyGraph(GraphHandle graph) { delete static_cast<Graph*>(graph); }

Result<std::unique_ptr<Matmul>> NewMatmul() { return std::unique_ptr<Matmul>(std::make_unique<PlainMatmul>()); }

}  // namespace eyeshot::cuda
