// A GPU's clock by NVML.
#include <utility>

#include "base/error.h"
#include "energy/clocks/clock_control.h"
#include "energy/clocks/gpu_settings.h"

namespace eyeshot {
namespace {

constexpr double kMilliwatts = 1000;

class GpuClocks final : public ClockControl {
 public:
  GpuClocks(std::string address, std::unique_ptr<GpuSettings> settings, std::vector<double> clocks)
      : address_(std::move(address)), settings_(std::move(settings)), clocks_(std::move(clocks)) {}

  const std::vector<double>& clocks_mhz() const override { return clocks_; }

  std::vector<MachineSetting> settings() const override {
    std::vector<MachineSetting> all = {{MachineSetting::Kind::kGpuClocks, address_}};
    if (settings_->PowerLimitMw().ok()) all.push_back({MachineSetting::Kind::kGpuPower, address_});
    return all;
  }

  Status SetHighest(double mhz) override {
    return settings_->LockClocks(static_cast<unsigned>(lowest_mhz()), static_cast<unsigned>(mhz));
  }

  Status SetPowerLimit(double watts) override {
    EYESHOT_ASSIGN_OR_RETURN(const auto range, settings_->PowerLimitsMw());
    const double milliwatts = watts * kMilliwatts;
    if (milliwatts < range.first || milliwatts > range.second) {
      return InvalidArgumentError(
          fmt::format("a power limit of {:g} W for GPU {}", watts, address_),
          fmt::format("this board takes {:g} to {:g} W", range.first / kMilliwatts, range.second / kMilliwatts));
    }
    return settings_->SetPowerLimitMw(static_cast<uint32_t>(milliwatts));
  }

  Status SetPreference(const std::string& preference) override {
    return UnsupportedError(fmt::format("the energy preference '{}' for a GPU", preference),
                            "it is for processors; use --power-limit WATTS");
  }

 private:
  std::string address_;
  std::unique_ptr<GpuSettings> settings_;
  std::vector<double> clocks_;
};

}  // namespace

Result<std::unique_ptr<ClockControl>> OpenGpuClocks(const std::string& pci_bus_id) {
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<GpuSettings> settings, GpuSettings::Open(pci_bus_id));
  EYESHOT_ASSIGN_OR_RETURN(std::vector<double> clocks, settings->Clocks());
  return std::unique_ptr<ClockControl>(std::make_unique<GpuClocks>(pci_bus_id, std::move(settings), std::move(clocks)));
}

}  // namespace eyeshot
