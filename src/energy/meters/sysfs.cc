#include "energy/meters/sysfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace eyeshot {

Result<SysfsFile> SysfsFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) return SysfsFile(path, fd);
  const int error = errno;
  const std::string found = fmt::format("{}: {}", path, std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return NotFoundError(found, "check the path");
  return IoError(found, "check who may read it");
}

SysfsFile::SysfsFile(SysfsFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

SysfsFile::~SysfsFile() {
  if (fd_ >= 0) close(fd_);
}

Result<std::string_view> SysfsFile::Read() {
  // sysfs makes a file's text anew when it is read from its beginning.
  const ssize_t read = pread(fd_, text_.data(), text_.size(), 0);
  if (read < 0) return IoError(fmt::format("{}: {}", path_, std::strerror(errno)), "read it again later");
  std::string_view text(text_.data(), static_cast<size_t>(read));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text.empty()) return CorruptError(fmt::format("{}: is empty", path_), "check the driver behind it");
  return text;
}

Result<uint64_t> SysfsFile::ReadNumber() {
  EYESHOT_ASSIGN_OR_RETURN(const std::string_view text, Read());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return CorruptError(fmt::format("{}: '{}' is no number", path_, text.substr(0, 40)), "check the driver behind it");
  }
  return number;
}

Result<std::string> ReadSysfsText(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(SysfsFile file, SysfsFile::Open(path));
  EYESHOT_ASSIGN_OR_RETURN(const std::string_view text, file.Read());
  return std::string(text);
}

Result<uint64_t> ReadSysfsNumber(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(SysfsFile file, SysfsFile::Open(path));
  return file.ReadNumber();
}

Result<std::vector<std::string>> ListSysfsFolder(const std::string& path, std::string_view prefix) {
  std::error_code error;
  std::vector<std::string> names;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.starts_with(prefix)) names.push_back(std::move(name));
    if (names.size() > limits::kMaxSysfsEntries) {
      return LimitError(fmt::format("{}: has more than {} entries", path, limits::kMaxSysfsEntries),
                        "check that it is a folder of sysfs");
    }
  }
  if (error == std::errc::no_such_file_or_directory) {
    return NotFoundError(fmt::format("{}: no such folder", path), "check the path");
  }
  if (error) return IoError(fmt::format("{}: {}", path, error.message()), "check who may read it");
  std::sort(names.begin(), names.end());
  return names;
}

bool IsForbidden(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0 && errno == EACCES;
}

}  // namespace eyeshot
