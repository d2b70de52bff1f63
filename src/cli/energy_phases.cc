#include "cli/energy_phases.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

#include "base/clock.h"

namespace eyeshot::cli {
namespace {

// Fine beside the fastest period of NVML's counter (20 ms), so that the moment of a move is known well.
constexpr std::chrono::milliseconds kReadingPeriod{5};
// Of a core, for readings: more than in the background, since nothing else is to be done here.
constexpr double kReadingShare = 0.1;
// Requests of a phase: the first is not measured, of the others some.
constexpr size_t kMinRequests = 3;
// Moves of the counter that a phase should see after its lead.
constexpr double kMoves = 5;
// Points of a power curve that are kept of one phase.
constexpr size_t kMaxCurvePoints = 100;
constexpr double kNs = 1e-9;

RequestTimes MeanTimes(std::span<const uint64_t> boundaries, std::span<const Ledger> ledgers, size_t first,
                       size_t last) {
  RequestTimes times;
  const auto count = static_cast<double>(last - first);
  times.request_s = static_cast<double>(boundaries[last] - boundaries[first]) * kNs / count;
  double stages = 0;
  for (size_t stage = 0; stage < kStageCount; ++stage) {
    for (const Ledger& ledger : ledgers.subspan(first, last - first)) {
      const StageCost& cost = ledger.cost(static_cast<StageId>(stage));
      times.wall_s[stage] += static_cast<double>(cost.wall_ns) * kNs / count;
      times.device_s[stage] += static_cast<double>(cost.device_ns) * kNs / count;
    }
    stages += times.wall_s[stage];
  }
  times.wall_s[kBetween] = std::max(0.0, times.request_s - stages);
  return times;
}

// Counts of one request; they are the same in all, but for the tokens of an answer that ends early.
Ledger MeanCounts(std::span<const Ledger> ledgers) {
  Ledger mean;
  if (ledgers.empty()) return mean;
  for (size_t stage = 0; stage < kStageCount; ++stage) {
    StageCost cost = ledgers.back().cost(static_cast<StageId>(stage));
    uint64_t wall_ns = 0;
    uint64_t device_ns = 0;
    for (const Ledger& ledger : ledgers) {
      wall_ns += ledger.cost(static_cast<StageId>(stage)).wall_ns;
      device_ns += ledger.cost(static_cast<StageId>(stage)).device_ns;
    }
    cost.wall_ns = wall_ns / ledgers.size();
    cost.device_ns = device_ns / ledgers.size();
    cost.joules = {};
    if (cost.runs > 0) mean.Add(static_cast<StageId>(stage), cost);
  }
  return mean;
}

// Mean powers of at most kMaxCurvePoints equal parts of the phase.
void AddCurve(const MeterTrace& trace, std::vector<std::array<double, 2>>& curve) {
  std::vector<EnergySample> moves;
  for (const EnergySample& sample : trace.samples) {
    if (moves.empty() || sample.joules > moves.back().joules) moves.push_back(sample);
  }
  const size_t step = moves.size() / kMaxCurvePoints + 1;
  std::vector<std::array<double, 2>> own;
  for (size_t i = step; i < moves.size(); i += step) {
    const double seconds = static_cast<double>(moves[i].at_ns - moves[i - step].at_ns) * kNs;
    if (seconds <= 0) continue;
    own.push_back({static_cast<double>(moves[i].at_ns) * kNs, (moves[i].joules - moves[i - step].joules) / seconds});
  }
  if (curve.empty()) {
    curve = std::move(own);
    return;
  }
  // Meters of one group are read one after the other, so that their points lie together.
  for (size_t i = 0; i < std::min(curve.size(), own.size()); ++i) curve[i][1] += own[i][1];
}

std::string GroupName(EnergySource source) {
  switch (source) {
    case EnergySource::kRapl: return "cpu";
    case EnergySource::kNvmlCounter:
    case EnergySource::kNvmlPower: return "gpu";
    default: return "model";
  }
}

}  // namespace

std::string_view TimeName(size_t index) {
  return index == kBetween ? "between" : StageName(static_cast<StageId>(index));
}

std::vector<MeterGroup> GroupsOf(std::span<const std::unique_ptr<Meter>> meters) {
  std::vector<MeterGroup> groups;
  for (size_t i = 0; i < meters.size(); ++i) {
    const MeterInfo& info = meters[i]->info();
    if (OverlapsOthers(info.domain)) continue;
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const MeterGroup& known) { return known.source == info.source; });
    if (group == groups.end()) {
      groups.push_back({.name = GroupName(info.source), .source = info.source});
      group = groups.end() - 1;
    }
    group->relative_error = std::max(group->relative_error, info.relative_error);
    group->meters.push_back(i);
  }
  return groups;
}

