// A profile: what each stage took in time and energy at each clock, measured by `eyeshot tune` for one model on one
// machine, and how many threads decoding needs.
#ifndef EYESHOT_ENERGY_GOVERNORS_PROFILE_H_
#define EYESHOT_ENERGY_GOVERNORS_PROFILE_H_

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

// Stages that have a clock of their own. Pictures' decoding and cutting, the connector and reducers go with encoding.
enum class GovernedStage { kEncode, kPrefill, kDecode };
inline constexpr size_t kGovernedStages = 3;
std::string_view GovernedStageName(GovernedStage stage);  // "encode", "prefill", "decode"
// Empty: it runs at whatever clock there is.
std::optional<GovernedStage> GovernedStageOf(StageId id);

// One stage of a request at one clock.
struct ClockPoint {
  double clock_mhz = 0;
  double seconds = 0;
  std::optional<double> joules;  // measured; empty: no meter
};

// time = fixed + per_ghz / f: what waits for memory or the host, and what computes. power = base + cubic f^3 (CMOS with
// a voltage that follows the clock); f in GHz. Fitted by least squares to the points, no coefficient below 0.
struct StageFit {
  double fixed_s = 0;
  double per_ghz_s = 0;
  double time_error = 0;  // root mean square of (fit - measured) / measured
  double base_w = 0;
  double cubic_w = 0;
  double power_error = 0;
  bool has_power = false;

  double SecondsAt(double mhz) const;
  double JoulesAt(double mhz) const;
};

struct StageCurve {
  std::vector<ClockPoint> points;  // by clock, ascending
  StageFit fit;
};
// Of at least two points with different clocks; else the fit is the mean at any clock.
StageFit FitStage(const std::vector<ClockPoint>& points);

struct ThreadPoint {
  int threads = 0;
  double tokens_per_s = 0;
};
// The fewest threads that decode within `loss` of the best. 0: no point.
int FewestThreads(const std::vector<ThreadPoint>& points, double loss);

struct TuneProfile {
  std::string machine;  // of the device: a processor's name, or a GPU's
  std::string model;
  std::string precision;
  std::string date;  // "2026-11-26"
  std::string energy_source;  // "nvml_counter", "rapl"; "none": no meter, times alone
  double switch_s = 0;  // that setting a clock took
  std::array<StageCurve, kGovernedStages> stages;  // empty: clocks were not touched
  std::vector<ThreadPoint> threads;
  int decode_threads = 0;  // 0: all

  bool has_clocks() const { return !stages[2].points.empty(); }
};

// Errors: kCorrupt, kNotFound (a key), kLimitExceeded; each names file, key, value and mend.
Result<TuneProfile> ParseProfile(std::string_view text, const std::string& file);
std::string ProfileText(const TuneProfile& profile);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_GOVERNORS_PROFILE_H_
