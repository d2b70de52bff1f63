// Clocks and power limits of a GPU, by NVML. These are the only calls of this program that change a GPU.
//
// Source: NVML API Reference Guide, nvmlDeviceSetGpuLockedClocks, nvmlDeviceSetPowerManagementLimit.
#ifndef EYESHOT_ENERGY_CLOCKS_GPU_SETTINGS_H_
#define EYESHOT_ENERGY_CLOCKS_GPU_SETTINGS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "eyeshot/status.h"
#include "ledger/nvml_library.h"

namespace eyeshot {

class GpuSettings {
 public:
  // Of the GPU with this PCI address. Errors: kNotFound, kUnsupported, kIo.
  static Result<std::unique_ptr<GpuSettings>> Open(const std::string& pci_bus_id);

  // The clocks of the cores, MHz, ascending, at the highest memory clock. Errors: kUnsupported, kIo.
  Result<std::vector<double>> Clocks() const;
  // Errors: kIo (no permission), kUnsupported.
  Status LockClocks(unsigned low_mhz, unsigned high_mhz);
  Status FreeClocks();

  Result<uint32_t> PowerLimitMw() const;
  // Lowest and highest that may be set.
  Result<std::pair<uint32_t, uint32_t>> PowerLimitsMw() const;
  Status SetPowerLimitMw(uint32_t milliwatts);

 private:
  GpuSettings(std::unique_ptr<NvmlLibrary> library, void* device, std::string name)
      : library_(std::move(library)), device_(device), name_(std::move(name)) {}
  template <typename Function, typename... Arguments>
  Status Call(Function function, const char* what, Arguments... arguments) const;

  std::unique_ptr<NvmlLibrary> library_;
  void* device_;
  std::string name_;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_CLOCKS_GPU_SETTINGS_H_
