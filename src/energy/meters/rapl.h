// RAPL: the energy counters of Intel's and AMD's processors, as Linux's powercap driver shows them.
//
// Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3B, "RAPL Interfaces" (32-bit counters,
// brought up to date about each millisecond); Linux, Documentation/power/powercap/powercap.rst (files). Who may read
// them: root alone since CVE-2020-8694 ("PLATYPUS": keys were read out by power).
#ifndef EYESHOT_ENERGY_METERS_RAPL_H_
#define EYESHOT_ENERGY_METERS_RAPL_H_

#include <memory>
#include <string>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"

namespace eyeshot {

// All counters of packages, cores, memory and platform under `folder`. Errors: kNotFound (the machine or container
// shows none), kIo (they may not be read; the mend is the command that allows it), kCorrupt.
Result<std::vector<std::unique_ptr<Meter>>> OpenRaplMeters(const std::string& folder);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_RAPL_H_
