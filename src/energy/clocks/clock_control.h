// A device whose clock can be limited: a GPU, or the cores of a processor.
#ifndef EYESHOT_ENERGY_CLOCKS_CLOCK_CONTROL_H_
#define EYESHOT_ENERGY_CLOCKS_CLOCK_CONTROL_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "energy/clocks/setting.h"
#include "eyeshot/status.h"

namespace eyeshot {

class ClockControl {
 public:
  virtual ~ClockControl() = default;

  virtual const std::string& name() const = 0;  // "gpu 00000000:1B:00.0", "cpu"
  // What may be asked for, MHz, ascending, not empty.
  virtual const std::vector<double>& clocks_mhz() const = 0;
  // What the calls below may write.
  virtual std::vector<MachineSetting> settings() const = 0;

  // The highest clock from now on. Errors: of WriteSetting().
  virtual Status SetHighest(double mhz) = 0;
  // A GPU's. Errors: kUnsupported (of a processor), kInvalidArgument (outside of what the board allows), of
  // WriteSetting().
  virtual Status SetPowerLimit(double watts) = 0;
  // A processor's: "performance", "balance_performance", "balance_power", "power". Errors: kUnsupported (of a GPU, or
  // the driver has no such preference; names what there is), of WriteSetting().
  virtual Status SetPreference(const std::string& preference) = 0;
  // The clock of this moment, if the device says it.
  virtual std::optional<double> CurrentMhz() = 0;

  double lowest_mhz() const { return clocks_mhz().front(); }
  double highest_mhz() const { return clocks_mhz().back(); }
  // The one of clocks_mhz() that is nearest.
  double Nearest(double mhz) const;
};

// The cores of the processor, by cpufreq's policies under `sysfs`. Kernels limit each policy to what it can. Errors:
// kNotFound (no cpufreq: a virtual machine), kIo, kCorrupt, kLimitExceeded.
Result<std::unique_ptr<ClockControl>> OpenCpuClocks(const std::string& sysfs);

// A GPU, by NVML. Errors: of GpuSettings.
Result<std::unique_ptr<ClockControl>> OpenGpuClocks(const std::string& pci_bus_id);

// About `most` of ascending clocks, evenly apart, the lowest and the highest among them.
std::vector<double> Thinned(const std::vector<double>& clocks, size_t most);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_CLOCKS_CLOCK_CONTROL_H_
