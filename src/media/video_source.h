// The bytes of a video, in a file or in memory, as FFmpeg reads them.
#ifndef EYESHOT_MEDIA_VIDEO_SOURCE_H_
#define EYESHOT_MEDIA_VIDEO_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/file_handle.h"
#include "eyeshot/status.h"

namespace eyeshot::media {

// A file that is read in pieces, or bytes in memory that outlive it. A file is not mapped: pages of a map count as
// memory of the process, and a long video has gigabytes. Movable.
class ByteSource {
 public:
  // Errors: kNotFound, kIo, kInvalidArgument (a folder, a pipe), kLimitExceeded (larger than `max_bytes`).
  static Result<ByteSource> Open(const std::string& path, uint64_t max_bytes);
  explicit ByteSource(std::span<const uint8_t> bytes) : bytes_(bytes), size_(bytes.size()) {}

  uint64_t size() const { return size_; }
  // The first `count` bytes, or all if there are fewer.
  std::vector<uint8_t> Head(size_t count) const;
  // Reads up to `count` bytes at `offset`. Returns how many; 0 at the end; -1 where the system refuses.
  int64_t Read(uint64_t offset, uint8_t* out, size_t count) const;

 private:
  explicit ByteSource(FileHandle file) : file_(std::move(file)) {}

  FileHandle file_;  // none: memory
  std::span<const uint8_t> bytes_;
  uint64_t size_ = 0;
};

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_VIDEO_SOURCE_H_
