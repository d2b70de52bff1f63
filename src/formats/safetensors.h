// safetensors checkpoints: one file, or shards with an index. Read through a memory map, written as a stream.
//
// docs/formats.md describes the format byte by byte, and what is refused.
#ifndef EYESHOT_FORMATS_SAFETENSORS_H_
#define EYESHOT_FORMATS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "eyeshot/status.h"
#include "formats/tensor_source.h"
#include "tensor/dtype.h"
#include "tensor/host_tensor.h"

namespace eyeshot {

// The tensors of one safetensors file whose content is `bytes`, in the order of their data; their `data` points
// into `bytes`. `file` is the name for error messages.
// Errors: kCorrupt (the header lies about itself or about the data), kUnsupported (a dtype that this build lacks),
// kLimitExceeded.
Result<std::vector<HostTensor>> ParseSafetensors(std::span<const uint8_t> bytes, const std::string& file);

// A checkpoint on disk, mapped read-only: opening one reads its headers only. Movable; its tensors stay valid as
// long as it lives. Safe to read from several threads.
class Checkpoint : public TensorSource {
 public:
  // A safetensors file, or a folder with model.safetensors or else model.safetensors.index.json and the shards
  // that it names. Errors: those of ParseSafetensors, kNotFound, kIo.
  static Result<Checkpoint> Open(const std::string& dir_or_file);

  // nullptr if there is none. The data points into the map.
  const HostTensor* Find(std::string_view name) const;
  bool Has(std::string_view name) const override { return Find(name) != nullptr; }
  Result<HostTensor> Get(std::string_view name) const override;
  // Tells the kernel that the tensor was read and need not stay resident; it can still be read.
  void Release(const HostTensor& tensor) const override;

  // In the order of their data, shard by shard.
  const std::vector<HostTensor>& tensors() const { return tensors_; }
  // Elements of all tensors.
  int64_t parameters() const;
  // Bytes of all tensors, headers excluded.
  uint64_t bytes() const override;
  // Paths of the mapped files.
  const std::vector<std::string>& files() const { return files_; }

 private:
  Status AddFile(const std::string& path);
  Status OpenShards(const std::string& dir);
  Status BuildIndex();

  std::string name_;  // what Open was given
  std::vector<std::string> files_;
  std::vector<MappedFile> maps_;  // one a file, in the same order
  std::vector<HostTensor> tensors_;
  std::vector<size_t> file_of_tensor_;  // index into files_
  // The keys view tensors_[i].name; a vector's elements stay in place when the checkpoint is moved.
  std::unordered_map<std::string_view, size_t> by_name_;
};

// What a tensor looks like, without its data.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  // Bytes of the data. REQUIRES: a shape that WriteSafetensors accepts.
  uint64_t bytes() const;
};

// Writes one tensor after the other, in the order of `specs`: `fill(index, out)` produces the data of specs[index]
// into `out` (specs[index].bytes() bytes, row-major), and the memory is used again for the next. The file appears
// under its name only when complete. The data begins at a multiple of `alignment`, itself one of 8. Errors:
// kInvalidArgument (a spec that a reader would refuse), kIo, fill's own.
Status WriteSafetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                        const std::function<Status(size_t index, std::span<uint8_t> out)>& fill, size_t alignment = 8);

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_SAFETENSORS_H_
