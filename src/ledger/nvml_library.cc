#include "ledger/nvml_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <initializer_list>

#include "base/error.h"

namespace eyeshot {
namespace {

template <typename Function>
void Find(void* handle, Function& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (function == nullptr) function = reinterpret_cast<Function>(dlsym(handle, name));
  }
}

}  // namespace

NvmlLibrary::~NvmlLibrary() {
  if (shutdown != nullptr) shutdown();
  if (handle_ != nullptr) dlclose(handle_);
}

Result<std::unique_ptr<NvmlLibrary>> NvmlLibrary::Load() {
  auto library = std::make_unique<NvmlLibrary>();
  const char* named = std::getenv("EYESHOT_NVML");
  const char* path = named != nullptr && *named != '\0' ? named : "libnvidia-ml.so.1";
  library->handle_ = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library->handle_ == nullptr) {
    return NotFoundError(fmt::format("no meter of the GPU: {}", dlerror()),
                         "install NVIDIA's driver with its libraries");
  }
  Find(library->handle_, library->init, {"nvmlInit_v2"});
  Find(library->handle_, library->error_string, {"nvmlErrorString"});
  Find(library->handle_, library->by_pci, {"nvmlDeviceGetHandleByPciBusId_v2"});
  Find(library->handle_, library->count, {"nvmlDeviceGetCount_v2"});
  Find(library->handle_, library->by_index, {"nvmlDeviceGetHandleByIndex_v2"});
  Find(library->handle_, library->energy, {"nvmlDeviceGetTotalEnergyConsumption"});
  Find(library->handle_, library->power, {"nvmlDeviceGetPowerUsage"});
  Find(library->handle_, library->clock, {"nvmlDeviceGetClockInfo"});
  Find(library->handle_, library->temperature, {"nvmlDeviceGetTemperature"});
  // The new name came with driver 535.
  Find(library->handle_, library->reasons,
       {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  Find(library->handle_, library->memory, {"nvmlDeviceGetMemoryInfo"});
  Find(library->handle_, library->utilization, {"nvmlDeviceGetUtilizationRates"});
  Find(library->handle_, library->lock_clocks, {"nvmlDeviceSetGpuLockedClocks"});
  Find(library->handle_, library->reset_clocks, {"nvmlDeviceResetGpuLockedClocks"});
  Find(library->handle_, library->memory_clocks, {"nvmlDeviceGetSupportedMemoryClocks"});
  Find(library->handle_, library->graphics_clocks, {"nvmlDeviceGetSupportedGraphicsClocks"});
  Find(library->handle_, library->power_limit, {"nvmlDeviceGetPowerManagementLimit"});
  Find(library->handle_, library->power_limits, {"nvmlDeviceGetPowerManagementLimitConstraints"});
  Find(library->handle_, library->set_power_limit, {"nvmlDeviceSetPowerManagementLimit"});
  if (library->init == nullptr || library->by_pci == nullptr || library->error_string == nullptr) {
    return UnsupportedError(fmt::format("{} is no NVML that this program knows", path), "install a newer driver");
  }
  if (const int error = library->init(); error != kNvmlSuccess) {
    return IoError(fmt::format("NVML doesn't start: {}", library->error_string(error)), "check nvidia-smi");
  }
  Find(library->handle_, library->shutdown, {"nvmlShutdown"});  // only now: it belongs to a start that succeeded
  return library;
}

Result<void*> NvmlLibrary::Device(const std::string& pci_bus_id) const {
  void* device = nullptr;
  if (const int error = by_pci(pci_bus_id.c_str(), &device); error != kNvmlSuccess) {
    return NotFoundError(fmt::format("NVML has no GPU {}: {}", pci_bus_id, error_string(error)), "check nvidia-smi");
  }
  return device;
}

}  // namespace eyeshot
