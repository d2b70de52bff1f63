// A descriptor of the system's (a file, an event, one end of a pipe) that closes itself.
#ifndef EYESHOT_BASE_FILE_HANDLE_H_
#define EYESHOT_BASE_FILE_HANDLE_H_

#include <unistd.h>

#include <utility>

namespace eyeshot {

class FileHandle {
 public:
  FileHandle() = default;
  // What open() gave: negative where that failed.
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileHandle() {
    if (ok()) ::close(descriptor_);
  }

  bool ok() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

}  // namespace eyeshot

#endif  // EYESHOT_BASE_FILE_HANDLE_H_
