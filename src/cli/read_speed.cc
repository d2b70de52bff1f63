#include "cli/read_speed.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/threads.h"
#include "kernels/cpu_backend.h"

namespace eyeshot::cli {
namespace {

// Eight sums, so that additions don't wait for each other.
uint64_t Sum(const uint64_t* data, size_t count) {
  uint64_t sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += data[i + j];
  }
  for (; i < count; ++i) sums[0] += data[i];
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  return sum;
}

}  // namespace

double ReadBytesPerSecond(size_t bytes, int threads) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRuns = 15;
  constexpr size_t kTaskWords = 1 << 15;  // 256 KB, as a chunk of weights
  ThreadPool pool(threads);
  const size_t words = std::max<size_t>(1, bytes / sizeof(uint64_t));
  Result<Buffer> buffer = AllocateHost(words * sizeof(uint64_t), "a buffer to read");
  if (!buffer.ok()) return 0;
  auto* data = static_cast<uint64_t*>(buffer->data());
  for (size_t i = 0; i < words; ++i) data[i] = i;
  std::atomic<uint64_t> total{0};  // keeps the compiler from dropping the sums
  std::vector<double> seconds;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = Clock::now();
    pool.Run((words + kTaskWords - 1) / kTaskWords, [&](size_t task, size_t) {
      const size_t begin = task * kTaskWords;
      total += Sum(data + begin, std::min(kTaskWords, words - begin));
    });
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return total == 0 ? 0 : static_cast<double>(words * sizeof(uint64_t)) / seconds[kRuns / 2];
}

}  // namespace eyeshot::cli
