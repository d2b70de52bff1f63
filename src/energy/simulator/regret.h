// What one model's tuned settings cost another model: whether each model is its own case (arXiv 2512.22695).
#ifndef EYESHOT_ENERGY_SIMULATOR_REGRET_H_
#define EYESHOT_ENERGY_SIMULATOR_REGRET_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "energy/simulator/pictures.h"
#include "energy/simulator/serving.h"

namespace eyeshot::simulator {

struct RegretSetup {
  double load = 0.5;  // of each model: arrivals a second times the seconds of one request alone at the highest clock
  double slowdown = 0.05;  // of p95 that tuning may cost
  size_t requests = 2000;
  uint64_t seed = 1;
  Layout layout = Layout::kPools;  // kOneDevice: one clock; kPools: one for encode and prefill, one for decode
};

// Settings of a deployment.
struct Profile {
  StageClocks clocks{};
  int batch = 1;
};

struct TunedModel {
  PictureWork work;
  double rate_per_s = 0;
  ServingResult untuned;  // highest clocks, batches of up to kUntunedBatch
  Profile profile;        // the least joules whose p95 is at most (1 + slowdown) times that of `untuned`
  ServingResult tuned;
};
inline constexpr int kUntunedBatch = 8;

// What a foreign profile costs over the model's own one, as shares. More joules or a longer p95 by kPays or more: the
// model should have had its own.
struct Regret {
  double joules = 0;
  double p95 = 0;
  bool pays() const;
};
inline constexpr double kPays = 0.05;

struct RegretMatrix {
  std::vector<TunedModel> models;
  std::vector<std::vector<Regret>> of;  // [whose profile][applied to which]; zero on the diagonal
};

// Profiles are found by coordinate descent over batches of 1 to 32 and some twenty clocks: the best of what was tried.
RegretMatrix RegretOf(const Machine& machine, const Software& software, std::span<const PictureWork> models,
                      const RegretSetup& setup);

// What the matrix says of pairs of unlike models.
struct RegretSummary {
  int pairs = 0;
  int paying = 0;  // Regret::pays()
  double median_joules = 0;
  double worst_joules = 0;
  double worst_p95 = 0;
  // "Each model is its own case": most pairs pay.
  bool own_case() const { return 2 * paying > pairs; }
};
RegretSummary Summarize(const RegretMatrix& matrix);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_REGRET_H_
