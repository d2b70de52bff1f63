// A server that decodes answers side by side and lets new ones join, as `eyeshot serve` does, with or without phases.
#ifndef EYESHOT_ENERGY_SIMULATOR_CONTINUOUS_H_
#define EYESHOT_ENERGY_SIMULATOR_CONTINUOUS_H_

#include <span>
#include <vector>

#include "energy/simulator/serving_device.h"

namespace eyeshot::simulator {

// Serves until all are done; the end of each request goes to `ends`, in the order of `arrivals`. Stages have the clocks
// that the policy plans for ServingSetup::max_batch. The switches of kStageTable have to pay within a phase.
void ServeContinuously(Device& device, const Machine& machine, Plans& plans, std::span<const double> arrivals,
                       const ServingSetup& setup, std::vector<double>& ends);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_CONTINUOUS_H_
