// What all CPU backends share: host memory, a pool of threads, operations that run when they are enqueued.
#ifndef EYESHOT_KERNELS_CPU_BACKEND_H_
#define EYESHOT_KERNELS_CPU_BACKEND_H_

#include <memory>
#include <string_view>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/backend.h"

namespace eyeshot {

// Zeroed host memory on 64-byte (large ones: 2 MiB, huge-page) boundaries. Error: kOutOfMemory.
Result<Buffer> AllocateHost(size_t bytes, std::string_view what);

// A weight of float32 elements in their natural order: vectors, and whatever a backend does not repack.
struct FloatWeight : PackedWeight {
  Buffer buffer;
  const float* data() const { return static_cast<const float*>(buffer.data()); }
};

class CpuBackend : public Backend {
 public:
  const BackendInfo& info() const override { return info_; }
  Result<Buffer> Allocate(size_t bytes, std::string_view what) override { return AllocateHost(bytes, what); }
  std::unique_ptr<Stream> NewStream() override { return std::make_unique<Stream>(); }
  void Upload(Stream& stream, const void* host, void* device, size_t bytes) override;
  void Download(Stream& stream, const void* device, void* host, size_t bytes) override;
  Status Sync(Stream&) override { return Status::Ok(); }
  void UseThreads(int threads) override { pool_.UseThreads(threads); }
  Result<PackedWeightPtr> PackVector(const HostTensor& source) override;

 protected:
  CpuBackend(BackendInfo info, int threads);

  ThreadPool& pool() { return pool_; }

  void DoCopyRows(Stream& stream, const CopyRowsArgs& args) override;
  void DoConvolveRows(Stream& stream, const ConvolveRowsArgs& args) override;
  void DoSample(Stream& stream, const SampleArgs& args) override;
  void DoMarkSeen(Stream& stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen) override;

  BackendInfo info_;

 private:
  ThreadPool pool_;
};

// nullptr or the float32 data of a vector packed by PackVector.
inline const float* VectorData(const PackedWeight* weight) {
  return weight == nullptr ? nullptr : static_cast<const FloatWeight*>(weight)->data();
}

// kUnsupported unless the tensor is float32, float16 or bfloat16.
Status CheckPackable(const HostTensor& source);

std::unique_ptr<Backend> NewReferenceBackend(int threads);
// Error: kUnsupported (the CPU lacks what the kernels of this instruction set need).
Result<std::unique_ptr<Backend>> NewPortableBackend(int threads, Isa isa);

}  // namespace eyeshot

#endif  // EYESHOT_KERNELS_CPU_BACKEND_H_
