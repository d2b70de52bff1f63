#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "base/check.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kSpinTime = std::chrono::microseconds(50);
constexpr auto kCrowdedTime = std::chrono::microseconds(200);
// Pauses between two looks at the clock: reading it costs about as much as these.
constexpr int kPausesPerLook = 64;

constexpr int kTaskBits = 32;
constexpr uint64_t kTaskMask = (uint64_t{1} << kTaskBits) - 1;
// Every worker may count once beyond the last task.
constexpr size_t kMostTasks = size_t{1} << 31;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// cgroup v2's cpu.max ("max 100000" or "200000 100000"), 0 where there is none or no limit.
int CgroupCores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  try {
    return std::max(1, static_cast<int>(std::stod(quota) / period + 0.999));
  } catch (const std::exception&) {
    return 0;  // not a number: no limit that we understand
  }
}

}  // namespace

int AvailableCores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cores = CPU_COUNT(&set);
  const int quota = CgroupCores();
  if (quota > 0) cores = std::min(cores, quota);
  return std::clamp(cores, 1, limits::kMaxThreads);
}

ThreadPool::ThreadPool(int threads) {
  if (threads <= 0) threads = AvailableCores();
  threads = std::min(threads, limits::kMaxThreads);
  active_ = static_cast<size_t>(threads);
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i] { WorkerMain(static_cast<size_t>(i)); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  UseThreads(0);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::UseThreads(int threads) {
  const size_t all = workers_.size() + 1;
  const size_t active = threads <= 0 ? all : std::min(static_cast<size_t>(threads), all);
  if (active == active_.load(std::memory_order_relaxed)) return;
  active_.store(active, std::memory_order_release);
  active_.notify_all();
}

void ThreadPool::WorkOn(size_t thread) {
  uint64_t done = 0;
  for (;;) {
    const uint64_t job = job_.fetch_add(1, std::memory_order_acq_rel);
    const uint64_t task = job & kTaskMask;
    if (task >= job >> kTaskBits) break;
    call_(fn_, task, thread);
    ++done;
  }
  if (done > 0) done_.fetch_add(done, std::memory_order_release);
}

void ThreadPool::WorkerMain(size_t thread) {
  uint32_t seen = 0;
  for (;;) {
    for (size_t active = active_.load(std::memory_order_acquire); thread >= active;
         active = active_.load(std::memory_order_acquire)) {
      active_.wait(active, std::memory_order_acquire);
    }
    auto spin_until = Clock::now() + kSpinTime;
    uint32_t epoch = epoch_.load(std::memory_order_acquire);
    while (epoch == seen) {
      if (crowded_.load(std::memory_order_relaxed) || Clock::now() > spin_until) {
        epoch_.wait(seen, std::memory_order_acquire);
      } else {
        for (int i = 0; i < kPausesPerLook; ++i) Pause();
      }
      epoch = epoch_.load(std::memory_order_acquire);
    }
    seen = epoch;
    if (stop_.load(std::memory_order_relaxed)) return;
    if (thread < active_.load(std::memory_order_relaxed)) WorkOn(thread);
  }
}

void ThreadPool::RunErased(size_t tasks, Call call, const void* fn) {
  EYESHOT_CHECK(tasks < kMostTasks);
  call_ = call;
  fn_ = fn;
  done_.store(0, std::memory_order_relaxed);
  job_.store(static_cast<uint64_t>(tasks) << kTaskBits, std::memory_order_release);
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  WorkOn(0);

  // All tasks are taken; wait for those still running elsewhere.
  int looks = 0;
  Clock::time_point start;
  bool yielding = crowded_.load(std::memory_order_relaxed);
  while (done_.load(std::memory_order_acquire) != tasks) {
    if (looks++ == 0) start = Clock::now();
    if (yielding) {
      sched_yield();
    } else {
      for (int i = 0; i < kPausesPerLook; ++i) Pause();
      if (Clock::now() - start > kCrowdedTime) yielding = true;
    }
  }
  const bool crowded = looks > 0 && Clock::now() - start > kCrowdedTime;
  crowded_.store(crowded, std::memory_order_relaxed);
}

}  // namespace eyeshot
