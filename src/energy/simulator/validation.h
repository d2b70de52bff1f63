// The simulator beside published measurements that none of its parameters were solved from. They were known when
// assumptions were made (docs/energy.md): a check of plausibility, no blind test.
//
// Parameters come from: vendors' data sheets; A800 energies over clocks (arXiv 2608.01891: voltage, share of power that
// follows the clock); an RTX PRO 6000 (arXiv 2501.08219: the same share); idle power and rows below 600 W of
// transformers on an H100; text-only rows of gemma-3 under vLLM (ML.ENERGY, arXiv 2505.06371); the level of A100 power
// (arXiv 2602.05116); efficiencies of FlashAttention-2 and -3 (abstracts of arXiv 2307.08691 and 2407.08608). Each
// machine file names the source of each figure. The rows here are none of these.
#ifndef EYESHOT_ENERGY_SIMULATOR_VALIDATION_H_
#define EYESHOT_ENERGY_SIMULATOR_VALIDATION_H_

#include <string>
#include <string_view>
#include <vector>

#include "energy/simulator/machine.h"

namespace eyeshot::simulator {

struct Check {
  std::string group;  // rows of one source
  std::string what;
  std::string_view unit;
  double predicted = 0;
  double published = 0;
  double bound = 0;  // on |error|; 0: none is set, the row is there to be seen
  bool absolute = false;  // the bound is in the row's unit; else a share of what was published

  double error() const { return absolute ? predicted - published : predicted / published - 1; }
  bool holds() const { return bound <= 0 || (error() <= bound && error() >= -bound); }
};

// Of `dir`'s machines a100-sxm, h100-sxm and h200.
Result<std::vector<Check>> ValidationChecks(const std::string& dir);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_VALIDATION_H_
