// Runs kernels of this folder on the CPU, one block after the other, each thread of a block as a fiber of its own.
// Barriers, shuffles and tensor core instructions are meetings of fibers, so that a kernel with a wrong index, a
// missing barrier that leaves a thread behind, or a wrong fragment gives a wrong result or an abort here as well. Slow:
// for tests.
//
// Not seen: races between threads that no barrier orders (fibers run one at a time), and whatever is about speed.
#ifndef EYESHOT_KERNELS_CUDA_EMULATOR_H_
#define EYESHOT_KERNELS_CUDA_EMULATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace eyeshot::cuda::emulator {

struct Thread {
  int thread = 0;  // in its block
  int threads = 0;  // of a block, a multiple of 32
  int block_x = 0, block_y = 0, block_z = 0;
  int grid_x = 0;
};

// The thread that runs. REQUIRES: inside Run().
const Thread& Current();
// Of the block; filled with NaN when the block starts.
unsigned char* SharedMemory();
// Waits for all threads of the block; aborts if one has ended.
void BlockBarrier();
// Waits for all lanes of the warp; aborts if one has ended.
void WarpBarrier();
// Gives each lane what all lanes of its warp brought: all[32 * bytes]. bytes: at most 32.
void Exchange(const void* own, size_t bytes, void* all);
// This thread called WaitForPrevious(); aborts if it did before, or if it ends without.
void MarkWaited();
// Aborts unless the address is a multiple of `bytes`.
void CheckAligned(const void* address, size_t bytes);

// A queue of the device. What is enqueued runs as late as it may: when somebody waits for it, so that a host that does
// not wait where it has to gets what memory had before. Queues are independent: one may be behind another by any
// amount. Null is a queue that runs everything at once. Thread-safety: all calls may come from any thread.
class Queue;
Queue* NewQueue();
// Runs what is in it first, as does FinishAll() for all queues.
void DeleteQueue(Queue* queue);
void FinishAll();
// Between BeginCapture() and EndCapture() of that queue by this thread, `work` is kept for graphs and does not run.
void Enqueue(Queue* queue, std::function<void()> work);
// Runs the piece of work that is next. False: there is none.
bool Advance(Queue* queue);
void BeginCapture(Queue* queue);
std::vector<std::function<void()>> EndCapture();
bool Capturing();

// Runs `kernel` in each thread of each block. shared_bytes: as a Hopper GPU has at most, 227 KiB.
void Run(int64_t grid_x, int64_t grid_y, int64_t grid_z, int threads, size_t shared_bytes,
         const std::function<void()>& kernel);

}  // namespace eyeshot::cuda::emulator

#endif  // EYESHOT_KERNELS_CUDA_EMULATOR_H_
