#include "cli/run_meter.h"

#include <cstdlib>
#include <utility>

#include "energy/meters/attribution.h"
#include "energy/meters/find.h"
#include "energy/meters/gpu.h"

namespace eyeshot::cli {
namespace {

// A run of minutes needs no more; a counter of RAPL overflows in a minute at the soonest.
constexpr std::chrono::milliseconds kPeriod{500};

std::vector<std::unique_ptr<Meter>> MetersOf(const ModelInfo& info) {
  std::vector<std::unique_ptr<Meter>> meters;
  if (!info.pci_bus_id.empty()) {
    auto gpu = GpuMeter::Open(info.pci_bus_id);
    if (!gpu.ok()) return meters;
    auto meter = MeterOfGpu(info.device, *std::move(gpu));
    if (meter.ok()) meters.push_back(*std::move(meter));
    return meters;
  }
  const char* sysfs = std::getenv("EYESHOT_SYSFS");
  FoundMeters found = FindCpuMeters(sysfs != nullptr && *sysfs != '\0' ? sysfs : "/sys");
  for (std::unique_ptr<Meter>& meter : found.meters) {
    if (!OverlapsOthers(meter->info().domain)) meters.push_back(std::move(meter));
  }
  return meters;
}

}  // namespace

RunMeter::RunMeter(const ModelInfo& info) : meters_(MetersOf(info)) {
  if (!meters_.empty()) sampler_.emplace(meters_, kPeriod);
}

Joules RunMeter::SoFar() const {
  if (!sampler_) return {};
  Joules sum;
  for (const MeterTrace& trace : sampler_->Traces()) {
    const Result<EnergyCurve> curve = EnergyCurve::Make(trace.info, trace.samples);
    if (!curve.ok() || trace.last_lost) return {};
    const Joules joules = curve->Between(curve->begin_ns(), curve->end_ns());
    if (sum.source == EnergySource::kNone) {
      sum = joules;
    } else if (!AddJoules(sum, joules)) {
      return {};
    }
  }
  return sum;
}

Joules RunMeter::Finish() {
  if (sampler_) sampler_->Stop();
  return SoFar();
}

}  // namespace eyeshot::cli
