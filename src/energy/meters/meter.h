// Meter: one counter of energy of this machine, whoever keeps it.
#ifndef EYESHOT_ENERGY_METERS_METER_H_
#define EYESHOT_ENERGY_METERS_METER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

// What a counter counts. The cores are a part of their package; the platform ("psys") holds package, memory and more.
enum class EnergyDomain { kPackage, kCore, kDram, kPlatform, kGpu };
std::string_view EnergyDomainName(EnergyDomain domain);  // "package", "core", "dram", "psys", "gpu"
// Whether its joules are also in those of another domain, so that both must not be added. Of the platform, that it
// holds the others' is meant.
bool OverlapsOthers(EnergyDomain domain);

struct MeterInfo {
  std::string name;  // "intel-rapl:0 package-0": for people, unique in one machine
  EnergyDomain domain = EnergyDomain::kPackage;
  EnergySource source = EnergySource::kNone;
  double resolution_j = 0;    // the smallest step
  double resolution_s = 0;    // the time between two updates: a reading may be as old as that
  double relative_error = 0;  // of what it counts, where its maker says one; bounds are widened by it
};

struct EnergySample {
  uint64_t at_ns = 0;  // by the steady clock
  double joules = 0;   // since the meter's first reading; never less than before
};

class Meter {
 public:
  virtual ~Meter() = default;
  virtual const MeterInfo& info() const = 0;

  // Allocates nothing when it succeeds. Errors:
  //   kIo: it can't be read now; a later reading may succeed, and lacks nothing.
  //   kCorrupt: what it says can't be true (it was reset, jumped or is no number). After a reset or jump all later
  //   readings fail so: what was taken since the last good one isn't known.
  virtual Result<EnergySample> Read() = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_METER_H_
