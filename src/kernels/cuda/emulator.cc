// glibc's check of longjmp() takes the stacks of fibers for damage.
#undef _FORTIFY_SOURCE
#include "kernels/cuda/emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"

namespace eyeshot::cuda::emulator {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;
constexpr size_t kMaxShared = 227 << 10;
constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kMaxExchange = 32;
constexpr int64_t kMaxGridSide = 65535;  // of y and z

// Threads that wait for each other.
struct Meeting {
  int expected = 0;
  int arrived = 0;
  uint64_t round = 0;
};

// Where a fiber goes on. setjmp() and longjmp() switch without a system call, which swapcontext() doesn't; contexts
// only give a fiber its stack.
struct Place {
  jmp_buf at;
};

struct Fiber {
  Place place;
  ucontext_t context = {};
  std::unique_ptr<unsigned char[]> stack;
  Thread thread;
  bool begun = false;  // has run: fibers serve one block after the other
  bool waited = false;  // for what was enqueued before, in this block
  bool ended = false;  // with this block
};

struct Warp {
  Meeting meeting;
  std::array<unsigned char, 2 * kWarp * kMaxExchange> exchanged;  // by turns: the next exchange may begin early
};

struct Machine {
  std::vector<std::unique_ptr<Fiber>> fibers;
  Place host;
  Fiber* current = nullptr;
  const std::function<void()>* kernel = nullptr;
  Meeting block;
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;
  int live = 0;
  int idle = 0;  // yields since anything went on
};

thread_local Machine machine;

struct Capture {
  bool on = false;
  Queue* queue = nullptr;
  std::vector<std::function<void()>> work;
};
thread_local Capture capture;

// Of all queues: held while work runs, since one device runs it.
std::mutex device;

Warp& WarpOfCurrent() { return machine.warps[static_cast<size_t>(machine.current->thread.thread / kWarp)]; }

void Enter();

// Of its own, since getcontext() returns twice for all that the compiler knows.
void GiveStack(Fiber& fiber) {
  EYESHOT_CHECK(getcontext(&fiber.context) == 0);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &Enter, 0);
}

[[noreturn]] void GoOn(Fiber& fiber) {
  machine.current = &fiber;
  if (fiber.begun) _longjmp(fiber.place.at, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
  std::abort();
}

// To the next thread of the block that hasn't ended; from the last one to the host.
[[noreturn]] void GoToNext() {
  if (machine.live == 0) _longjmp(machine.host.at, 1);
  const int threads = machine.current->thread.threads;
  int next = machine.current->thread.thread;
  do {
    next = next + 1 == threads ? 0 : next + 1;
  } while (machine.fibers[static_cast<size_t>(next)]->ended);
  GoOn(*machine.fibers[static_cast<size_t>(next)]);
}

void Yield() {
  EYESHOT_CHECK(++machine.idle <= 2 * kMaxThreads);  // else all threads wait, for different things
  if (_setjmp(machine.current->place.at) == 0) GoToNext();
}

void End() {
  EYESHOT_CHECK(machine.current->waited);
  machine.idle = 0;
  machine.current->ended = true;
  --machine.live;
  --WarpOfCurrent().meeting.expected;
  --machine.block.expected;
  // A meeting that has begun can no longer be complete.
  EYESHOT_CHECK(machine.block.arrived == 0);
  EYESHOT_CHECK(WarpOfCurrent().meeting.arrived == 0);
}

void Enter() {
  for (;;) {
    (*machine.kernel)();
    End();
    if (_setjmp(machine.current->place.at) == 0) GoToNext();
  }
}

void Meet(Meeting& meeting, int all) {
  EYESHOT_CHECK(meeting.expected == all);
  if (++meeting.arrived == all) {
    meeting.arrived = 0;
    ++meeting.round;
    machine.idle = 0;
    return;
  }
  const uint64_t round = meeting.round;
  while (meeting.round == round) Yield();
}

void RunBlock(int threads) {
  machine.block = {threads, 0, 0};
  for (Warp& warp : machine.warps) warp.meeting = {kWarp, 0, 0};
  std::fill(machine.shared.begin(), machine.shared.end(), static_cast<unsigned char>(0xff));
  machine.live = threads;
  machine.idle = 0;
  if (_setjmp(machine.host.at) == 0) GoOn(*machine.fibers[0]);
}

}  // namespace

