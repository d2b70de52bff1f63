#include "energy/governors/clock_plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

#include "base/error.h"
#include "energy/clocks/clock_control.h"
#include "energy/governors/lagrange.h"

namespace eyeshot {
namespace {

using Kind = GovernorChoice::Kind;
using Clocks = std::array<double, kGovernedStages>;

struct GovernorName {
  Kind kind;
  std::string_view name;
};
constexpr GovernorName kNames[] = {
    {Kind::kNone, "none"},
    {Kind::kGears, "gears"},
    {Kind::kFixed, "fixed:MHZ"},
    {Kind::kRaceToIdle, "race-to-idle"},
    {Kind::kOndemand, "ondemand"},
    {Kind::kStageTable, "stage-table"},
    {Kind::kOneClock, "one-clock"},
    {Kind::kMemorySafe, "memory-safe"},
    {Kind::kSlo, "slo:MS"},
    {Kind::kEncodeLow, "encode-low"},
    {Kind::kDecodeLow, "decode-low"},
    {Kind::kOracle, "oracle"},
};

// A fit smooths what scatters, unless it is off by more than scatter is.
constexpr double kGoodTimeFit = 0.05;
constexpr double kGoodPowerFit = 0.1;
// What "keeps its time" means for kMemorySafe: within what repeated measurements differ by.
constexpr double kSameTime = 0.01;

// Of one stage at a clock between the measured ones.
PlannedCost At(const StageCurve& curve, double mhz) {
  if (curve.points.empty()) return {};
  const bool good_power = !curve.fit.has_power || curve.fit.power_error <= kGoodPowerFit;
  if (curve.fit.time_error <= kGoodTimeFit && good_power) {
    return {curve.fit.SecondsAt(mhz), curve.fit.has_power ? curve.fit.JoulesAt(mhz) : 0};
  }
  const auto upper = std::find_if(curve.points.begin(), curve.points.end(),
                                  [&](const ClockPoint& point) { return point.clock_mhz >= mhz; });
  const ClockPoint& b = upper == curve.points.end() ? curve.points.back() : *upper;
  const ClockPoint& a = upper == curve.points.begin() || upper == curve.points.end() ? b : *(upper - 1);
  const double share = a.clock_mhz == b.clock_mhz ? 0 : (mhz - a.clock_mhz) / (b.clock_mhz - a.clock_mhz);
  const auto between = [&](double x, double y) { return x + share * (y - x); };
  return {between(a.seconds, b.seconds), between(a.joules.value_or(0), b.joules.value_or(0))};
}

// The clocks of the device between the lowest and the highest that were measured, descending.
std::vector<double> Candidates(const TuneProfile& profile, const std::vector<double>& clocks) {
  const std::vector<ClockPoint>& points = profile.stages[static_cast<size_t>(GovernedStage::kDecode)].points;
  std::vector<double> candidates;
  for (const double mhz : clocks) {
    if (mhz >= points.front().clock_mhz && mhz <= points.back().clock_mhz) candidates.push_back(mhz);
  }
  if (candidates.empty()) {
    for (const ClockPoint& point : points) candidates.push_back(point.clock_mhz);
  }
  std::reverse(candidates.begin(), candidates.end());
  return candidates;
}

// The cheapest candidate at which the stage takes at most (1 + slowdown) times as long as at the highest clock.
double CheapestClock(const StageCurve& curve, const std::vector<double>& candidates, double slowdown) {
  const double allowed = (1 + slowdown) * At(curve, candidates.front()).seconds;
  double best = candidates.front();
  for (const double mhz : candidates) {
    if (At(curve, mhz).seconds <= allowed && At(curve, mhz).joules < At(curve, best).joules) best = mhz;
  }
  return best;
}

double LowestOfSameTime(const StageCurve& curve, const std::vector<double>& candidates) {
  const double allowed = (1 + kSameTime) * At(curve, candidates.front()).seconds;
  double lowest = candidates.front();
  for (const double mhz : candidates) {
    if (At(curve, mhz).seconds <= allowed) lowest = mhz;
  }
  return lowest;
}

double OneClock(const TuneProfile& profile, const std::vector<double>& candidates, double slowdown) {
  Clocks clocks;
  clocks.fill(candidates.front());
  const PlannedCost highest = CostOf(profile, clocks);
  double best = candidates.front();
  double best_joules = highest.joules;
  for (const double mhz : candidates) {
    clocks.fill(mhz);
    const PlannedCost cost = CostOf(profile, clocks);
    if (cost.seconds > (1 + slowdown) * highest.seconds || cost.joules >= best_joules) continue;
    best = mhz;
    best_joules = cost.joules;
  }
  return best;
}

Clocks Oracle(const TuneProfile& profile, const std::vector<double>& candidates, double slowdown) {
  Clocks clocks;
  clocks.fill(candidates.front());
  const double allowed = (1 + slowdown) * CostOf(profile, clocks).seconds;
  const auto choose = [&](double lambda) {
    for (size_t s = 0; s < kGovernedStages; ++s) {
      double least = std::numeric_limits<double>::infinity();
      for (const double mhz : candidates) {
        const PlannedCost cost = At(profile.stages[s], mhz);
        const double value = cost.joules + lambda * cost.seconds;
        if (value >= least) continue;
        least = value;
        clocks[s] = mhz;
      }
    }
    return CostOf(profile, clocks).seconds;
  };
  constexpr double kMostWatts = 1e6;  // more than any device takes
  ChooseWithin(allowed, kMostWatts, choose);
  return clocks;
}

// The stages' cheapest clocks where what they save pays for a switch down and one up, in energy at the highest clock's
// power and in time.
Clocks StageTable(const TuneProfile& profile, const std::vector<double>& candidates, double slowdown) {
  Clocks clocks;
  for (size_t s = 0; s < kGovernedStages; ++s) {
    const StageCurve& curve = profile.stages[s];
    const double cheapest = CheapestClock(curve, candidates, slowdown);
    const PlannedCost high = At(curve, candidates.front());
    const PlannedCost low = At(curve, cheapest);
    const double switches_s = 2 * profile.switch_s;
    const double switches_j = high.seconds > 0 ? switches_s * high.joules / high.seconds : 0;
    const bool pays =
        high.joules - low.joules > switches_j && low.seconds + switches_s <= (1 + slowdown) * high.seconds;
    clocks[s] = pays ? cheapest : candidates.front();
  }
  return clocks;
}

Result<double> ParseValue(const std::string& text, const std::string& name) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && value > 0 && std::isfinite(value)) return value;
  return InvalidArgumentError(fmt::format("--governor {}:{}", name, text),
                              "a positive number belongs behind the colon");
}

