// Small files of sysfs and procfs, read with limits.
#ifndef EYESHOT_ENERGY_METERS_SYSFS_H_
#define EYESHOT_ENERGY_METERS_SYSFS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "eyeshot/status.h"

namespace eyeshot {

// A file that is read again and again; it stays open.
class SysfsFile {
 public:
  // Errors: kNotFound, kIo.
  static Result<SysfsFile> Open(const std::string& path);
  SysfsFile(SysfsFile&& other) noexcept;
  SysfsFile& operator=(SysfsFile&&) = delete;
  SysfsFile(const SysfsFile&) = delete;
  SysfsFile& operator=(const SysfsFile&) = delete;
  ~SysfsFile();

  // What it says now, without white space at the end; valid until the next call. At most
  // limits::kMaxSysfsBytes are read, and the rest left out. Errors: kIo, kCorrupt (it is empty).
  Result<std::string_view> Read();
  // What it says now, if that is a whole number alone. Errors: as Read(), kCorrupt.
  Result<uint64_t> ReadNumber();
  const std::string& path() const { return path_; }

 private:
  SysfsFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;
  std::array<char, limits::kMaxSysfsBytes> text_;
};

// One reading of a file.
Result<std::string> ReadSysfsText(const std::string& path);
Result<uint64_t> ReadSysfsNumber(const std::string& path);

// Names in a folder that begin with `prefix`, sorted; at most limits::kMaxSysfsEntries. Errors: kNotFound, kIo,
// kLimitExceeded.
Result<std::vector<std::string>> ListSysfsFolder(const std::string& path, std::string_view prefix);

// Whether `path` is there but may not be read by this user.
bool IsForbidden(const std::string& path);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_SYSFS_H_
