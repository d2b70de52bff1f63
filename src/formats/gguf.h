// GGUF files: metadata and tensors, as llama.cpp and its tools write them. Read through a memory map.
//
// Source of the format: ggml, docs/gguf.md. docs/formats.md describes it byte by byte, and what is refused.
#ifndef EYESHOT_FORMATS_GGUF_H_
#define EYESHOT_FORMATS_GGUF_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "eyeshot/status.h"
#include "tensor/host_tensor.h"

namespace eyeshot {

// A value's type, with the numbers of the file.
enum class GgufType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64,
};

// Where a value lies in the file; its extent was checked.
struct GgufValue {
  GgufType type = GgufType::kUint8;
  GgufType element = GgufType::kUint8;  // of an array
  uint64_t count = 1;                   // of an array
  std::span<const uint8_t> bytes;       // of a number; of a string, without its length; of an array's elements
};

// A file on disk, mapped read-only. Movable; its tensors stay valid as long as it lives. Safe to read from several
// threads.
//
// Accessors to metadata: required values give kNotFound if the key is absent, kCorrupt if the value is of another type,
// kLimitExceeded if it is outside of the range. The ...Or variants take the fallback where the key is absent.
class GgufFile {
 public:
  // Errors: kNotFound, kIo, kCorrupt (not GGUF, or it lies about itself), kUnsupported (big-endian, version 1, a split
  // file, a tensor type that this build lacks), kLimitExceeded.
  static Result<GgufFile> Open(const std::string& path);
  // The same for bytes in memory, which must outlive the result; `file` is the name for error messages.
  static Result<GgufFile> Parse(std::span<const uint8_t> bytes, const std::string& file);

  bool Has(const std::string& key) const { return Find(key) != nullptr; }
  // nullptr if the key is absent.
  const GgufValue* Find(const std::string& key) const;

  // An integer of any type.
  Result<int64_t> Integer(const std::string& key, int64_t min, int64_t max) const;
  Result<int64_t> IntegerOr(const std::string& key, int64_t min, int64_t max, int64_t fallback) const;
  // A number of any type.
  Result<double> NumberOr(const std::string& key, double min, double max, double fallback) const;
  Result<bool> BoolOr(const std::string& key, bool fallback) const;
  Result<std::string> String(const std::string& key) const;
  Result<std::string> StringOr(const std::string& key, const std::string& fallback) const;
  // An array of strings, each at most `max_bytes` long. The views point into the file.
  Result<std::vector<std::string_view>> Strings(const std::string& key, size_t max_count, size_t max_bytes) const;
  // An array of numbers of any type, as doubles.
  Result<std::vector<double>> Numbers(const std::string& key, size_t max_count) const;

  // "file: key is VALUE, expected EXPECTED: mend", for what the accessors can't check.
  Status Error(StatusCode code, const std::string& key, const std::string& expected, const std::string& mend) const;
  // A short text of a value, for messages: "32", "\"llama\"", "an array of 49280 strings".
  std::string Describe(const std::string& key) const;

  // Tensors in the order of the file; shapes row-major, the file's first dimension last.
  const std::vector<HostTensor>& tensors() const { return tensors_; }
  // nullptr if there is none.
  const HostTensor* FindTensor(std::string_view name) const;
  // Tells the kernel that the tensor was read and need not stay resident; it can still be read.
  void Release(const HostTensor& tensor) const;

  const std::map<std::string, GgufValue>& metadata() const { return metadata_; }
  const std::string& file() const { return file_; }
  uint32_t version() const { return version_; }
  int64_t parameters() const;  // elements of all tensors
  uint64_t bytes() const;  // of all tensors

 private:
  friend class GgufParser;

  std::string file_;
  MappedFile map_;
  uint32_t version_ = 0;
  std::map<std::string, GgufValue> metadata_;
  std::vector<HostTensor> tensors_;
  std::unordered_map<std::string, size_t> by_name_;
};

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_GGUF_H_
