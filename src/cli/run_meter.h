// Joules of a run as a whole, while it goes on: of the machine's processors, or of the model's GPU.
#ifndef EYESHOT_CLI_RUN_METER_H_
#define EYESHOT_CLI_RUN_METER_H_

#include <memory>
#include <optional>
#include <vector>

#include "energy/meters/meter.h"
#include "energy/meters/sampler.h"
#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"

namespace eyeshot::cli {

class RunMeter {
 public:
  // Begins to read the counters of where the model runs: RAPL, of the sysfs that $EYESHOT_SYSFS names, else /sys; or
  // NVML. Where nothing can be read it does nothing, silently: `eyeshot energy` says why.
  explicit RunMeter(const ModelInfo& info);

  // Since it began, of all that is measured there, whatever else worked on the machine. Source kNone: no meter, a
  // reading was lost, or the time was too short.
  Joules SoFar() const;
  // Reads once more, and ends.
  Joules Finish();

 private:
  std::vector<std::unique_ptr<Meter>> meters_;
  std::optional<Sampler> sampler_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_RUN_METER_H_
