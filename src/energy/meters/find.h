// Which meters this machine has, and why it lacks the others.
#ifndef EYESHOT_ENERGY_METERS_FIND_H_
#define EYESHOT_ENERGY_METERS_FIND_H_

#include <memory>
#include <string>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"

namespace eyeshot {

// A kind of meter that can't be read.
struct MissingMeter {
  std::string kind;  // "RAPL by powercap"
  Status reason;
};

struct FoundMeters {
  std::vector<std::unique_ptr<Meter>> meters;
  std::vector<MissingMeter> missing;
};

// `sysfs` is where sysfs is mounted: "/sys", or the host's in a container. perf events are tried where powercap can't
// be read: they are the same counters.
FoundMeters FindMeters(const std::string& sysfs);
// The processor's alone.
FoundMeters FindCpuMeters(const std::string& sysfs);

// Those of the device that runs a model, which don't overlap: of the GPU at `pci_bus_id`, else ("") of the processor.
// None where they can't be read, of which `eyeshot energy` tells.
std::vector<std::unique_ptr<Meter>> MetersOfDevice(const std::string& pci_bus_id, const std::string& sysfs);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_FIND_H_
