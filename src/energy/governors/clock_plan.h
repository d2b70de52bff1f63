// Which clock each stage shall have: the policies of a governor that runs, over a measured profile. The simulator has
// the same ones over a model of a machine (energy/simulator/governor.h).
#ifndef EYESHOT_ENERGY_GOVERNORS_CLOCK_PLAN_H_
#define EYESHOT_ENERGY_GOVERNORS_CLOCK_PLAN_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "energy/governors/profile.h"
#include "eyeshot/status.h"

namespace eyeshot {

struct GovernorChoice {
  enum class Kind {
    kNone,
    kGears,       // "gears": no clock; decoding on as few threads as the profile found enough
    kFixed,       // "fixed:MHZ"
    kRaceToIdle,  // "race-to-idle": the highest clock, always
    kOndemand,    // "ondemand": the highest while there is work, the lowest in between
    kStageTable,  // "stage-table": each stage's cheapest within the slowdown, lowered only where both switches pay
    kOneClock,    // "one-clock": one for all, the cheapest within the slowdown
    kMemorySafe,  // "memory-safe": each stage's lowest that keeps its time; needs no meter
    kSlo,         // "slo:MS": one clock, moved by the times of finished requests, with hysteresis
    kEncodeLow,   // "encode-low": encode and prefill at half the highest, decode at the highest
    kDecodeLow,   // "decode-low": and its inverse
    kOracle,      // "oracle": the least energy within the slowdown of the whole request, switches taken as free
  };
  Kind kind = Kind::kNone;
  double value = 0;  // of fixed: MHz; of slo: ms
  std::string name = "none";

  bool touches_clocks() const { return kind != Kind::kNone && kind != Kind::kGears; }
  bool needs_profile() const;
};
// Errors: kInvalidArgument (names what there is).
Result<GovernorChoice> ParseGovernor(const std::string& text);

struct ClockPlan {
  std::array<double, kGovernedStages> clock_mhz{};  // by GovernedStage
  double idle_mhz = 0;  // between requests; 0: as the last stage left it
  double target_s = 0;  // of kSlo: of a request
};

// "encode 1410, prefill 1410, decode 705 MHz": how it begins, where it has a target.
std::string Described(const ClockPlan& plan);

// `clocks_mhz`: what the device takes, ascending, not empty. `profile` may be null where the choice needs none.
// `slowdown`: that a request may take longer, as a share. Errors: kNotFound (no profile), kUnsupported (one without
// clocks, or without joules where they are needed).
Result<ClockPlan> PlanClocks(const GovernorChoice& choice, const std::vector<double>& clocks_mhz,
                             const TuneProfile* profile, double slowdown);

// What a request takes by the profile, if its stages have these clocks and no switch costs anything.
struct PlannedCost {
  double seconds = 0;
  double joules = 0;  // 0: not measured
};
PlannedCost CostOf(const TuneProfile& profile, const std::array<double, kGovernedStages>& clock_mhz);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_GOVERNORS_CLOCK_PLAN_H_
