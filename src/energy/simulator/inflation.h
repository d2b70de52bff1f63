// How much more energy an answer takes with a picture than without: modality inflation (arXiv 2512.22695).
#ifndef EYESHOT_ENERGY_SIMULATOR_INFLATION_H_
#define EYESHOT_ENERGY_SIMULATOR_INFLATION_H_

#include <array>

#include "energy/simulator/machine.h"
#include "energy/simulator/work.h"

namespace eyeshot::simulator {

// Joules of each stage of one request at the highest clock, simulated.
std::array<double, kStages> StageJoules(const Machine& machine, const ModelShape& model, const Software& software,
                                        const Request& request);

// Shares of the text-only request's energy. The paper's abstract fixes neither baseline, so both are given.
struct Inflation {
  double prompt_only = 0;    // against the same text without the picture
  double iso_token = 0;      // against as many tokens, all of them text: what the encoder alone adds
  double encode_share = 0;   // of prompt_only: the encoder
  double token_share = 0;    // and the longer prompt, in prefill and decode
};
Inflation InflationOf(const Machine& machine, const ModelShape& model, const Software& software,
                      const Request& request);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_INFLATION_H_
