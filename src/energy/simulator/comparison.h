// Unlike models side by side: where the joules of a request go, what bounds them, and what would lower them.
#ifndef EYESHOT_ENERGY_SIMULATOR_COMPARISON_H_
#define EYESHOT_ENERGY_SIMULATOR_COMPARISON_H_

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "energy/simulator/machine.h"
#include "energy/simulator/measured.h"
#include "energy/simulator/pictures.h"
#include "energy/simulator/work.h"

namespace eyeshot::simulator {

// Of one request; of `batch` equal ones together the seconds are those of all, the joules a request's share.
struct StageShare {
  double seconds = 0;
  double joules = 0;
  double busy_s = 0;  // of the seconds: arithmetic and memory traffic by themselves, simulated
};
using StageShares = std::array<StageShare, kStages>;

StageShares SimulatedShares(const Machine& machine, const Software& software, const PictureWork& work, double batch,
                            double clock_mhz);
// Seconds and joules as they were measured.
StageShares MeasuredShares(const Machine& machine, const Software& software, const PictureWork& work,
                           const MeasuredRow& row);
double SecondsOf(const StageShares& shares);
double JoulesOf(const StageShares& shares);

// What a request's joules go into. Those of each stage are parted by time: what arithmetic and memory traffic take by
// themselves, and the rest, in which launches, the host or gaps set the pace.
enum class Bound { kLaunch, kEncoder, kTokens, kDecode };
inline constexpr int kBounds = 4;
std::string_view BoundLabel(Bound bound);  // "launch-bound", ...

struct BoundShares {
  std::array<double, kBounds> share{};  // of the joules; their sum is 1
  Bound bound() const;                  // the largest: the model's class
};
BoundShares BoundsOf(const StageShares& shares);

// Something to change, and what it gives, simulated.
struct Lever {
  std::string_view name;
  std::string what;            // with its number: "one clock, 1200 MHz"
  bool changes_input = false;  // the model sees less: answers may change
  double joules_change = 0;    // of a request's, as a share: -0.2 is a fifth less
  double seconds_change = 0;   // of its time
};
inline constexpr double kLeverBatch = 8;

// All that can be done about a request of `batch`, the largest saving first: graph launches (where the software has
// none), batching (of single requests), one lower clock within `slowdown`, half of the tiles or pixels (where there is
// more than one tile), half of the visual tokens.
std::vector<Lever> LeversOf(const Machine& machine, const Software& software, const PictureWork& work, double batch,
                            double slowdown);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_COMPARISON_H_
