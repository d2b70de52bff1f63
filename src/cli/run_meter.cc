#include "cli/run_meter.h"

#include <utility>

#include "cli/governor_flags.h"
#include "energy/meters/attribution.h"
#include "energy/meters/find.h"

namespace eyeshot::cli {
namespace {

// A run of minutes needs no more; a counter of RAPL overflows in a minute at the soonest.
constexpr std::chrono::milliseconds kPeriod{500};

}  // namespace

RunMeter::RunMeter(const ModelInfo& info) : meters_(MetersOfDevice(info.pci_bus_id, SysfsRoot())) {
  if (!meters_.empty()) sampler_.emplace(meters_, kPeriod);
}

Joules RunMeter::SoFar() const {
  if (!sampler_) return {};
  Joules sum;
  for (const MeterTrace& trace : sampler_->Traces()) {
    const Result<EnergyCurve> curve = EnergyCurve::Make(trace.info, trace.samples);
    if (!curve.ok() || trace.last_lost) return {};
    const Joules joules = curve->Between(curve->begin_ns(), curve->end_ns());
    if (!AddJoules(sum, joules)) return {};
  }
  return sum;
}

Joules RunMeter::Finish() {
  if (sampler_) sampler_->Stop();
  return SoFar();
}

}  // namespace eyeshot::cli