Clocks PlanFromProfile(Kind kind, const std::vector<double>& candidates, const TuneProfile& profile, double slowdown) {
  Clocks clocks;
  switch (kind) {
    case Kind::kStageTable: return StageTable(profile, candidates, slowdown);
    case Kind::kOracle: return Oracle(profile, candidates, slowdown);
    case Kind::kMemorySafe:
      for (size_t s = 0; s < kGovernedStages; ++s) clocks[s] = LowestOfSameTime(profile.stages[s], candidates);
      return clocks;
    default: clocks.fill(OneClock(profile, candidates, slowdown)); return clocks;
  }
}

}  // namespace

bool GovernorChoice::needs_profile() const {
  return kind == Kind::kGears || kind == Kind::kStageTable || kind == Kind::kOneClock || kind == Kind::kMemorySafe ||
         kind == Kind::kOracle;
}

Result<GovernorChoice> ParseGovernor(const std::string& text) {
  const size_t colon = text.find(':');
  const std::string name = text.substr(0, colon);
  std::vector<std::string_view> known;
  for (const GovernorName& one : kNames) {
    known.push_back(one.name);
    const size_t own = one.name.find(':');
    if (one.name.substr(0, own) != name || (own == std::string_view::npos) != (colon == std::string::npos)) continue;
    GovernorChoice choice{.kind = one.kind, .name = text};
    if (colon != std::string::npos) {
      EYESHOT_ASSIGN_OR_RETURN(choice.value, ParseValue(text.substr(colon + 1), name));
    }
    return choice;
  }
  return InvalidArgumentError(fmt::format("there is no governor '{}'", text),
                              fmt::format("take one of {}", fmt::join(known, ", ")));
}

PlannedCost CostOf(const TuneProfile& profile, const std::array<double, kGovernedStages>& clock_mhz) {
  PlannedCost cost;
  for (size_t s = 0; s < kGovernedStages; ++s) {
    const PlannedCost stage = At(profile.stages[s], clock_mhz[s]);
    cost.seconds += stage.seconds;
    cost.joules += stage.joules;
  }
  return cost;
}

std::string Described(const ClockPlan& plan) {
  return fmt::format("encode {:.0f}, prefill {:.0f}, decode {:.0f} MHz", plan.clock_mhz[0], plan.clock_mhz[1],
                     plan.clock_mhz[2]);
}

Result<ClockPlan> PlanClocks(const GovernorChoice& choice, const std::vector<double>& clocks_mhz,
                             const TuneProfile* profile, double slowdown) {
  ClockPlan plan;
  const double highest = clocks_mhz.back();
  const double half = NearestOf(clocks_mhz, highest / 2);
  plan.clock_mhz.fill(highest);
  if (choice.kind == Kind::kFixed) {
    if (choice.value < clocks_mhz.front() || choice.value > highest) {
      return InvalidArgumentError(fmt::format("a clock of {:g} MHz", choice.value),
                                  fmt::format("this device takes {:g} to {:g} MHz", clocks_mhz.front(), highest));
    }
    plan.clock_mhz.fill(NearestOf(clocks_mhz, choice.value));
  }
  if (choice.kind == Kind::kOndemand) plan.idle_mhz = clocks_mhz.front();
  if (choice.kind == Kind::kSlo) plan.target_s = choice.value * 1e-3;
  if (choice.kind == Kind::kEncodeLow) plan.clock_mhz = {half, half, highest};
  if (choice.kind == Kind::kDecodeLow) plan.clock_mhz = {highest, highest, half};
  if (choice.touches_clocks() && choice.needs_profile()) {
    const std::string mend = "run `eyeshot tune --allow-clocks` on this machine with this model first";
    if (profile == nullptr) return NotFoundError(fmt::format("--governor {} needs a profile", choice.name), mend);
    if (!profile->has_clocks()) {
      return UnsupportedError(fmt::format("--governor {}: the profile has no clocks", choice.name), mend);
    }
    if (choice.kind != Kind::kMemorySafe && profile->energy_source == "none") {
      return UnsupportedError(
          fmt::format("--governor {}: the profile has no joules, since there was no meter", choice.name),
          "take memory-safe, which needs times alone, or measure where a meter can be read");
    }
    plan.clock_mhz = PlanFromProfile(choice.kind, Candidates(*profile, clocks_mhz), *profile, slowdown);
  }
  return plan;
}

}  // namespace eyeshot
