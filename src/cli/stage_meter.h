// Joules of the stages of one run on a processor, where its counters can be read.
#ifndef EYESHOT_CLI_STAGE_METER_H_
#define EYESHOT_CLI_STAGE_METER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "energy/meters/meter.h"
#include "energy/meters/sampler.h"
#include "eyeshot/ledger.h"

namespace eyeshot::cli {

class StageMeter {
 public:
  // Begins to read RAPL, of the sysfs that $EYESHOT_SYSFS names, else /sys. Where nothing can be read it does nothing,
  // silently: `eyeshot energy` says why.
  StageMeter();

  // Runs of stages that a ledger should keep for an answer of so many tokens; 0 where nothing is read.
  size_t Runs(int max_tokens) const;

  // Ends the reading and fills in the joules of the stages whose runs `ledger` kept. Where some of them were not kept,
  // or a reading was lost, there are none.
  void Finish(Ledger& ledger);

 private:
  std::vector<std::unique_ptr<Meter>> meters_;
  std::optional<Sampler> sampler_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_STAGE_METER_H_
