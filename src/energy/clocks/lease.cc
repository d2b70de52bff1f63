#include "energy/clocks/lease.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "energy/json_list.h"
#include "energy/meters/sysfs.h"
#include "formats/json.h"

namespace eyeshot {
namespace {

constexpr const char* kFileName = "clocks.json";
constexpr const char* kMend = "see that the clocks are as you want them, and remove the file";
constexpr JsonRules kRules{.mend = kMend, .mend_missing = kMend};

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// This user's, and nobody else may write there: what stands in a lease is written into the machine's settings.
Status CheckOwner(const std::string& path) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) {
    return IoError(fmt::format("{}: {}", path, std::strerror(errno)), "name another place with $EYESHOT_LEASE");
  }
  const bool others_write = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  if (status.st_uid == geteuid() && !others_write && !S_ISLNK(status.st_mode)) return Status::Ok();
  return IoError(fmt::format("{} belongs to another user, is a link, or others may write to it", path),
                 "it is not trusted: remove it, or name another place with $EYESHOT_LEASE");
}

// Held while a lease is taken, ended or repaired: two programs may do that at a time.
class LeaseLock {
 public:
  static Result<LeaseLock> Take(const std::string& lease) {
    const std::string folder = FolderOf(lease);
    if (mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
      return IoError(fmt::format("{} can't be made: {}", folder, std::strerror(errno)),
                     "name another place with $EYESHOT_LEASE");
    }
    EYESHOT_RETURN_IF_ERROR(CheckOwner(folder));
    const std::string path = lease + ".lock";
    LeaseLock lock;
    lock.fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (lock.fd_ < 0 || flock(lock.fd_, LOCK_EX) != 0) {
      return IoError(fmt::format("{}: {}", path, std::strerror(errno)), "name another place with $EYESHOT_LEASE");
    }
    return lock;
  }
  LeaseLock(LeaseLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  LeaseLock& operator=(LeaseLock&&) = delete;
  LeaseLock(const LeaseLock&) = delete;
  LeaseLock& operator=(const LeaseLock&) = delete;
  ~LeaseLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  LeaseLock() = default;
  int fd_ = -1;
};

std::string BootId() {
  const Result<std::string> id = ReadSysfsText("/proc/sys/kernel/random/boot_id");
  return id.ok() ? *id : "";
}

// Field 22 of /proc/PID/stat; the second one is a name in parentheses that may hold anything. 0: no such process, or
// one that has ended and is still listed.
uint64_t StartTicks(int64_t pid) {
  const Result<std::string> text = ReadSysfsText(fmt::format("/proc/{}/stat", pid));
  if (!text.ok()) return 0;
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text->substr(name_end + 1));
  std::string field;
  constexpr int kFieldsToStart = 20;  // from the third one on
  for (int i = 0; i < kFieldsToStart && fields >> field; ++i) {
    if (i == 0 && (field == "Z" || field == "X")) return 0;
  }
  return std::strtoull(field.c_str(), nullptr, 10);
}

Result<MachineSetting::Kind> ParseKind(const JsonObject& entry) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string name, entry.String("kind"));
  using Kind = MachineSetting::Kind;
  for (const Kind kind : {Kind::kCpuFile, Kind::kGpuClocks, Kind::kGpuPower}) {
    if (name == KindName(kind)) return kind;
  }
  return entry.Error(StatusCode::kCorrupt, "kind", "cpu_file, gpu_clocks or gpu_power", kMend);
}

Result<SavedSetting> ParseSaved(const Json& tree, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject entry, JsonObject::Root(tree, file, kRules));
  SavedSetting saved;
  EYESHOT_ASSIGN_OR_RETURN(saved.setting.kind, ParseKind(entry));
  EYESHOT_ASSIGN_OR_RETURN(saved.setting.target, entry.String("target"));
  EYESHOT_ASSIGN_OR_RETURN(saved.before, entry.String("before"));
  if (saved.setting.kind == MachineSetting::Kind::kCpuFile && !IsCpuSettingPath(saved.setting.target)) {
    return entry.Error(StatusCode::kCorrupt, "target", "a clock or preference of a cpufreq policy", kMend);
  }
  return saved;
}

std::string LeaseText(const Lease& lease) {
  Json json = {{"pid", lease.pid}, {"start_ticks", lease.start_ticks}, {"boot_id", lease.boot_id}};
  json["saved"] = Json::array();
  for (const SavedSetting& saved : lease.saved) {
    json["saved"].push_back(
        {{"kind", KindName(saved.setting.kind)}, {"target", saved.setting.target}, {"before", saved.before}});
  }
  return json.dump(2) + "\n";
}

// On the disk before anything is changed, and never half of it. Whoever calls has the lock.
Status WriteLease(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".partial";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  bool written = fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  if (written) written = rename(temporary.c_str(), path.c_str()) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (written) return Status::Ok();
  unlink(temporary.c_str());
  return IoError(fmt::format("{} can't be written: {}", path, std::strerror(error)),
                 "no clock was changed; free space there, or name another place with $EYESHOT_LEASE");
}

