// Phases of `eyeshot energy`: one request again and again, with meters read beside it.
#ifndef EYESHOT_CLI_ENERGY_PHASES_H_
#define EYESHOT_CLI_ENERGY_PHASES_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "energy/meters/attribution.h"
#include "energy/meters/meter.h"
#include "energy/meters/phases.h"
#include "energy/meters/sampler.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"
#include "ledger/nvml.h"

namespace eyeshot::cli {

// Stages by StageId, and then the time of a request that belongs to none.
inline constexpr size_t kBetween = kStageCount;
inline constexpr size_t kTimes = kStageCount + 1;
std::string_view TimeName(size_t index);  // "encode", ..., "between"

// Meters of one kind whose joules are added: all packages and memories of a machine, or its GPU.
struct MeterGroup {
  std::string name;  // "cpu", "gpu", "model"
  EnergySource source = EnergySource::kNone;
  double relative_error = 0;
  std::vector<size_t> meters;  // places in the list of meters
};
std::vector<MeterGroup> GroupsOf(std::span<const std::unique_ptr<Meter>> meters);

// Mean times of a request, in seconds.
struct RequestTimes {
  double request_s = 0;
  std::array<double, kTimes> wall_s{};
  std::array<double, kTimes> device_s{};  // 0: not a GPU's

  // For how long each stage decides what a meter sees. Of a GPU's: while it is at a stage, what the host does besides
  // is nobody's; the host's stages have the time in which the GPU waits.
  std::array<double, kTimes> Exposed(EnergySource source) const;
};

// What one group of meters said of a phase.
struct GroupPower {
  bool known = false;
  double watts = 0;
  double sigma_w = 0;
  double period_s = 0;  // between two moves of the counter
  RequestTimes times;  // of the requests that were measured
  std::vector<std::array<double, 2>> curve;  // seconds of the steady clock, watts until then
  std::string note;  // why nothing is known
};

struct PhaseResult {
  std::string name;
  uint64_t begin_ns = 0;
  uint64_t end_ns = 0;
  size_t requests = 0;
  RequestTimes times;  // of all requests but the first
  Ledger mean;  // counts of one request: FLOPs, bytes, tokens
  std::vector<GroupPower> groups;
  std::optional<GpuReading> gpu;  // at its end
};

// Runs phases. The meters' counters are read each few milliseconds, while a phase runs and no longer.
class PhaseRunner {
 public:
  // `gpu` (may be null) is read for clocks and the like. Both must live longer.
  PhaseRunner(std::span<const std::unique_ptr<Meter>> meters, GpuMeter* gpu)
      : meters_(meters), groups_(GroupsOf(meters)), gpu_(gpu) {}

  std::span<const MeterGroup> groups() const { return groups_; }
  // The shortest phase that can give a figure, of requests that take `request_s`.
  double ShortestPhase(double request_s) const;
  // The counters' period, as it was seen; until then what the meter says.
  void SetPeriod(double seconds) { period_s_ = seconds; }

  using Request = std::function<Result<Ledger>()>;
  // Repeats `request` for `seconds`, and for as many times as are needed. Errors: those of the request.
  Result<PhaseResult> Run(const std::string& name, double seconds, const Request& request);
  // Nothing happens for `seconds`.
  PhaseResult Wait(const std::string& name, double seconds);

  double sampler_cpu_s() const { return sampler_cpu_s_; }
  double sampled_s() const { return sampled_s_; }

 private:
  void Finish(Sampler& sampler, std::span<const uint64_t> boundaries, std::span<const Ledger> ledgers,
              PhaseResult& result);
  GroupPower PowerOf(const MeterGroup& group, std::span<const MeterTrace> traces, std::span<const uint64_t> boundaries,
                     std::span<const Ledger> ledgers) const;

  std::span<const std::unique_ptr<Meter>> meters_;
  std::vector<MeterGroup> groups_;
  GpuMeter* gpu_;
  double period_s_ = 0;  // 0: not seen yet
  double sampler_cpu_s_ = 0;
  double sampled_s_ = 0;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_PHASES_H_
