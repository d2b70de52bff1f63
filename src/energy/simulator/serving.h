// A discrete-event simulation of a server under a governor.
#ifndef EYESHOT_ENERGY_SIMULATOR_SERVING_H_
#define EYESHOT_ENERGY_SIMULATOR_SERVING_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "energy/simulator/governor.h"

namespace eyeshot::simulator {

// Seconds of `count` arrivals of a Poisson process, ascending; the same for a seed on every machine.
std::vector<double> PoissonArrivals(size_t count, double rate_per_s, uint64_t seed);

// A file of times in seconds, one a line, ascending. Errors: kCorrupt (names the line), kNotFound, kLimitExceeded.
Result<std::vector<double>> ReadArrivals(const std::string& path);

enum class Layout {
  kOneDevice,
  // One device that decodes answers side by side while others come (continuous batching): ServingSetup::phase_s says
  // when their pictures and prompts run.
  kContinuous,
  kTwoAlike,  // two devices that take requests in turn
  kPools,     // two devices: one encodes and prefills, one decodes, each at one clock
};

// Told of each piece of a device's time, and of the energy that went into it, in order for each device.
using EnergySink = std::function<void(double begin_s, double end_s, double joules)>;

struct ServingSetup {
  Policy policy = Policy::kRaceToIdle;
  // Requests that wait are taken together, up to so many; all are encoded, then all prefilled, then decoded side by
  // side. 1: each request for itself. Of kContinuous: answers under way, at most.
  int max_batch = 8;
  // Of kContinuous: what comes gathers until answers were decoded for so long, or none is left, and is then encoded and
  // prefilled while all answers wait (phase batching, as SchedulerOptions::phase_s). 0: before the next decoding step.
  double phase_s = 0;
  double slowdown = 0.05;  // that the policy may cost, as a share
  double slo_s = 0;  // of kSloFeedback
  double dwell_s = 0.1;  // a clock is kept at least so long before a lower one is taken
  // With pools the policy only says whether clocks are the cheapest within the slowdown (kOneClock) or the highest.
  Layout layout = Layout::kOneDevice;
  // Instead of the policy's, and kept: of the prefill for a device that encodes and prefills, or does all; of decode
  // for one that decodes.
  std::optional<StageClocks> clocks;
  EnergySink on_energy;  // may be empty
};

struct ServingResult {
  double joules_per_request = 0;  // waiting included, of all devices
  double p50_s = 0;
  double p95_s = 0;
  int64_t switches = 0;
  int64_t refused_switches = 0;  // by the dwell time, or because they would not have paid or fitted
  double busy_share = 0;  // of the devices' time
  double seconds = 0;  // from the first arrival to the last answer
};

// Equal requests that arrive at `arrivals` (seconds, ascending, not empty). A switch takes Machine::switch_ms, in which
// the device waits and draws what it does at the higher of both clocks. All results are simulated.
ServingResult Serve(const Machine& machine, const ModelShape& model, const Software& software, const Request& request,
                    std::span<const double> arrivals, const ServingSetup& setup);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_SERVING_H_