std::array<double, kTimes> RequestTimes::Exposed(EnergySource source) const {
  std::array<double, kTimes> exposed = wall_s;
  if (source != EnergySource::kNvmlCounter && source != EnergySource::kNvmlPower) return exposed;
  double device = 0;
  double host = 0;
  for (size_t i = 0; i < kTimes; ++i) {
    if (device_s[i] > 0) exposed[i] = std::max(wall_s[i], device_s[i]);
    (device_s[i] > 0 ? device : host) += exposed[i];
  }
  if (device == 0) return exposed;
  const double waiting = std::max(0.0, request_s - device);
  for (size_t i = 0; i < kTimes; ++i) {
    if (device_s[i] == 0 && host > 0) exposed[i] *= std::min(1.0, waiting / host);
  }
  return exposed;
}

double PhaseRunner::ShortestPhase(double request_s) const {
  double shortest = static_cast<double>(kMinRequests) * request_s;
  for (const std::unique_ptr<Meter>& meter : meters_) {
    const double lead = meter->info().resolution_s;
    const double period = period_s_ > 0 ? period_s_ : lead;
    shortest = std::max(shortest, lead + kMoves * period + request_s);
  }
  return shortest;
}

Result<PhaseResult> PhaseRunner::Run(const std::string& name, double seconds, const Request& request) {
  PhaseResult result{.name = name};
  std::vector<uint64_t> boundaries;
  std::vector<Ledger> ledgers;
  Sampler sampler(meters_, kReadingPeriod, kReadingShare);
  boundaries.push_back(SteadyNowNs());
  const uint64_t end = boundaries.front() + static_cast<uint64_t>(seconds / kNs);
  while (boundaries.back() < end || ledgers.size() < kMinRequests) {
    Result<Ledger> ledger = request();
    if (!ledger.ok()) return ledger.status();
    boundaries.push_back(SteadyNowNs());
    ledgers.push_back(*std::move(ledger));
  }
  Finish(sampler, boundaries, ledgers, result);
  return result;
}

PhaseResult PhaseRunner::Wait(const std::string& name, double seconds) {
  PhaseResult result{.name = name};
  // Short pieces stand for requests, so that the phase ends near the counter's last move.
  constexpr std::chrono::milliseconds kPiece{1};
  std::vector<uint64_t> boundaries;
  Sampler sampler(meters_, kReadingPeriod, kReadingShare);
  boundaries.push_back(SteadyNowNs());
  const uint64_t end = boundaries.front() + static_cast<uint64_t>(seconds / kNs);
  while (boundaries.back() < end || boundaries.size() < 2) {
    std::this_thread::sleep_for(kPiece);
    boundaries.push_back(SteadyNowNs());
  }
  Finish(sampler, boundaries, std::vector<Ledger>(boundaries.size() - 1), result);
  return result;
}

void PhaseRunner::Finish(Sampler& sampler, std::span<const uint64_t> boundaries, std::span<const Ledger> ledgers,
                         PhaseResult& result) {
  sampler.Stop();
  sampler_cpu_s_ += sampler.cpu_seconds();
  result.begin_ns = boundaries.front();
  result.end_ns = boundaries.back();
  sampled_s_ += static_cast<double>(result.end_ns - result.begin_ns) * kNs;
  result.requests = ledgers.size();
  result.mean = MeanCounts(ledgers);
  result.times = MeanTimes(boundaries, ledgers, std::min<size_t>(1, ledgers.size() - 1), ledgers.size());
  if (gpu_ != nullptr) result.gpu = gpu_->Read();
  const std::vector<MeterTrace> traces = sampler.Traces();
  for (const MeterGroup& group : groups_) result.groups.push_back(PowerOf(group, traces, boundaries, ledgers));
}

GroupPower PhaseRunner::PowerOf(const MeterGroup& group, std::span<const MeterTrace> traces,
                                std::span<const uint64_t> boundaries, std::span<const Ledger> ledgers) const {
  GroupPower power;
  double variance = 0;
  size_t first = 0;
  size_t last = 0;
  for (const size_t index : group.meters) {
    const MeterTrace& trace = traces[index];
    const auto lead_ns = static_cast<uint64_t>(trace.info.resolution_s / kNs);
    const Result<PhaseEnergy> energy = EnergyOfPhase(trace.info, trace.samples, boundaries, lead_ns);
    if (trace.last_lost || !energy.ok()) {
      power.note = trace.failure.ok() ? energy.status().message() : trace.failure.message();
      power.known = false;
      break;
    }
    power.known = true;
    power.watts += energy->watts();
    variance += energy->sigma_w() * energy->sigma_w();
    power.period_s = std::max(power.period_s, energy->period_s);
    first = energy->first;
    last = energy->last;
    AddCurve(trace, power.curve);
  }
  if (!power.known) return power;
  power.sigma_w = std::sqrt(variance);
  power.times = MeanTimes(boundaries, ledgers, first, last);
  return power;
}

}  // namespace eyeshot::cli
