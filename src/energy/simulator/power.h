// Time and power of work on a machine at a clock: a smooth roofline and the CMOS form of power.
#ifndef EYESHOT_ENERGY_SIMULATOR_POWER_H_
#define EYESHOT_ENERGY_SIMULATOR_POWER_H_

#include <cstddef>
#include <vector>

#include "energy/simulator/machine.h"
#include "energy/simulator/work.h"
#include "eyeshot/ledger.h"

namespace eyeshot::simulator {

// How work runs at a clock. All figures are simulated.
struct Point {
  double clock_mhz = 0;  // that the power limit leaves, at most the one that was asked for
  double seconds = 0;
  double power_w = 0;
  double compute_use = 0;  // achieved over peak FLOP/s at this clock
  double memory_use = 0;   // achieved over peak bytes/s

  double joules() const { return power_w * seconds; }
};

// Clock over the highest one, times the square of its voltage over the highest: what switching costs.
double SwitchingShare(const Machine& machine, double clock_mhz);

// The machine waits with a program loaded.
double WaitingPower(const Machine& machine, double clock_mhz);

// Without the power limit.
Point UncappedPoint(const Machine& machine, const Work& work, double clock_mhz);

// At the highest clock up to `clock_mhz` at which the machine stays within its power limit, as its firmware would; at
// the lowest clock where none does.
Point RunAt(const Machine& machine, const Work& work, double clock_mhz);

// Seconds that arithmetic and memory traffic take by themselves: no launches, no host, no gaps.
double BusySeconds(const Machine& machine, const Work& work, double clock_mhz);

// From the lowest clock to the highest.
std::vector<double> Clocks(const Machine& machine);

// About `count` of them, evenly apart, the highest among them.
std::vector<double> TriedClocks(const Machine& machine, size_t count);

// The nearest clock that the machine has.
double NearestClock(const Machine& machine, double clock_mhz);

// A simulated figure as the ledger's type, with the error that docs/energy.md shows for stages that fill the machine.
Joules SimulatedJoules(double value);

}  // namespace eyeshot::simulator

#endif  // EYESHOT_ENERGY_SIMULATOR_POWER_H_
