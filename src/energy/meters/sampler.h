// Sampler: a thread that reads meters again and again, so that what runs need only note when its stages began and
// ended.
#ifndef EYESHOT_ENERGY_METERS_SAMPLER_H_
#define EYESHOT_ENERGY_METERS_SAMPLER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "energy/meters/meter.h"
#include "eyeshot/status.h"

namespace eyeshot {

// 50 readings a second: a stage of 0.1 s has five, and a thread that wakes so rarely costs next to nothing.
inline constexpr std::chrono::milliseconds kSamplingPeriod{20};
// Of a core. A reading of NVML's counter takes some milliseconds of one: then there are fewer readings.
inline constexpr double kSamplingShare = 0.005;

// What a meter said over time.
struct MeterTrace {
  MeterInfo info;
  std::vector<EnergySample> samples;
  uint64_t lost = 0;  // readings that failed
  bool last_lost = false;  // the latest did: the samples don't reach to the end
  Status failure;          // of the first that did
};

class Sampler {
 public:
  // The first samples are taken before this returns. `meters` must live longer. Readings are `period` apart or, where
  // the thread would take more than `most_share` of a core, further.
  explicit Sampler(std::span<const std::unique_ptr<Meter>> meters, std::chrono::milliseconds period = kSamplingPeriod,
                   double most_share = kSamplingShare);
  ~Sampler() { Stop(); }
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Takes the last samples and ends. Later calls do nothing.
  void Stop();

  // So far, one for each meter, in their order. When a trace is full (limits::kMaxEnergySamples) every second sample is
  // dropped: the past becomes coarser, but none of its energy is lost.
  std::vector<MeterTrace> Traces() const;
  // Processor time that the thread took, in seconds. REQUIRES: stopped.
  double cpu_seconds() const { return cpu_seconds_; }

 private:
  void Run();
  void Sample();

  const std::span<const std::unique_ptr<Meter>> meters_;
  const std::chrono::milliseconds period_;
  const double most_share_;
  mutable std::mutex mutex_;  // of all below but cpu_seconds_
  std::condition_variable stop_wanted_;
  bool stopping_ = false;
  std::vector<MeterTrace> traces_;
  double cpu_seconds_ = 0;
  std::thread thread_;
};

// Drops every second sample, but neither the first nor the last.
void ThinOut(std::vector<EnergySample>& samples);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_METERS_SAMPLER_H_
