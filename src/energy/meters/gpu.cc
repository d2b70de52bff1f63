#include "energy/meters/gpu.h"

#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "energy/meters/counter.h"

namespace eyeshot {
namespace {

constexpr double kCounterStepJ = 1e-3;
constexpr double kPowerPeriodS = 1.0;
constexpr double kPowerError = 0.05;

class NvmlCounterMeter final : public Meter {
 public:
  NvmlCounterMeter(std::string name, std::unique_ptr<GpuMeter> gpu)
      : info_{.name = std::move(name),
              .domain = EnergyDomain::kGpu,
              .source = EnergySource::kNvmlCounter,
              .resolution_j = kCounterStepJ,
              .resolution_s = kNvmlCounterPeriodS},
        gpu_(std::move(gpu)),
        counter_(info_.name, kNvmlCounterPeriodS, /*range_j=*/0) {}

  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    const GpuReading reading = gpu_->ReadEnergy();
    if (!reading.energy_j) return IoError(fmt::format("{}: NVML says no energy", info_.name), "check nvidia-smi");
    return counter_.Add(reading.at_ns, *reading.energy_j);
  }

 private:
  MeterInfo info_;
  std::unique_ptr<GpuMeter> gpu_;
  EnergyCounter counter_;
};

// Adds up power by the trapezoidal rule.
class NvmlPowerMeter final : public Meter {
 public:
  NvmlPowerMeter(std::string name, std::unique_ptr<GpuMeter> gpu)
      : info_{.name = std::move(name),
              .domain = EnergyDomain::kGpu,
              .source = EnergySource::kNvmlPower,
              .resolution_j = 0,
              .resolution_s = kPowerPeriodS,
              .relative_error = kPowerError},
        gpu_(std::move(gpu)) {}

  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    const GpuReading reading = gpu_->ReadEnergy();
    if (!reading.power_w) return IoError(fmt::format("{}: NVML says no power", info_.name), "check nvidia-smi");
    const double power_w = *reading.power_w;
    if (!(power_w >= 0 && power_w <= limits::kMaxCounterWatts)) {
      return CorruptError(fmt::format("{}: {} W is no power of a GPU", info_.name, power_w), "check nvidia-smi");
    }
    if (last_.at_ns != 0 && reading.at_ns > last_.at_ns) {
      last_.joules += (last_power_w_ + power_w) / 2 * static_cast<double>(reading.at_ns - last_.at_ns) * 1e-9;
    }
    last_.at_ns = reading.at_ns;
    last_power_w_ = power_w;
    return last_;
  }

 private:
  MeterInfo info_;
  std::unique_ptr<GpuMeter> gpu_;
  EnergySample last_;
  double last_power_w_ = 0;
};

}  // namespace

Result<std::unique_ptr<Meter>> MeterOfGpu(std::string name, std::unique_ptr<GpuMeter> gpu) {
  const GpuReading first = gpu->Read();
  if (first.energy_j) {
    return std::unique_ptr<Meter>(std::make_unique<NvmlCounterMeter>(std::move(name), std::move(gpu)));
  }
  if (first.power_w) {
    return std::unique_ptr<Meter>(std::make_unique<NvmlPowerMeter>(std::move(name), std::move(gpu)));
  }
  return UnsupportedError(fmt::format("{}: says neither energy nor power", name), "this GPU can't be measured by NVML");
}

Result<std::vector<std::unique_ptr<Meter>>> OpenGpuMeters() {
  EYESHOT_ASSIGN_OR_RETURN(std::vector<std::unique_ptr<GpuMeter>> gpus, GpuMeter::OpenAll());
  std::vector<std::unique_ptr<Meter>> meters;
  for (size_t i = 0; i < gpus.size(); ++i) {
    EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<Meter> meter,
                             MeterOfGpu(fmt::format("NVML GPU {}", i), std::move(gpus[i])));
    meters.push_back(std::move(meter));
  }
  return meters;
}

}  // namespace eyeshot
