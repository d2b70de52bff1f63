// NVIDIA GPUs as meters: the energy counter, or power added up over time where there is none.
//
// Sources: NVML API Reference Guide, nvmlDeviceGetTotalEnergyConsumption and nvmlDeviceGetPowerUsage (from Ampere on,
// GA100 left out, the mean of the last second; accurate to 5 % where a figure was ever given).
#ifndef EYESHOT_ENERGY_METERS_GPU_H_
#define EYESHOT_ENERGY_METERS_GPU_H_

#include <memory>
#include <string>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"
#include "ledger/nvml.h"

namespace eyeshot {

// A meter over what `gpu` says: its counter, else its power. Errors: kUnsupported, where it says neither.
Result<std::unique_ptr<Meter>> MeterOfGpu(std::string name, std::unique_ptr<GpuMeter> gpu);

// One for each GPU of this machine. Errors: of GpuMeter::OpenAll() and MeterOfGpu().
Result<std::vector<std::unique_ptr<Meter>>> OpenGpuMeters();

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_GPU_H_
