#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file_handle.h"

namespace eyeshot {
namespace {

Status OpenError(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return NotFoundError(fmt::format("{}: no such file", path), "check the path");
  }
  return IoError(fmt::format("{}: can't be opened ({})", path, std::strerror(error)),
                 "check that it is a readable file");
}

Result<uint64_t> RegularFileSize(int fd, const std::string& path) {
  struct stat info{};
  if (fstat(fd, &info) != 0) return OpenError(path, errno);
  if (S_ISDIR(info.st_mode)) {
    return InvalidArgumentError(fmt::format("{}: is a directory, not a file", path), "name a file in it");
  }
  if (!S_ISREG(info.st_mode)) {
    return InvalidArgumentError(fmt::format("{}: is not a regular file", path), "copy its content into a file first");
  }
  return static_cast<uint64_t>(info.st_size);
}

Status CheckFileSize(const std::string& path, uint64_t size, uint64_t max_bytes) {
  if (size <= max_bytes) return Status::Ok();
  return LimitError(fmt::format("{}: {} bytes, the limit for this kind of file is {}", path, size, max_bytes),
                    "use a smaller file");
}

template <typename Container>
Result<Container> ReadInto(const std::string& path, uint64_t max_bytes) {
  const FileHandle fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return OpenError(path, errno);
  EYESHOT_ASSIGN_OR_RETURN(const uint64_t size, RegularFileSize(fd.get(), path));
  EYESHOT_RETURN_IF_ERROR(CheckFileSize(path, size, max_bytes));
  Container content;
  content.resize(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t got = read(fd.get(), content.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError(fmt::format("{}: read failed ({})", path, std::strerror(errno)), "check the disk");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  content.resize(done);
  return content;
}

}  // namespace

Result<std::vector<uint8_t>> ReadFile(const std::string& path, uint64_t max_bytes) {
  return ReadInto<std::vector<uint8_t>>(path, max_bytes);
}

Result<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes) {
  return ReadInto<std::string>(path, max_bytes);
}

Status WriteFile(const std::string& path, std::span<const uint8_t> bytes) {
  const std::string temporary = path + ".partial";
  {
    const FileHandle fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd.ok()) {
      return IoError(fmt::format("{}: can't be written ({})", path, std::strerror(errno)),
                     "check that the folder exists and is writable");
    }
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t put = write(fd.get(), bytes.data() + done, bytes.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) {
        const int error = errno;
        unlink(temporary.c_str());
        return IoError(fmt::format("{}: write failed ({})", path, std::strerror(error)), "check the free space");
      }
      done += static_cast<size_t>(put);
    }
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return IoError(fmt::format("{}: can't be replaced ({})", path, std::strerror(errno)),
                   "check that the folder is writable");
  }
  return Status::Ok();
}

Status WriteTextFile(const std::string& path, std::string_view text) {
  return WriteFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

bool FileExists(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool IsDirectory(const std::string& path) {
  struct stat info{};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string JoinPath(const std::string& dir, const std::string& name) {
  if (dir.empty() || dir.back() == '/') return dir + name;
  return dir + "/" + name;
}

Result<MappedFile> MappedFile::Open(const std::string& path, uint64_t max_bytes) {
  const FileHandle fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return OpenError(path, errno);
  EYESHOT_ASSIGN_OR_RETURN(const uint64_t size, RegularFileSize(fd.get(), path));
  EYESHOT_RETURN_IF_ERROR(CheckFileSize(path, size, max_bytes));
  MappedFile file;
  file.path_ = path;
  if (size == 0) return file;
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) {
    return IoError(fmt::format("{}: {} bytes can't be mapped ({})", path, size, std::strerror(errno)),
                   "check the address-space limit (ulimit -v)");
  }
  file.data_ = static_cast<const uint8_t*>(data);
  file.size_ = size;
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

void MappedFile::Release(size_t offset, size_t length) const {
  if (data_ == nullptr || offset >= size_) return;
  length = std::min(length, size_ - offset);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + length) / page * page;
  if (end > begin) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace eyeshot
