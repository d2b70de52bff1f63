#include "media/video_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace eyeshot::media {

Result<ByteSource> ByteSource::Open(const std::string& path, uint64_t max_bytes) {
  FileHandle file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.ok() && (errno == ENOENT || errno == ENOTDIR)) {
    return NotFoundError(fmt::format("{}: no such file", path), "check the path");
  }
  if (!file.ok()) {
    return IoError(fmt::format("{}: can't be opened ({})", path, std::strerror(errno)),
                   "check that it is a readable file");
  }
  ByteSource source(std::move(file));
  struct stat info{};
  if (fstat(source.file_.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return InvalidArgumentError(fmt::format("{}: is not a regular file", path), "name a video or picture");
  }
  source.size_ = static_cast<uint64_t>(info.st_size);
  if (source.size_ > max_bytes) {
    return LimitError(fmt::format("{}: {} bytes, the limit for a video is {}", path, source.size_, max_bytes),
                      "cut the video");
  }
  return source;
}

std::vector<uint8_t> ByteSource::Head(size_t count) const {
  std::vector<uint8_t> head(static_cast<size_t>(std::min<uint64_t>(count, size_)));
  size_t done = 0;
  while (done < head.size()) {
    const int64_t got = Read(done, head.data() + done, head.size() - done);
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  head.resize(done);
  return head;
}

int64_t ByteSource::Read(uint64_t offset, uint8_t* out, size_t count) const {
  if (offset >= size_) return 0;
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(count, size_ - offset));
  if (!file_.ok()) {
    std::memcpy(out, bytes_.data() + offset, wanted);
    return static_cast<int64_t>(wanted);
  }
  while (true) {
    const ssize_t got = pread(file_.get(), out, wanted, static_cast<off_t>(offset));
    if (got >= 0 || errno != EINTR) return got;
  }
}

}  // namespace eyeshot::media