const Thread& Current() { return machine.current->thread; }
unsigned char* SharedMemory() {
  return machine.shared.data() + (128 - reinterpret_cast<uintptr_t>(machine.shared.data()) % 128) % 128;
}
void BlockBarrier() { Meet(machine.block, machine.current->thread.threads); }
void WarpBarrier() { Meet(WarpOfCurrent().meeting, kWarp); }

void Exchange(const void* own, size_t bytes, void* all) {
  EYESHOT_CHECK(bytes <= kMaxExchange);
  Warp& warp = WarpOfCurrent();
  unsigned char* turn = warp.exchanged.data() + warp.meeting.round % 2 * (kWarp * kMaxExchange);
  std::memcpy(turn + static_cast<size_t>(machine.current->thread.thread % kWarp) * bytes, own, bytes);
  WarpBarrier();
  std::memcpy(all, turn, static_cast<size_t>(kWarp) * bytes);
}

void MarkWaited() {
  EYESHOT_CHECK(!machine.current->waited);
  machine.current->waited = true;
}

void CheckAligned(const void* address, size_t bytes) {
  EYESHOT_CHECK(reinterpret_cast<uintptr_t>(address) % bytes == 0);
}

class Queue {
 public:
  std::deque<std::function<void()>> work;
};

namespace {

// Guarded by `device`.
std::vector<std::unique_ptr<Queue>>& Queues() {
  static std::vector<std::unique_ptr<Queue>> queues;
  return queues;
}

// REQUIRES: `device` is held.
bool RunNext(Queue& queue) {
  if (queue.work.empty()) return false;
  const std::function<void()> work = std::move(queue.work.front());
  queue.work.pop_front();
  work();
  return true;
}

}  // namespace

Queue* NewQueue() {
  const std::lock_guard lock(device);
  Queues().push_back(std::make_unique<Queue>());
  return Queues().back().get();
}
void DeleteQueue(Queue* queue) {
  const std::lock_guard lock(device);
  while (RunNext(*queue)) {
  }
  std::erase_if(Queues(), [&](const auto& own) { return own.get() == queue; });
}
void FinishAll() {
  const std::lock_guard lock(device);
  for (const auto& queue : Queues()) {
    while (RunNext(*queue)) {
    }
  }
}
bool Advance(Queue* queue) {
  const std::lock_guard lock(device);
  return queue != nullptr && RunNext(*queue);
}

void Enqueue(Queue* queue, std::function<void()> work) {
  if (capture.on && capture.queue == queue) {
    capture.work.push_back(std::move(work));
    return;
  }
  const std::lock_guard lock(device);
  if (queue == nullptr) {
    work();
  } else {
    queue->work.push_back(std::move(work));
  }
}
void BeginCapture(Queue* queue) {
  EYESHOT_CHECK(!capture.on);
  capture = {true, queue, {}};
}
std::vector<std::function<void()>> EndCapture() {
  EYESHOT_CHECK(capture.on);
  return std::exchange(capture, {}).work;
}
bool Capturing() { return capture.on; }

void Run(int64_t grid_x, int64_t grid_y, int64_t grid_z, int threads, size_t shared_bytes,
         const std::function<void()>& kernel) {
  EYESHOT_CHECK(threads > 0 && threads <= kMaxThreads && threads % kWarp == 0);
  EYESHOT_CHECK(grid_x > 0 && grid_y > 0 && grid_z > 0 && grid_y <= kMaxGridSide && grid_z <= kMaxGridSide);
  EYESHOT_CHECK(shared_bytes <= kMaxShared);
  while (machine.fibers.size() < static_cast<size_t>(threads)) {
    machine.fibers.push_back(std::make_unique<Fiber>());
    machine.fibers.back()->stack = std::make_unique_for_overwrite<unsigned char[]>(kStackBytes);
    GiveStack(*machine.fibers.back());
  }
  machine.warps.resize(static_cast<size_t>(threads / kWarp));
  machine.shared.resize(shared_bytes + 128);
  machine.kernel = &kernel;
  for (int64_t z = 0; z < grid_z; ++z) {
    for (int64_t y = 0; y < grid_y; ++y) {
      for (int64_t x = 0; x < grid_x; ++x) {
        for (int i = 0; i < threads; ++i) {
          Fiber& fiber = *machine.fibers[static_cast<size_t>(i)];
          fiber.thread = {
              i, threads, static_cast<int>(x), static_cast<int>(y), static_cast<int>(z), static_cast<int>(grid_x)};
          fiber.waited = false;
          fiber.ended = false;
        }
        RunBlock(threads);
      }
    }
  }
}

}  // namespace eyeshot::cuda::emulator
