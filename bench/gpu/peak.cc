// What one GPU does at most, by plain means: how fast it copies memory and how fast cuBLASLt multiplies. Prints JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/driver.h"

namespace eyeshot::cuda {
namespace {

constexpr int kRuns = 11;

// Median nanoseconds of what `enqueue` enqueues.
double MedianNanoseconds(StreamHandle stream, const std::function<void()>& enqueue) {
  const EventHandle begin = NewEvent();
  const EventHandle end = NewEvent();
  enqueue();
  std::vector<uint64_t> times;
  for (int i = 0; i < kRuns; ++i) {
    RecordEvent(stream, begin);
    enqueue();
    RecordEvent(stream, end);
    EYESHOT_CHECK(WaitFor(end).ok());
    times.push_back(NanosecondsBetween(begin, end));
  }
  DestroyEvent(begin);
  DestroyEvent(end);
  std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
  return static_cast<double>(times[kRuns / 2]);
}

// GB/s that a copy inside the GPU's memory reads and writes.
double CopySpeed(StreamHandle stream) {
  constexpr size_t kBytes = size_t{2} << 30;
  void* from = AllocateDevice(kBytes);
  void* to = AllocateDevice(kBytes);
  const bool fits = from != nullptr && to != nullptr;
  const double nanoseconds = fits ? MedianNanoseconds(stream, [&] { CopyOnDevice(stream, from, to, kBytes); }) : 0;
  FreeDevice(from, kBytes);
  FreeDevice(to, kBytes);
  return fits ? 2.0 * kBytes / nanoseconds : 0;
}

// TFLOP/s of a product of two matrices of bfloat16.
double ProductSpeed(StreamHandle stream, Matmul& matmul) {
  constexpr int64_t kSide = 8192;
  constexpr size_t kBytes = kSide * kSide * sizeof(uint16_t);
  std::vector<uint16_t> ones(static_cast<size_t>(kSide * kSide));
  uint32_t state = 1;
  for (uint16_t& value : ones) {  // bits of numbers of [-2, 2]: zeros would take less power, and so run faster
    state = state * 1664525u + 1013904223u;
    value = static_cast<uint16_t>(0x3f00u | (state >> 24) | (state & 0x8000u));
  }
  std::vector<void*> buffers;
  for (int i = 0; i < 3; ++i) {
    buffers.push_back(AllocateDevice(kBytes));
    if (buffers.back() == nullptr) return 0;
    CopyToDevice(stream, ones.data(), buffers.back(), kBytes);
  }
  const Product product = {.x = {buffers[0], DType::kBF16, kSide, kSide, kSide},
                           .weight = buffers[1],
                           .residual = {},
                           .y = {buffers[2], DType::kBF16, kSide, kSide, kSide}};
  void* workspace = AllocateDevice(kMatmulWorkspace);
  if (workspace == nullptr) return 0;
  const double nanoseconds = MedianNanoseconds(stream, [&] { matmul.Run(stream, product, workspace); });
  FreeDevice(workspace, kMatmulWorkspace);
  for (void* buffer : buffers) FreeDevice(buffer, kBytes);
  return 2.0 * kSide * kSide * kSide / nanoseconds / 1e3;
}

int Main() {
  const Result<DeviceInfo> device = OpenDevice(0);
  if (!device.ok()) {
    fmt::print(stderr, "gpu_peak: {}\n", device.status().message());
    return 1;
  }
  const StreamHandle stream = NewStream(true);
  auto matmul = NewMatmul();
  if (!matmul.ok()) {
    fmt::print(stderr, "gpu_peak: {}\n", matmul.status().message());
    return 1;
  }
  fmt::print("{{\"gpu\":\"{}\",\"memory_bytes\":{},\"copy_gb_per_s\":{:.1f},\"bf16_tflop_per_s\":{:.1f}}}\n",
             device->name, device->total_bytes, CopySpeed(stream), ProductSpeed(stream, **matmul));
  DestroyStream(stream);
  return 0;
}

}  // namespace
}  // namespace eyeshot::cuda

int main() { return eyeshot::cuda::Main(); }
