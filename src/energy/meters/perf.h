// RAPL by perf events: the same counters as powercap's, for those who may use perf but aren't root.
//
// Sources: perf_event_open(2); Linux, Documentation/ABI/testing/sysfs-bus-event_source-devices-events (events, scale).
#ifndef EYESHOT_ENERGY_METERS_PERF_H_
#define EYESHOT_ENERGY_METERS_PERF_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"

namespace eyeshot {

// An event of the power unit as sysfs describes it.
struct PowerEvent {
  std::string name;  // "energy-pkg"
  EnergyDomain domain = EnergyDomain::kPackage;
  uint32_t type = 0;    // of the unit
  uint64_t config = 0;  // of the event
  double scale_j = 0;   // joules a count
};

// What `folder`/power describes, and the processors by which it is read, one a package. Errors: kNotFound, kCorrupt,
// kIo.
Result<std::vector<PowerEvent>> ReadPowerEvents(const std::string& folder);
Result<std::vector<int>> ReadPowerCpus(const std::string& folder);

// "0,18" or "0-1": numbers of processors. Errors: kCorrupt, kLimitExceeded.
Result<std::vector<int>> ParseCpuList(std::string_view text);

// Errors: as above, and kIo (perf_event_open is refused; the mend is the command that allows it).
Result<std::vector<std::unique_ptr<Meter>>> OpenPerfMeters(const std::string& folder);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_PERF_H_
