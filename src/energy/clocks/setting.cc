#include "energy/clocks/setting.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "energy/clocks/gpu_settings.h"
#include "energy/meters/sysfs.h"

namespace eyeshot {
namespace {

constexpr std::string_view kFree = "free";

Result<uint32_t> ParseNumber(std::string_view text, const std::string& target) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return CorruptError(fmt::format("'{}' as a setting of {}", text, target), "a whole number is needed");
  }
  return number;
}

Status WriteCpuFile(const std::string& path, const std::string& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  const int opening = errno;
  ssize_t written = -1;
  if (fd >= 0) written = write(fd, value.data(), value.size());
  const int writing = errno;
  if (fd >= 0) close(fd);
  if (written == static_cast<ssize_t>(value.size())) return Status::Ok();
  const int error = fd < 0 ? opening : writing;
  const std::string found = fmt::format("{} can't be set to {}: {}", path, value, std::strerror(error));
  if (error == EACCES || error == EPERM || error == EROFS) {
    return IoError(found,
                   "only root may limit the processor's clock: run with sudo, give yourself the file (docs/clocks.md), "
                   "or leave --allow-clocks out");
  }
  if (error == EINVAL || error == EBUSY) {
    return InvalidArgumentError(found, "the processor's driver refuses this value: take another clock");
  }
  return IoError(found, "leave --allow-clocks out on this machine");
}

Status WriteGpuClocks(GpuSettings& gpu, const MachineSetting& setting, const std::string& value) {
  if (value == kFree) return gpu.FreeClocks();
  const size_t dash = value.find('-');
  if (dash == std::string::npos) {
    return CorruptError(fmt::format("'{}' as clocks of {}", value, setting.target), "write LOW-HIGH or free");
  }
  EYESHOT_ASSIGN_OR_RETURN(const uint32_t low, ParseNumber(std::string_view(value).substr(0, dash), setting.target));
  EYESHOT_ASSIGN_OR_RETURN(const uint32_t high, ParseNumber(std::string_view(value).substr(dash + 1), setting.target));
  return gpu.LockClocks(low, high);
}

}  // namespace

std::string_view KindName(MachineSetting::Kind kind) {
  switch (kind) {
    case MachineSetting::Kind::kCpuFile: return "cpu_file";
    case MachineSetting::Kind::kGpuClocks: return "gpu_clocks";
    case MachineSetting::Kind::kGpuPower: return "gpu_power";
  }
  return "unknown";
}

bool IsCpuSettingPath(std::string_view path) {
  constexpr std::string_view kFolder = "/devices/system/cpu/cpufreq/policy";
  if (path.find("..") != std::string_view::npos) return false;
  const size_t folder = path.rfind(kFolder);
  if (folder == std::string_view::npos) return false;
  const std::string_view rest = path.substr(folder + kFolder.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos || slash == 0) return false;
  const std::string_view number = rest.substr(0, slash);
  const std::string_view file = rest.substr(slash + 1);
  const bool is_number = std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
  return is_number && (file == kScalingMaxFreq || file == kEnergyPreference);
}

Result<std::string> ReadSetting(const MachineSetting& setting) {
  switch (setting.kind) {
    case MachineSetting::Kind::kCpuFile: return ReadSysfsText(setting.target);
    case MachineSetting::Kind::kGpuClocks: return std::string(kFree);
    case MachineSetting::Kind::kGpuPower: break;
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<GpuSettings> gpu, GpuSettings::Open(setting.target));
  EYESHOT_ASSIGN_OR_RETURN(const uint32_t milliwatts, gpu->PowerLimitMw());
  return fmt::format("{}", milliwatts);
}

Status WriteSetting(const MachineSetting& setting, const std::string& value) {
  if (setting.kind == MachineSetting::Kind::kCpuFile) {
    if (!IsCpuSettingPath(setting.target)) {
      return InvalidArgumentError(fmt::format("'{}' is no clock of a processor", setting.target),
                                  "only files of cpufreq policies are written");
    }
    return WriteCpuFile(setting.target, value);
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<GpuSettings> gpu, GpuSettings::Open(setting.target));
  if (setting.kind == MachineSetting::Kind::kGpuClocks) return WriteGpuClocks(*gpu, setting, value);
  EYESHOT_ASSIGN_OR_RETURN(const uint32_t milliwatts, ParseNumber(value, setting.target));
  return gpu->SetPowerLimitMw(milliwatts);
}

}  // namespace eyeshot
