#include "energy/simulator/regret.h"

#include <algorithm>
#include <array>

#include "base/median.h"

namespace eyeshot::simulator {
namespace {

constexpr std::array kBatches = {1, 2, 4, 8, 16, 32};
// Clocks that are tried, about; and how often each is chosen anew, given the other.
constexpr size_t kTriedClocks = 24;
constexpr int kRounds = 3;

constexpr int kFirst = static_cast<int>(Stage::kPrefill);
constexpr int kSecond = static_cast<int>(Stage::kDecode);

// One model's load, served with any profile.
class Load {
 public:
  Load(const Machine& machine, const Software& software, const PictureWork& work, const RegretSetup& setup)
      : machine_(machine), software_(software), work_(work), setup_(setup) {
    double seconds = 0;
    const BatchWork alone = BatchWorkFor(work.model, software, work.request, 1);
    for (int s = 0; s < kStages; ++s) {
      seconds += alone.steps[s] * RunAt(machine, alone.work[s], machine.clock_max_mhz).seconds;
    }
    rate_per_s_ = setup.load / seconds;
    arrivals_ = PoissonArrivals(setup.requests, rate_per_s_, setup.seed);
  }

  double rate_per_s() const { return rate_per_s_; }

  ServingResult Run(const Profile& profile) const {
    ServingSetup serving;
    serving.max_batch = profile.batch;
    serving.layout = setup_.layout;
    serving.clocks = profile.clocks;
    return Serve(machine_, work_.model, software_, work_.request, arrivals_, serving);
  }

 private:
  const Machine& machine_;
  const Software& software_;
  const PictureWork& work_;
  const RegretSetup& setup_;
  double rate_per_s_ = 0;
  std::vector<double> arrivals_;
};

struct Tuned {
  Profile profile;
  ServingResult result;
};

// The best clocks for a batch, from the highest downwards, one stage's after the other's.
Tuned TuneClocks(const Load& load, const std::vector<double>& clocks, const Profile& start, double most_p95_s,
                 Layout layout) {
  Tuned best{start, load.Run(start)};
  for (int round = 0; round < kRounds; ++round) {
    const Profile before = best.profile;
    for (const int stage : {kFirst, kSecond}) {
      for (const double clock : clocks) {
        Profile profile = best.profile;
        profile.clocks[stage] = clock;
        if (layout == Layout::kOneDevice) profile.clocks.fill(clock);
        const ServingResult result = load.Run(profile);
        const bool allowed = result.p95_s <= most_p95_s;
        if (allowed && (best.result.p95_s > most_p95_s || result.joules_per_request < best.result.joules_per_request)) {
          best = {profile, result};
        }
      }
      if (layout == Layout::kOneDevice) return best;
    }
    if (best.profile.clocks == before.clocks) break;
  }
  return best;
}

TunedModel Tune(const Machine& machine, const Load& load, const PictureWork& work, const RegretSetup& setup) {
  TunedModel tuned{.work = work, .rate_per_s = load.rate_per_s()};
  Profile highest;
  highest.clocks.fill(machine.clock_max_mhz);
  highest.batch = kUntunedBatch;
  tuned.untuned = load.Run(highest);
  tuned.profile = highest;
  tuned.tuned = tuned.untuned;
  const double most_p95_s = (1 + setup.slowdown) * tuned.untuned.p95_s;
  const std::vector<double> clocks = TriedClocks(machine, kTriedClocks);
  for (const int batch : kBatches) {
    highest.batch = batch;
    const Tuned best = TuneClocks(load, clocks, highest, most_p95_s, setup.layout);
    if (best.result.p95_s > most_p95_s || best.result.joules_per_request >= tuned.tuned.joules_per_request) continue;
    tuned.profile = best.profile;
    tuned.tuned = best.result;
  }
  return tuned;
}

}  // namespace

bool Regret::pays() const { return joules >= kPays || p95 >= kPays; }

RegretMatrix RegretOf(const Machine& machine, const Software& software, std::span<const PictureWork> models,
                      const RegretSetup& setup) {
  std::vector<Load> loads;
  RegretMatrix matrix;
  for (const PictureWork& work : models) {
    loads.emplace_back(machine, software, work, setup);
    matrix.models.push_back(Tune(machine, loads.back(), work, setup));
  }
  for (const TunedModel& whose : matrix.models) {
    std::vector<Regret>& row = matrix.of.emplace_back();
    for (size_t i = 0; i < matrix.models.size(); ++i) {
      const TunedModel& applied = matrix.models[i];
      const ServingResult result = loads[i].Run(whose.profile);
      row.push_back(
          {result.joules_per_request / applied.tuned.joules_per_request - 1, result.p95_s / applied.tuned.p95_s - 1});
    }
  }
  return matrix;
}

RegretSummary Summarize(const RegretMatrix& matrix) {
  RegretSummary summary;
  std::vector<double> joules;
  for (size_t i = 0; i < matrix.of.size(); ++i) {
    for (size_t j = 0; j < matrix.of[i].size(); ++j) {
      if (i == j) continue;
      const Regret& regret = matrix.of[i][j];
      ++summary.pairs;
      summary.paying += regret.pays();
      summary.worst_joules = std::max(summary.worst_joules, regret.joules);
      summary.worst_p95 = std::max(summary.worst_p95, regret.p95);
      joules.push_back(regret.joules);
    }
  }
  if (!joules.empty()) summary.median_joules = Median(joules);
  return summary;
}

}  // namespace eyeshot::simulator
