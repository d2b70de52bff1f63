#include "energy/meters/live_shares.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"
#include "base/clock.h"
#include "energy/meters/attribution.h"
#include "energy/meters/sampler.h"

namespace eyeshot {
namespace {

constexpr size_t kNobody = kStageCount;

void Accumulate(const Joules& part, double share, Joules& sum) {
  sum.value += share * part.value;
  sum.low += share * part.low;
  sum.high += share * part.high;
}

}  // namespace

double EnergyAccount::pending_ns() const { return std::accumulate(work_ns_.begin(), work_ns_.end(), 0.0); }

LiveShares::LiveShares(std::span<const std::unique_ptr<Meter>> meters) : meters_(meters) {
  for (const std::unique_ptr<Meter>& meter : meters) {
    const MeterInfo& info = meter->info();
    source_ = info.source;
    resolution_s_ = std::max(resolution_s_, info.resolution_s);
    resolution_j_ += info.resolution_j;
    relative_error_ = std::max(relative_error_, info.relative_error);
  }
  on_ = !meters.empty();
  on_ = on_ && Sum(first_j_, last_ns_);
  last_j_ = first_j_;
}

bool LiveShares::Sum(double& joules, uint64_t& at_ns) {
  const uint64_t begin = SteadyNowNs();
  double sum = 0;
  for (const std::unique_ptr<Meter>& meter : meters_) {
    const Result<EnergySample> sample = meter->Read();
    if (!sample.ok()) {
      if (sample.status().code() != StatusCode::kIo) on_ = false;  // no later reading will be right
      return false;
    }
    sum += sample->joules;
    at_ns = sample->at_ns;
  }
  joules = sum;
  const auto took_ns = static_cast<double>(SteadyNowNs() - begin);
  const double period_ns =
      std::max({1e6 * static_cast<double>(kSamplingPeriod.count()), took_ns / kSamplingShare, 2e9 * resolution_s_});
  due_ns_ = at_ns + static_cast<uint64_t>(period_ns);
  return true;
}

// `share` of the time between two readings was a stage's.
Joules LiveShares::OfStage(double joules, double seconds, double share) const {
  const double most = kBurst * peak_w_ * seconds;
  return {joules * share, std::clamp(joules - most * (1 - share), 0.0, joules * share),
          std::clamp(most * share, joules * share, joules), source_};
}

void LiveShares::Read(std::span<EnergyAccount* const> accounts) {
  if (!on_) return;
  double joules = 0;
  uint64_t at_ns = 0;
  if (!Sum(joules, at_ns)) {
    // The next good reading makes up for it, of those that are still there.
    for (EnergyAccount* const account : accounts) account->lost_ = account->lost_ || !on_;
    return;
  }
  const double seconds = static_cast<double>(at_ns - last_ns_) * 1e-9;
  const double taken = joules - last_j_;
  if (seconds >= resolution_s_ && seconds > 0) peak_w_ = std::max(peak_w_, taken / seconds);
  Works works{};
  for (const EnergyAccount* const account : accounts) {
    for (size_t i = 0; i < kStageCount; ++i) works[i] += account->work_ns_[i];
  }
  works[kNobody] = waiting_ns_;
  const double all = std::accumulate(works.begin(), works.end(), 0.0);
  if (all <= 0) works[kNobody] = 1;
  for (size_t i = 0; i <= kStageCount; ++i) {
    if (works[i] <= 0) continue;
    const Joules stage = OfStage(taken, seconds, works[i] / std::max(all, works[i]));
    if (i == kNobody) {
      Accumulate(stage, 1, nobody_);
      continue;
    }
    for (EnergyAccount* const account : accounts) {
      Accumulate(stage, account->work_ns_[i] / works[i], account->joules_[i]);
    }
  }
  for (EnergyAccount* const account : accounts) account->work_ns_ = {};
  nobody_.source = source_;
  waiting_ns_ = 0;
  last_ns_ = at_ns;
  last_j_ = joules;
}

void LiveShares::Finish(const EnergyAccount& account, Ledger& ledger) const {
  if (source_ == EnergySource::kNone || account.lost_ || account.pending_ns() > 0) return;
  Joules total;
  for (const Joules& joules : account.joules_) Accumulate(joules, 1, total);
  if (total.value <= 0) return;
  const double ends = 2 * resolution_s_ * peak_w_ + resolution_j_;
  for (size_t i = 0; i < kStageCount; ++i) {
    Joules joules = account.joules_[i];
    if (joules.value <= 0) continue;
    const double error = relative_error_ * joules.value + ends * joules.value / total.value;
    joules.low = std::max(0.0, joules.low - error);
    joules.high += error;
    joules.source = source_;
    ledger.SetJoules(static_cast<StageId>(i), joules);
  }
}

}  // namespace eyeshot
