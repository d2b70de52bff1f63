#include "energy/meters/find.h"

#include <iterator>
#include <utility>

#include "base/file.h"
#include "energy/meters/attribution.h"
#include "energy/meters/gpu.h"
#include "energy/meters/perf.h"
#include "energy/meters/rapl.h"

namespace eyeshot {
namespace {

// Whether there are some.
bool Take(std::string kind, Result<std::vector<std::unique_ptr<Meter>>> opened, FoundMeters& found) {
  if (!opened.ok()) {
    found.missing.push_back({std::move(kind), opened.status()});
    return false;
  }
  found.meters.insert(found.meters.end(), std::make_move_iterator(opened->begin()),
                      std::make_move_iterator(opened->end()));
  return true;
}

}  // namespace

FoundMeters FindCpuMeters(const std::string& sysfs) {
  FoundMeters found;
  if (!Take("RAPL by powercap", OpenRaplMeters(JoinPath(sysfs, "class/powercap")), found)) {
    Take("RAPL by perf events", OpenPerfMeters(JoinPath(sysfs, "bus/event_source/devices")), found);
  }
  return found;
}

FoundMeters FindMeters(const std::string& sysfs) {
  FoundMeters found = FindCpuMeters(sysfs);
  Take("NVIDIA GPU by NVML", OpenGpuMeters(), found);
  return found;
}

std::vector<std::unique_ptr<Meter>> MetersOfDevice(const std::string& pci_bus_id, const std::string& sysfs) {
  std::vector<std::unique_ptr<Meter>> meters;
  if (!pci_bus_id.empty()) {
    Result<std::unique_ptr<GpuMeter>> gpu = GpuMeter::Open(pci_bus_id);
    if (!gpu.ok()) return meters;
    Result<std::unique_ptr<Meter>> meter = MeterOfGpu("NVML " + pci_bus_id, *std::move(gpu));
    if (meter.ok()) meters.push_back(*std::move(meter));
    return meters;
  }
  for (std::unique_ptr<Meter>& meter : FindCpuMeters(sysfs).meters) {
    if (!OverlapsOthers(meter->info().domain)) meters.push_back(std::move(meter));
  }
  return meters;
}

}  // namespace eyeshot
