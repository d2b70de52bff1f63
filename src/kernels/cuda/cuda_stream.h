// CudaStream: a queue of one GPU, with pinned memory for what the host sends, and the GPU's own times of stages.
#ifndef EYESHOT_KERNELS_CUDA_CUDA_STREAM_H_
#define EYESHOT_KERNELS_CUDA_CUDA_STREAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/threads.h"
#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "kernels/cuda/driver.h"

namespace eyeshot::cuda {

// Pinned memory that copies of one stream go through: uploads half after half, so that the host goes on while the GPU
// copies; small downloads, two at a time.
class Staging {
 public:
  Staging() : moved_{NewEvent(), NewEvent()}, landed_{NewEvent(), NewEvent()} {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // `pool` fills the memory.
  void Upload(StreamHandle stream, const void* host, void* device, size_t bytes, ThreadPool& pool);
  // As Backend::BeginDownload() and FinishDownload().
  void BeginDownload(StreamHandle stream, const void* device, size_t bytes);
  Status FinishDownload(void* host, size_t bytes);
  void DropDownloads() { finished_ = begun_; }
  // As new, with its memory. REQUIRES: no copy is under way.
  void Reset();

 private:
  bool Allocate();
  void Turn(StreamHandle stream);
  uint8_t* Landing(uint64_t download);

  std::array<EventHandle, 2> moved_;  // the last copy of each half
  std::array<bool, 2> turned_ = {};
  uint8_t* memory_ = nullptr;
  size_t half_ = 0;
  size_t used_ = 0;
  std::array<EventHandle, 2> landed_;
  std::vector<uint8_t> unpinned_;  // for downloads where no memory can be pinned
  uint64_t begun_ = 0;  // downloads
  uint64_t finished_ = 0;
};

// Stagings that streams have left, for the next ones: to pin memory takes milliseconds, which would be the first
// picture's or prompt's of each conversation. Outlives its streams.
class StagingPool {
 public:
  std::unique_ptr<Staging> Take();
  // REQUIRES: the stream that had it has done what was enqueued.
  void Give(std::unique_ptr<Staging> staging);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Staging>> spare_;
};

// An operation that was asked for and waits for the next one, whose kernel may do it along: kernels of decoding take
// little longer than the way from one to the next.
struct Waiting {
  std::optional<NormArgs> norm;
  std::optional<RotaryStoreArgs> rotary;
  PagedBatch batch;  // of `rotary`
};

class CudaStream : public Stream {
 public:
  // beside: it runs beside the others, which come first.
  CudaStream(int device, std::shared_ptr<StagingPool> pool, bool beside = false);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  // For something that is enqueued now.
  StreamHandle handle() {
    idle_ = false;
    download_is_last_ = false;
    return handle_;
  }
  bool beside() const { return beside_; }
  bool IsIdle() const;
  Waiting waiting;
  void Upload(const void* host, void* device, size_t bytes, ThreadPool& pool) {
    staging_->Upload(handle(), host, device, bytes, pool);
  }
  void BeginDownload(const void* device, size_t bytes) {
    staging_->BeginDownload(handle(), device, bytes);
    download_is_last_ = true;
  }
  Status FinishDownload(void* host, size_t bytes);
  Status Wait();

  void BeginStage() override;
  bool EndStage(StageId id, const StageCost& cost) override;
  void Collect(Ledger& ledger) override;

 private:
  struct Ends {
    EventHandle begin;
    EventHandle end;
  };

  // A stage that is open ends before the host waits: what the host does afterwards is not the GPU's time.
  void EndBeforeWaiting();

  int device_;
  bool beside_;
  StreamHandle handle_;
  std::shared_ptr<StagingPool> pool_;
  std::unique_ptr<Staging> staging_;
  std::vector<Ends> ends_;  // of kept stages, then of the open one
  std::vector<KeptStage> kept_;
  Status status_;  // the first error
  bool open_ = false;
  bool idle_ = false;  // nothing was enqueued since Wait()
  bool download_is_last_ = false;  // of what was enqueued
};

}  // namespace eyeshot::cuda

#endif  // EYESHOT_KERNELS_CUDA_CUDA_STREAM_H_
