// A device whose clock can be limited: a GPU, or the cores of a processor.
#ifndef EYESHOT_ENERGY_CLOCKS_CLOCK_CONTROL_H_
#define EYESHOT_ENERGY_CLOCKS_CLOCK_CONTROL_H_

#include <memory>
#include <string>
#include <vector>

#include "energy/clocks/setting.h"
#include "eyeshot/status.h"

namespace eyeshot {

class ClockControl {
 public:
  virtual ~ClockControl() = default;

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

  double lowest_mhz() const { return clocks_mhz().front(); }
  double highest_mhz() const { return clocks_mhz().back(); }
};

// The cores of the processor, by cpufreq's policies under `sysfs`. Kernels limit each policy to what it can. Errors:
// kNotFound (no cpufreq: a virtual machine), kIo, kCorrupt, kLimitExceeded.
Result<std::unique_ptr<ClockControl>> OpenCpuClocks(const std::string& sysfs);

// A GPU, by NVML. Errors: of GpuSettings.
Result<std::unique_ptr<ClockControl>> OpenGpuClocks(const std::string& pci_bus_id);

// The one of `clocks_mhz`, which isn't empty, that is nearest.
double NearestOf(const std::vector<double>& clocks_mhz, double mhz);

// About `most` of ascending clocks, evenly apart, the lowest and the highest among them.
std::vector<double> Thinned(const std::vector<double>& clocks, size_t most);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_CLOCKS_CLOCK_CONTROL_H_
