// Settings of a machine that a run may change and must put back: limits of clocks and power.
#ifndef EYESHOT_ENERGY_CLOCKS_SETTING_H_
#define EYESHOT_ENERGY_CLOCKS_SETTING_H_

#include <string>
#include <string_view>

#include "eyeshot/status.h"

namespace eyeshot {

struct MachineSetting {
  enum class Kind {
    kCpuFile,    // a file of a cpufreq policy; the target is its path, the value its text
    kGpuClocks,  // NVML's locked clocks of the GPU with this PCI address; "LOW-HIGH" in MHz, or "free"
    kGpuPower,   // NVML's power limit of that GPU, in mW
  };
  Kind kind = Kind::kCpuFile;
  std::string target;

  bool operator==(const MachineSetting&) const = default;
};
std::string_view KindName(MachineSetting::Kind kind);  // "cpu_file", "gpu_clocks", "gpu_power"

// Of a cpufreq policy (SYSFS/devices/system/cpu/cpufreq/policyN) only these are ever written.
inline constexpr std::string_view kScalingMaxFreq = "scaling_max_freq";                        // kHz
inline constexpr std::string_view kEnergyPreference = "energy_performance_preference";  // a word
// Whether `path` is one of them.
bool IsCpuSettingPath(std::string_view path);

// What it is now. Locked clocks can't be asked (NVML has no call for it): "free", which is how they are put back.
// Errors: kNotFound, kIo, kUnsupported, kCorrupt.
Result<std::string> ReadSetting(const MachineSetting& setting);

// Errors: kIo (no permission: the mend says how to get it), kInvalidArgument (a value that the machine refuses),
// kNotFound, kUnsupported.
Status WriteSetting(const MachineSetting& setting, const std::string& value);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_CLOCKS_SETTING_H_
