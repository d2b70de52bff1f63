// Weights as a backend's kernels want them, in a file that is mapped and used where it lies.
//
// The file is a safetensors file whose data begins on a cache line. Its first tensor, "index.json", is bytes of JSON
// text that says what the others are; each of them is the bytes of one packed weight, padded with zeros to whole cache
// lines. docs/formats.md describes it byte by byte.
#ifndef EYESHOT_FORMATS_PACKED_WEIGHTS_H_
#define EYESHOT_FORMATS_PACKED_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "eyeshot/status.h"

namespace eyeshot {

// The name of the file in a model's folder.
inline constexpr const char* kPackedWeightsFile = "model.eyeshot";

struct PackedEntry {
  std::string name;    // of the first tensor that it was packed from
  std::string kind;    // "linear", "table" or "vector"
  std::string format;  // of its numbers: "int8"
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool gated = false;
  std::span<const uint8_t> bytes;
};

// A file on disk, mapped read-only. Movable; its bytes stay valid as long as it lives.
class PackedWeights {
 public:
  // Errors: kNotFound, kIo, kCorrupt, kUnsupported (another version of the format), kLimitExceeded.
  static Result<PackedWeights> Open(const std::string& path);
  // The same for bytes in memory, which must outlive the result.
  static Result<PackedWeights> Parse(std::span<const uint8_t> bytes, const std::string& file);

  const std::string& precision() const { return precision_; }  // "int8,q8_0": tower, decoder
  const std::string& layout() const { return layout_; }        // of the backend that packed them
  const std::string& file() const { return file_; }
  uint64_t bytes() const;  // of all entries
  const std::map<std::string, PackedEntry, std::less<>>& entries() const { return entries_; }  // by name
  // nullptr if there is none.
  const PackedEntry* Find(std::string_view name) const;

 private:
  Status ParseIndex(std::span<const uint8_t> text, const std::map<std::string, std::span<const uint8_t>>& data);

  std::string file_;
  MappedFile map_;
  std::string precision_;
  std::string layout_;
  std::map<std::string, PackedEntry, std::less<>> entries_;
};

// Writes the file; it appears under its name only when complete. Errors: kInvalidArgument, kIo.
Status WritePackedWeights(const std::string& path, const std::string& precision, const std::string& layout,
                          const std::vector<PackedEntry>& entries, const std::function<void(double)>& on_progress);

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_PACKED_WEIGHTS_H_