// Whether it is another one now than before. Of locked clocks, which can't be asked, that is taken for granted.
bool IsChanged(const SavedSetting& saved) {
  if (saved.setting.kind == MachineSetting::Kind::kGpuClocks) return true;
  const Result<std::string> now = ReadSetting(saved.setting);
  return !now.ok() || *now != saved.before;
}

Result<bool> Repair(const std::string& path) {
  Result<std::optional<Lease>> lease = ReadLease(path);
  if (!lease.ok()) return lease.status();
  if (!*lease || IsHeld(**lease)) return false;
  EYESHOT_RETURN_IF_ERROR(EndLease(path, **lease));
  return true;
}

}  // namespace

std::string LeasePath() {
  if (const char* named = std::getenv("EYESHOT_LEASE"); named != nullptr && *named != '\0') return named;
  if (geteuid() == 0) return fmt::format("/run/eyeshot/{}", kFileName);
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime != nullptr && *runtime == '/') {
    return fmt::format("{}/eyeshot/{}", runtime, kFileName);
  }
  return fmt::format("/tmp/eyeshot-{}/{}", geteuid(), kFileName);
}

Result<Lease> ParseLease(std::string_view text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file, kRules));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file, kRules));
  Lease lease;
  constexpr int64_t kMost = int64_t{1} << 62;
  EYESHOT_ASSIGN_OR_RETURN(lease.pid, root.Integer("pid", 1, kMost));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t ticks, root.Integer("start_ticks", 0, kMost));
  lease.start_ticks = static_cast<uint64_t>(ticks);
  EYESHOT_ASSIGN_OR_RETURN(lease.boot_id, root.String("boot_id"));
  EYESHOT_ASSIGN_OR_RETURN(const Json* const saved, ListOf(root, "saved", limits::kMaxSysfsEntries, kMend));
  for (const Json& entry : *saved) {
    EYESHOT_ASSIGN_OR_RETURN(SavedSetting one, ParseSaved(entry, file));
    lease.saved.push_back(std::move(one));
  }
  return lease;
}

Result<std::optional<Lease>> ReadLease(const std::string& path) {
  if (!FileExists(path)) return std::optional<Lease>();
  EYESHOT_RETURN_IF_ERROR(CheckOwner(FolderOf(path)));
  EYESHOT_RETURN_IF_ERROR(CheckOwner(path));
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxLeaseBytes));
  EYESHOT_ASSIGN_OR_RETURN(Lease lease, ParseLease(text, path));
  return std::optional(std::move(lease));
}

bool IsHeld(const Lease& lease) {
  return lease.boot_id == BootId() && lease.start_ticks != 0 && StartTicks(lease.pid) == lease.start_ticks;
}

Status TakeLease(const std::string& path, const std::vector<MachineSetting>& settings) {
  EYESHOT_ASSIGN_OR_RETURN(const LeaseLock lock, LeaseLock::Take(path));
  EYESHOT_ASSIGN_OR_RETURN(const bool repaired, Repair(path));
  static_cast<void>(repaired);
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<Lease> other, ReadLease(path));
  if (other) {
    return UnsupportedError(fmt::format("process {} has set this machine's clocks ({})", other->pid, path),
                            "wait until it ends");
  }
  Lease lease{.pid = getpid(), .start_ticks = StartTicks(getpid()), .boot_id = BootId(), .saved = {}};
  for (const MachineSetting& setting : settings) {
    EYESHOT_ASSIGN_OR_RETURN(std::string before, ReadSetting(setting));
    lease.saved.push_back({setting, std::move(before)});
  }
  return WriteLease(path, LeaseText(lease));
}

Status EndLease(const std::string& path, const Lease& lease) {
  Status first;
  if (lease.boot_id == BootId()) {
    for (const SavedSetting& saved : lease.saved) {
      // What nobody changed isn't written: this user may be allowed to set the clock alone.
      if (!IsChanged(saved)) continue;
      const Status status = WriteSetting(saved.setting, saved.before);
      if (!status.ok() && first.ok()) first = status;
    }
  }
  if (!first.ok()) {
    return IoError(fmt::format("clocks that an earlier run has set can't be put back: {}", first.found()),
                   fmt::format("{}; then start any command of eyeshot again, or remove {}", first.mend(), path));
  }
  unlink(path.c_str());
  return Status::Ok();
}

void DropLease(const std::string& path) { unlink(path.c_str()); }

Result<bool> RepairLease(const std::string& path) {
  if (!FileExists(path)) return false;
  EYESHOT_ASSIGN_OR_RETURN(const LeaseLock lock, LeaseLock::Take(path));
  return Repair(path);
}

}  // namespace eyeshot
