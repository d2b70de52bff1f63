// What a GPU's management library (NVML, part of NVIDIA's driver) says of it: energy, power, clocks, temperature, and
// what holds the clocks back. Loaded at run time; nothing here changes a setting.
//
// Source: NVML API Reference Guide, "Device Queries".
#ifndef EYESHOT_LEDGER_NVML_H_
#define EYESHOT_LEDGER_NVML_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

// The driver brings the energy counter up to date every 20 to 100 ms (pynvml, issue 18; Zeus, issue 181).
inline constexpr double kNvmlCounterPeriodS = 0.1;

class GpuMeter {
 public:
  // Of the GPU with this PCI address ("00000000:1B:00.0"), by the library that $EYESHOT_NVML names, else the driver's.
  // Errors: kNotFound (no library, no such GPU), kUnsupported (a library that lacks what is needed), kIo.
  static Result<std::unique_ptr<GpuMeter>> Open(const std::string& pci_bus_id);
  // Of every GPU that the library shows, in its order.
  static Result<std::vector<std::unique_ptr<GpuMeter>>> OpenAll();
  virtual ~GpuMeter() = default;

  // Takes less than a millisecond. What the GPU doesn't say stays empty. Doesn't allocate.
  virtual GpuReading Read() = 0;
  // The energy counter alone or, where there is none, power: for readings that follow one another quickly.
  virtual GpuReading ReadEnergy() { return Read(); }
};

// Names of the bits of GpuReading::throttle_reasons, those that only say "idle" left out.
std::vector<std::string_view> ThrottleReasonNames(uint64_t reasons);

// Between two readings of one GPU. The counter lags, so that the energy of a window is known to what the GPU takes in
// one of its periods; of a window of less than two nothing is said. Without a counter, the mean of both powers over the
// time.
Joules JoulesBetween(const GpuReading& before, const GpuReading& after);

}  // namespace eyeshot

#endif  // EYESHOT_LEDGER_NVML_H_
