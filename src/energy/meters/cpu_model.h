// An estimate of a CPU's energy where no counter can be read: so many watts idle, so many more for each busy core.
#ifndef EYESHOT_ENERGY_METERS_CPU_MODEL_H_
#define EYESHOT_ENERGY_METERS_CPU_MODEL_H_

#include <memory>
#include <string>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"

namespace eyeshot {

inline constexpr char kProcFolder[] = "/proc";

// The two figures are the user's: of a wall socket's meter, or of the maker's data sheet.
struct CpuPower {
  double idle_w = 0;  // of the whole machine when it does nothing
  double busy_w = 0;  // more for each core (a processor of the kernel's) that is busy
};

// A meter whose source is always kModel. Busy time is that of all programs, of `proc`/stat (proc(5); hundredths of a
// second). Errors: kInvalidArgument (no power of a machine), kNotFound, kIo, kCorrupt.
Result<std::unique_ptr<Meter>> OpenCpuModel(const CpuPower& power, const std::string& proc = kProcFolder);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_CPU_MODEL_H_
