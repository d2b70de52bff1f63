// Files: whole reads with a limit, and read-only maps whose pages can be given back.
#ifndef EYESHOT_BASE_FILE_H_
#define EYESHOT_BASE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

// The whole file. Errors: kNotFound, kIo, kLimitExceeded (larger than `max_bytes`).
Result<std::vector<uint8_t>> ReadFile(const std::string& path, uint64_t max_bytes);
Result<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes);

// Writes through a temporary file beside `path` and renames it: a reader never sees half a file.
Status WriteFile(const std::string& path, std::span<const uint8_t> bytes);

Status WriteTextFile(const std::string& path, std::string_view text);

bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);
// "dir/name", with one slash.
std::string JoinPath(const std::string& dir, const std::string& name);

// A file mapped read-only. Movable, not copyable; unmapped on destruction.
class MappedFile {
 public:
  // Errors: kNotFound, kIo, kLimitExceeded (larger than `max_bytes`).
  static Result<MappedFile> Open(const std::string& path, uint64_t max_bytes = std::numeric_limits<uint64_t>::max());

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

  // Tells the kernel that [offset, offset + length) was read and need not stay resident. The bytes can
  // still be read (from the page cache or the disk). Only whole pages inside the range are released.
  void Release(size_t offset, size_t length) const;

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

}  // namespace eyeshot

#endif  // EYESHOT_BASE_FILE_H_
