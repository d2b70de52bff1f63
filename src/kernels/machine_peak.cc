#include "kernels/machine_peak.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <numeric>
#include <vector>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/portable/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/machine_peak.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, which includes this file again for each target.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent sums: more than the eight that two units of latency 4 need. Returns the FLOPs done.
inline double MultiplyAdd(int64_t steps, float* sink) {
  const hn::ScalableTag<float> d;
  constexpr int kSums = 12;
  hn::Vec<decltype(d)> sums[kSums];
  const auto a = hn::Set(d, 0.999f);
  const auto b = hn::Set(d, 0.001f);
  for (auto& sum : sums) sum = hn::Zero(d);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = hn::MulAdd(sum, a, b);
  }
  for (const auto& sum : sums) *sink += hn::GetLane(hn::SumOfLanes(d, sum));
  return 2.0 * kSums * static_cast<double>(hn::Lanes(d)) * static_cast<double>(steps);
}

inline float Sum(const float* data, int64_t count) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kSums = 8;
  hn::Vec<decltype(d)> sums[kSums];
  for (auto& sum : sums) sum = hn::Zero(d);
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i + kSums * lanes <= count; i += kSums * lanes) {
#pragma GCC unroll 8
    for (int64_t j = 0; j < kSums; ++j) sums[j] = hn::Add(sums[j], hn::LoadU(d, data + i + j * lanes));
  }
  float total = 0;
  for (const auto& sum : sums) total += hn::GetLane(hn::SumOfLanes(d, sum));
  return total;
}

}  // namespace eyeshot::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eyeshot {
namespace {

struct PeakKernels {
  double (*multiply_add)(int64_t steps, float* sink);
  float (*sum)(const float* data, int64_t count);
};

PeakKernels KernelsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::kAvx512:
    case Isa::kAmx: return {&N_AVX3::MultiplyAdd, &N_AVX3::Sum};
    case Isa::kAvx2: return {&N_AVX2::MultiplyAdd, &N_AVX2::Sum};
#endif
    default: return {&HWY_STATIC_DISPATCH(MultiplyAdd), &HWY_STATIC_DISPATCH(Sum)};
  }
}

double Seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Units of work per second of `clock` in the best of several runs; run() returns the units that it did.
template <typename Run>
double BestRate(clockid_t clock, int runs, const Run& run) {
  double best = 0;
  for (int i = 0; i < runs; ++i) {
    const double start = Seconds(clock);
    const double units = run();
    best = std::max(best, units / (Seconds(clock) - start));
  }
  return best;
}

}  // namespace

MachinePeak MeasurePeak(int threads) {
  const PeakKernels kernels = KernelsFor(*ChooseIsa());
  ThreadPool pool(threads);
  const auto count = static_cast<size_t>(pool.threads());
  std::vector<float> sinks(count * 16);
  // Each thread by its own CPU time, which other programs don't count in. 2^20 steps take about 3 ms.
  std::vector<double> rates(count);
  pool.Run(count, [&](size_t task, size_t) {
    rates[task] =
        BestRate(CLOCK_THREAD_CPUTIME_ID, 20, [&] { return kernels.multiply_add(1 << 20, &sinks[task * 16]); });
  });
  const double gflops = std::accumulate(rates.begin(), rates.end(), 0.0);
  // 512 MB: sixteen times the last cache of the machine that this was written on.
  const int64_t floats = 128 << 20;
  const std::vector<float> data(static_cast<size_t>(floats), 1.0f);
  const int64_t part = 1 << 18;
  const double gbytes = BestRate(CLOCK_MONOTONIC, 5, [&] {
    pool.Run(static_cast<size_t>(floats / part), [&](size_t task, size_t thread) {
      sinks[thread * 16] += kernels.sum(data.data() + static_cast<int64_t>(task) * part, part);
    });
    return static_cast<double>(floats) * sizeof(float);
  });
  return {gflops / 1e9, gbytes / 1e9};
}

}  // namespace eyeshot
#endif  // HWY_ONCE
