#include "cli/stage_meter.h"

#include <algorithm>
#include <utility>

#include "cli/governor_flags.h"
#include "energy/meters/attribution.h"
#include "energy/meters/find.h"

namespace eyeshot::cli {
namespace {

// Runs of stages beside those of tokens: pictures and frames, decoded and encoded.
constexpr size_t kMediaRuns = 4096;
constexpr size_t kRunsPerToken = 3;  // sampling, text, the next step

}  // namespace

StageMeter::StageMeter() : meters_(MetersOfDevice("", SysfsRoot())) {
  if (!meters_.empty()) sampler_.emplace(meters_);
}

size_t StageMeter::Runs(int max_tokens) const {
  return meters_.empty() ? 0 : kMediaRuns + kRunsPerToken * static_cast<size_t>(std::max(0, max_tokens));
}

void StageMeter::Finish(Ledger& ledger) {
  if (!sampler_) return;
  sampler_->Stop();
  if (ledger.dropped_runs() > 0) return;
  std::vector<EnergyCurve> curves;
  for (const MeterTrace& trace : sampler_->Traces()) {
    Result<EnergyCurve> curve = EnergyCurve::Make(trace.info, trace.samples);
    if (!curve.ok() || trace.last_lost) return;
    curves.push_back(*std::move(curve));
  }
  // An error leaves the ledger without joules, which says the same.
  static_cast<void>(FillJoules(curves, ledger));
}

}  // namespace eyeshot::cli
