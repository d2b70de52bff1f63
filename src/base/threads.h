// One pool of threads for all data-parallel work.
#ifndef EYESHOT_BASE_THREADS_H_
#define EYESHOT_BASE_THREADS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace eyeshot {

// The cores that this process may use: the smaller of its CPU affinity and its cgroup's cpu.max
// (rounded up), at least 1.
int AvailableCores();

// A pool of `threads` threads, the caller being one of them. Run() hands out task indices by an atomic
// counter, so that a half-busy core slows only its own share. Workers spin (with pause) for up to about
// 50 us after a job, since a futex round trip costs about 40 us and a decoded token has more than a
// hundred barriers; then they sleep. After a wait in which the barrier took more than 200 us they yield
// at once: some other program wants the core. Run() waits for tasks, not for workers: one that was kept
// off its core holds up the task that it has begun, and none that others can do.
//
// Run() may be called by one thread at a time; it neither allocates nor locks (waking sleepers excepted).
// A task must not call Run() on the same pool.
class ThreadPool {
 public:
  // threads <= 0: AvailableCores().
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // From the next Run() on, only `threads` of them (at least 1) take tasks; 0: all. The others sleep and are not woken.
  // Called by who calls Run().
  void UseThreads(int threads);

  // Calls fn(task, thread) for every task in [0, tasks), thread in [0, threads()). Returns when all are
  // done; what the tasks wrote is visible to the caller.
  template <typename Fn>
  void Run(size_t tasks, const Fn& fn) {
    if (tasks == 0) return;
    if (tasks == 1 || active_.load(std::memory_order_relaxed) == 1) {
      for (size_t task = 0; task < tasks; ++task) fn(task, size_t{0});
      return;
    }
    RunErased(tasks, &Invoke<Fn>, &fn);
  }

 private:
  using Call = void (*)(const void* fn, size_t task, size_t thread);

  template <typename Fn>
  static void Invoke(const void* fn, size_t task, size_t thread) {
    (*static_cast<const Fn*>(fn))(task, thread);
  }

  void RunErased(size_t tasks, Call call, const void* fn);
  void WorkerMain(size_t thread);
  void WorkOn(size_t thread);

  alignas(64) std::atomic<uint32_t> epoch_{0};  // a change is a new job, or the end
  // The current job: its number of tasks in the high half, how many were handed out in the low half. One word, so that
  // a worker that comes late, when the job is done or the next one has begun, takes a task of the job that it sees or
  // none.
  alignas(64) std::atomic<uint64_t> job_{0};
  alignas(64) std::atomic<uint64_t> done_{0};  // tasks of the current job
  std::atomic<bool> stop_{false};
  std::atomic<size_t> active_{1};  // threads that take tasks, the caller among them
  std::atomic<bool> crowded_{false};  // a barrier took long: yield instead of spinning
  Call call_ = nullptr;  // written before job_, read by who has a task of that job
  const void* fn_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace eyeshot

#endif  // EYESHOT_BASE_THREADS_H_
