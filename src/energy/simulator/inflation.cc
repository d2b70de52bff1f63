#include "energy/simulator/inflation.h"

#include <numeric>

#include "energy/simulator/power.h"

namespace eyeshot::simulator {

std::array<double, kStages> StageJoules(const Machine& machine, const ModelShape& model, const Software& software,
                                        const Request& request) {
  std::array<double, kStages> joules{};
  for (int s = 0; s < kStages; ++s) {
    const auto stage = static_cast<Stage>(s);
    const Work work = StageWork(stage, model, software, request, 1);
    joules[s] = StageSteps(stage, request) * RunAt(machine, work, machine.clock_max_mhz).joules();
  }
  return joules;
}

Inflation InflationOf(const Machine& machine, const ModelShape& model, const Software& software,
                      const Request& request) {
  const auto sum = [](const std::array<double, kStages>& joules) {
    return std::accumulate(joules.begin(), joules.end(), 0.0);
  };
  const auto with_picture = StageJoules(machine, model, software, request);
  const double text = sum(StageJoules(machine, model, software, {0, 0, request.text_tokens, request.output_tokens}));
  const double as_long = sum(StageJoules(machine, model, software,
                                         {0, 0, request.text_tokens + request.visual_tokens, request.output_tokens}));
  Inflation inflation;
  inflation.prompt_only = sum(with_picture) / text - 1;
  inflation.iso_token = sum(with_picture) / as_long - 1;
  inflation.encode_share = with_picture[static_cast<int>(Stage::kEncode)] / text;
  inflation.token_share = inflation.prompt_only - inflation.encode_share;
  return inflation;
}

}  // namespace eyeshot::simulator
