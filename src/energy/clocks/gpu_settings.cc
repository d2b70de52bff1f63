#include "energy/clocks/gpu_settings.h"

#include <algorithm>

#include "base/error.h"
#include "base/limits.h"

namespace eyeshot {

template <typename Function, typename... Arguments>
Status GpuSettings::Call(Function function, const char* what, Arguments... arguments) const {
  if (function == nullptr) {
    return UnsupportedError(fmt::format("{} of GPU {}: the driver lacks the call", what, name_),
                            "install a newer driver");
  }
  const int error = function(device_, arguments...);
  if (error == kNvmlSuccess) return Status::Ok();
  const std::string found = fmt::format("{} of GPU {}: {}", what, name_, library_->error_string(error));
  if (error == kNvmlNoPermission) {
    return IoError(found, "only root may set clocks and power of a GPU: run with sudo, or leave --allow-clocks out");
  }
  return UnsupportedError(found, "leave --allow-clocks out on this GPU");
}

Result<std::unique_ptr<GpuSettings>> GpuSettings::Open(const std::string& pci_bus_id) {
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<NvmlLibrary> library, NvmlLibrary::Load());
  EYESHOT_ASSIGN_OR_RETURN(void* const device, library->Device(pci_bus_id));
  return std::unique_ptr<GpuSettings>(new GpuSettings(std::move(library), device, pci_bus_id));
}

Result<std::vector<double>> GpuSettings::Clocks() const {
  std::vector<unsigned> memory(limits::kMaxClocks);
  auto count = static_cast<unsigned>(memory.size());
  EYESHOT_RETURN_IF_ERROR(Call(library_->memory_clocks, "the clocks of the memory", &count, memory.data()));
  memory.resize(std::min<size_t>(count, memory.size()));
  if (memory.empty()) return UnsupportedError(fmt::format("GPU {} names no clock", name_), "leave --allow-clocks out");
  std::vector<unsigned> graphics(limits::kMaxClocks);
  count = static_cast<unsigned>(graphics.size());
  EYESHOT_RETURN_IF_ERROR(Call(library_->graphics_clocks, "the clocks", *std::max_element(memory.begin(), memory.end()),
                               &count, graphics.data()));
  graphics.resize(std::min<size_t>(count, graphics.size()));
  std::vector<double> clocks(graphics.begin(), graphics.end());
  std::sort(clocks.begin(), clocks.end());
  clocks.erase(std::unique(clocks.begin(), clocks.end()), clocks.end());
  if (clocks.empty()) return UnsupportedError(fmt::format("GPU {} names no clock", name_), "leave --allow-clocks out");
  return clocks;
}

Status GpuSettings::LockClocks(unsigned low_mhz, unsigned high_mhz) {
  return Call(library_->lock_clocks, "locking clocks", low_mhz, high_mhz);
}

Status GpuSettings::FreeClocks() { return Call(library_->reset_clocks, "freeing clocks"); }

Result<uint32_t> GpuSettings::PowerLimitMw() const {
  unsigned milliwatts = 0;
  EYESHOT_RETURN_IF_ERROR(Call(library_->power_limit, "the power limit", &milliwatts));
  return milliwatts;
}

Result<std::pair<uint32_t, uint32_t>> GpuSettings::PowerLimitsMw() const {
  unsigned low = 0;
  unsigned high = 0;
  EYESHOT_RETURN_IF_ERROR(Call(library_->power_limits, "the range of the power limit", &low, &high));
  return std::pair<uint32_t, uint32_t>(low, high);
}

Status GpuSettings::SetPowerLimitMw(uint32_t milliwatts) {
  return Call(library_->set_power_limit, "setting the power limit", milliwatts);
}

}  // namespace eyeshot
