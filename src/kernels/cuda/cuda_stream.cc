#include "kernels/cuda/cuda_stream.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot::cuda {
namespace {

constexpr size_t kHalf = size_t{4} << 20;  // five tiles of 512 x 512
constexpr size_t kAlignment = 64;
constexpr size_t kLanding = Backend::kMostAnswerBytes;
constexpr size_t kPiece = size_t{256} << 10;  // that a thread copies at a time
constexpr size_t kStages = 64;  // between two calls of Collect(): no allocation is needed for so many

}  // namespace

Staging::~Staging() {
  for (EventHandle event : moved_) DestroyEvent(event);
  for (EventHandle event : landed_) DestroyEvent(event);
  if (memory_ != nullptr) FreePinned(memory_);
}

bool Staging::Allocate() {
  if (memory_ == nullptr) memory_ = static_cast<uint8_t*>(AllocatePinned(2 * (kHalf + kLanding)));
  return memory_ != nullptr;
}

void Staging::Upload(StreamHandle stream, const void* host, void* device, size_t bytes, ThreadPool& pool) {
  if (!Allocate()) return CopyToDevice(stream, host, device, bytes);  // slower
  const auto* from = static_cast<const uint8_t*>(host);
  auto* to = static_cast<uint8_t*>(device);
  while (bytes > 0) {
    if (used_ == kHalf) Turn(stream);
    const size_t count = std::min(bytes, kHalf - used_);
    uint8_t* place = memory_ + half_ * kHalf + used_;
    pool.Run((count + kPiece - 1) / kPiece, [&](size_t piece, size_t) {
      const size_t begin = piece * kPiece;
      std::memcpy(place + begin, from + begin, std::min(kPiece, count - begin));
    });
    CopyToDevice(stream, place, to, count);
    used_ = std::min(kHalf, (used_ + count + kAlignment - 1) / kAlignment * kAlignment);
    from += count;
    to += count;
    bytes -= count;
  }
}

uint8_t* Staging::Landing(uint64_t download) {
  uint8_t* memory = nullptr;
  if (Allocate()) {
    memory = memory_ + 2 * kHalf;
  } else {
    unpinned_.resize(2 * kLanding);
    memory = unpinned_.data();
  }
  return memory + download % 2 * kLanding;
}

void Staging::BeginDownload(StreamHandle stream, const void* device, size_t bytes) {
  EYESHOT_CHECK(begun_ - finished_ < 2 && bytes <= kLanding);
  CopyToHost(stream, device, Landing(begun_), bytes);
  RecordEvent(stream, landed_[begun_ % 2]);
  ++begun_;
}

Status Staging::FinishDownload(void* host, size_t bytes) {
  EYESHOT_CHECK(finished_ < begun_);
  EYESHOT_RETURN_IF_ERROR(WaitFor(landed_[finished_ % 2]));
  std::memcpy(host, Landing(finished_), bytes);
  ++finished_;
  return Status::Ok();
}

void Staging::Turn(StreamHandle stream) {
  RecordEvent(stream, moved_[half_]);
  turned_[half_] = true;
  half_ = 1 - half_;
  used_ = 0;
  if (turned_[half_]) static_cast<void>(WaitFor(moved_[half_]));  // Synchronize() has its errors
}

void Staging::Reset() {
  turned_ = {};
  half_ = 0;
  used_ = 0;
  DropDownloads();
}

std::unique_ptr<Staging> StagingPool::Take() {
  const std::lock_guard lock(mutex_);
  if (spare_.empty()) return std::make_unique<Staging>();
  std::unique_ptr<Staging> staging = std::move(spare_.back());
  spare_.pop_back();
  return staging;
}

void StagingPool::Give(std::unique_ptr<Staging> staging) {
  staging->Reset();
  const std::lock_guard lock(mutex_);
  spare_.push_back(std::move(staging));
}

CudaStream::CudaStream(int device, std::shared_ptr<StagingPool> pool, bool beside)
    : device_(device), beside_(beside), handle_(NewStream(!beside)), pool_(std::move(pool)), staging_(pool_->Take()) {
  kept_.reserve(kStages);
}

CudaStream::~CudaStream() {
  UseDevice(device_);
  static_cast<void>(Synchronize(handle_));  // what is under way reads pinned memory
  for (const Ends& ends : ends_) {
    DestroyEvent(ends.begin);
    DestroyEvent(ends.end);
  }
  DestroyStream(handle_);
  pool_->Give(std::move(staging_));
}

void CudaStream::EndBeforeWaiting() {
  if (open_) RecordEvent(handle_, ends_[kept_.size()].end);
  idle_ = true;
}

bool CudaStream::IsIdle() const { return cuda::IsIdle(handle_); }

Status CudaStream::Wait() {
  EndBeforeWaiting();
  const Status status = Synchronize(handle_);
  if (status_.ok()) status_ = status;
  staging_->DropDownloads();
  return status_;
}

Status CudaStream::FinishDownload(void* host, size_t bytes) {
  EndBeforeWaiting();
  // A stage that ends with the download has ended when its answer is there: Collect() is to find it.
  if (open_ && download_is_last_) static_cast<void>(WaitFor(ends_[kept_.size()].end));  // the copy has its errors
  const Status status = staging_->FinishDownload(host, bytes);
  if (status_.ok()) status_ = status;
  return status_;
}

void CudaStream::BeginStage() {
  UseDevice(device_);  // whose events they are
  if (ends_.size() == kept_.size()) ends_.push_back({NewEvent(), NewEvent()});
  RecordEvent(handle_, ends_[kept_.size()].begin);
  open_ = true;
  idle_ = false;
}

bool CudaStream::EndStage(StageId id, const StageCost& cost) {
  if (!idle_) RecordEvent(handle_, ends_[kept_.size()].end);
  kept_.push_back({id, cost});
  open_ = false;
  return true;
}

void CudaStream::Collect(Ledger& ledger) {
  size_t done = 0;
  while (done < kept_.size() && HasPassed(ends_[done].end)) ++done;
  const std::span<KeptStage> stages = std::span(kept_).first(done);
  for (size_t i = 0; i < done; ++i) stages[i].cost.device_ns = NanosecondsBetween(ends_[i].begin, ends_[i].end);
  ShareWaiting(stages);
  for (const KeptStage& stage : stages) ledger.Add(stage.id, stage.cost);
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(done));
  std::rotate(ends_.begin(), ends_.begin() + static_cast<std::ptrdiff_t>(done), ends_.end());
}

}  // namespace eyeshot::cuda
