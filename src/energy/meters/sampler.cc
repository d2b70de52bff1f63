#include "energy/meters/sampler.h"

#include <algorithm>
#include <ctime>

#include "base/limits.h"

namespace eyeshot {
namespace {

double ThreadCpuSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

void ThinOut(std::vector<EnergySample>& samples) {
  if (samples.size() < 3) return;
  const EnergySample last = samples.back();
  size_t kept = 0;
  for (size_t i = 0; i < samples.size(); i += 2) samples[kept++] = samples[i];
  samples.resize(kept);
  if (samples.back().at_ns != last.at_ns) samples.push_back(last);
}

Sampler::Sampler(std::span<const std::unique_ptr<Meter>> meters, std::chrono::milliseconds period, double most_share)
    : meters_(meters), period_(period), most_share_(most_share) {
  for (const std::unique_ptr<Meter>& meter : meters_) {
    traces_.push_back({.info = meter->info()});
    traces_.back().samples.reserve(limits::kMaxEnergySamples);
  }
  Sample();
  thread_ = std::thread([this] { Run(); });
}

void Sampler::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_wanted_.notify_one();
  thread_.join();
  Sample();
}

void Sampler::Run() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  auto next = start;
  std::unique_lock lock(mutex_);
  while (true) {
    const std::chrono::duration<double> paid(ThreadCpuSeconds() / most_share_);
    // After a long sleep of the machine no readings are made up for.
    next = std::max({next + period_, Clock::now(), start + std::chrono::duration_cast<Clock::duration>(paid)});
    if (stop_wanted_.wait_until(lock, next, [this] { return stopping_; })) break;
    lock.unlock();
    Sample();
    lock.lock();
  }
  cpu_seconds_ = ThreadCpuSeconds();
}

void Sampler::Sample() {
  for (size_t i = 0; i < meters_.size(); ++i) {
    const Result<EnergySample> sample = meters_[i]->Read();
    const std::lock_guard lock(mutex_);
    MeterTrace& trace = traces_[i];
    trace.last_lost = !sample.ok();
    if (!sample.ok()) {
      if (++trace.lost == 1) trace.failure = sample.status();
      continue;
    }
    if (trace.samples.size() == limits::kMaxEnergySamples) ThinOut(trace.samples);
    trace.samples.push_back(*sample);
  }
}

std::vector<MeterTrace> Sampler::Traces() const {
  const std::lock_guard lock(mutex_);
  return traces_;
}

}  // namespace eyeshot
