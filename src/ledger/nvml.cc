#include "ledger/nvml.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "ledger/nvml_library.h"

namespace eyeshot {
namespace {

constexpr unsigned kSmClock = 1;      // NVML_CLOCK_SM
constexpr unsigned kMemoryClock = 2;  // NVML_CLOCK_MEM
constexpr unsigned kGpuTemperature = 0;

struct ReasonName {
  uint64_t bit;
  std::string_view name;
};
constexpr uint64_t kIdle = 1;
constexpr ReasonName kReasons[] = {
    {1u << 1, "application clocks"}, {1u << 2, "power cap"},        {1u << 3, "hardware slowdown"},
    {1u << 4, "sync boost"},         {1u << 5, "software thermal"}, {1u << 6, "hardware thermal"},
    {1u << 7, "power brake"},        {1u << 8, "display clock"},
};

class NvmlMeter final : public GpuMeter {
 public:
  NvmlMeter(std::unique_ptr<NvmlLibrary> library, void* device) : library_(std::move(library)), device_(device) {}

  GpuReading Read() override {
    GpuReading reading = Energy();
    unsigned long long wide = 0;
    unsigned narrow = 0;
    NvmlMemory memory = {};
    NvmlUtilization utilization = {};
    if (Has(library_->power, device_, &narrow)) reading.power_w = narrow * 1e-3;
    if (Has(library_->clock, device_, kSmClock, &narrow)) reading.sm_clock_mhz = narrow;
    if (Has(library_->clock, device_, kMemoryClock, &narrow)) reading.memory_clock_mhz = narrow;
    if (Has(library_->temperature, device_, kGpuTemperature, &narrow)) reading.temperature_c = narrow;
    if (Has(library_->reasons, device_, &wide)) reading.throttle_reasons = wide;
    if (Has(library_->memory, device_, &memory)) reading.memory_used_bytes = memory.used;
    if (Has(library_->utilization, device_, &utilization)) {
      reading.busy_percent = utilization.gpu;
      reading.memory_busy_percent = utilization.memory;
    }
    return reading;
  }

  GpuReading ReadEnergy() override {
    GpuReading reading = Energy();
    unsigned milliwatts = 0;
    if (!reading.energy_j && Has(library_->power, device_, &milliwatts)) reading.power_w = milliwatts * 1e-3;
    return reading;
  }

 private:
  template <typename Function, typename... Arguments>
  static bool Has(Function function, Arguments... arguments) {
    return function != nullptr && function(arguments...) == kNvmlSuccess;
  }

  GpuReading Energy() const {
    GpuReading reading;
    unsigned long long millijoules = 0;
    if (Has(library_->energy, device_, &millijoules)) reading.energy_j = static_cast<double>(millijoules) * 1e-3;
    reading.at_ns = SteadyNowNs();
    return reading;
  }

  std::unique_ptr<NvmlLibrary> library_;
  void* device_;
};

}  // namespace

Result<std::unique_ptr<GpuMeter>> GpuMeter::Open(const std::string& pci_bus_id) {
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<NvmlLibrary> library, NvmlLibrary::Load());
  EYESHOT_ASSIGN_OR_RETURN(void* const device, library->Device(pci_bus_id));
  return std::unique_ptr<GpuMeter>(std::make_unique<NvmlMeter>(std::move(library), device));
}

Result<std::vector<std::unique_ptr<GpuMeter>>> GpuMeter::OpenAll() {
  std::vector<std::unique_ptr<GpuMeter>> meters;
  for (unsigned index = 0, count = 1; index < count; ++index) {
    EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<NvmlLibrary> library, NvmlLibrary::Load());
    void* device = nullptr;
    if (library->count == nullptr || library->by_index == nullptr || library->count(&count) != kNvmlSuccess ||
        count == 0) {
      return NotFoundError("NVML shows no GPU", "check nvidia-smi");
    }
    if (const int error = library->by_index(index, &device); error != kNvmlSuccess) {
      return NotFoundError(fmt::format("NVML doesn't show GPU {}: {}", index, library->error_string(error)),
                           "check nvidia-smi, and who may use the GPU");
    }
    meters.push_back(std::make_unique<NvmlMeter>(std::move(library), device));
  }
  return meters;
}

std::vector<std::string_view> ThrottleReasonNames(uint64_t reasons) {
  std::vector<std::string_view> names;
  uint64_t known = kIdle;
  for (const ReasonName& reason : kReasons) {
    known |= reason.bit;
    if ((reasons & reason.bit) != 0) names.push_back(reason.name);
  }
  if ((reasons & ~known) != 0) names.emplace_back("another reason");
  return names;
}

Joules JoulesBetween(const GpuReading& before, const GpuReading& after) {
  if (after.at_ns <= before.at_ns) return {};
  const double seconds = static_cast<double>(after.at_ns - before.at_ns) * 1e-9;
  if (seconds < 2 * kNvmlCounterPeriodS) return {};
  if (before.energy_j && after.energy_j) {
    // A counter that goes back was reset.
    if (*after.energy_j < *before.energy_j) return {};
    const double joules = *after.energy_j - *before.energy_j;
    const double most_power = std::max({joules / seconds, before.power_w.value_or(0), after.power_w.value_or(0)});
    const double late = most_power * kNvmlCounterPeriodS;
    return {joules, std::max(0.0, joules - late), joules + late, EnergySource::kNvmlCounter};
  }
  if (before.power_w && after.power_w) {
    const auto [low, high] = std::minmax(*before.power_w, *after.power_w);
    return {(low + high) / 2 * seconds, low * seconds, high * seconds, EnergySource::kNvmlPower};
  }
  return {};
}

}  // namespace eyeshot
