#include "energy/simulator/comparison.h"

#include <fmt/format.h>

#include <algorithm>

#include "energy/simulator/governor.h"
#include "energy/simulator/power.h"

namespace eyeshot::simulator {
namespace {

constexpr std::string_view kGraph = "graph";

double Sum(const StageShares& shares, double StageShare::* part) {
  double sum = 0;
  for (const StageShare& share : shares) sum += share.*part;
  return sum;
}

// The same picture with `share` of its tiles, or of its pixels where it is one tile of any size.
PictureWork WithFewerTiles(const PictureWork& work, double share) {
  PictureWork fewer = work;
  fewer.request.tiles = std::max(1.0, std::round(share * work.request.tiles));
  fewer.request.visual_tokens *= fewer.request.tiles / work.request.tiles;
  if (work.model.tiling == Tiling::kNative) {
    fewer.model.vision.patches *= share;
    fewer.model.vision.keys *= share;
    fewer.model.vision.tokens *= share;
    fewer.request.visual_tokens = share * work.request.visual_tokens;
  }
  return fewer;
}

PictureWork WithFewerTokens(PictureWork work, double share) {
  work.request.visual_tokens *= share;
  return work;
}

}  // namespace

StageShares SimulatedShares(const Machine& machine, const Software& software, const PictureWork& work, double batch,
                            double clock_mhz) {
  const BatchWork all = BatchWorkFor(work.model, software, work.request, batch);
  StageShares shares;
  for (int s = 0; s < kStages; ++s) {
    const Point point = RunAt(machine, all.work[s], clock_mhz);
    shares[s] = {all.steps[s] * point.seconds, all.steps[s] * point.joules() / batch,
                 all.steps[s] * BusySeconds(machine, all.work[s], point.clock_mhz)};
  }
  return shares;
}

StageShares MeasuredShares(const Machine& machine, const Software& software, const PictureWork& work,
                           const MeasuredRow& row) {
  StageShares shares = SimulatedShares(machine, software, work, 1, machine.clock_max_mhz);
  for (int s = 0; s < kStages; ++s) {
    shares[s].seconds = row.stages[s].seconds;
    shares[s].joules = row.stages[s].seconds * row.stages[s].power_w;
    shares[s].busy_s = std::min(shares[s].busy_s, shares[s].seconds);
  }
  return shares;
}

double SecondsOf(const StageShares& shares) { return Sum(shares, &StageShare::seconds); }
double JoulesOf(const StageShares& shares) { return Sum(shares, &StageShare::joules); }

std::string_view BoundLabel(Bound bound) {
  switch (bound) {
    case Bound::kLaunch: return "launch-bound";
    case Bound::kEncoder: return "encoder-bound";
    case Bound::kTokens: return "token-bound";
    case Bound::kDecode: return "decode-bound";
  }
  return "";
}

Bound BoundShares::bound() const {
  return static_cast<Bound>(std::max_element(share.begin(), share.end()) - share.begin());
}

BoundShares BoundsOf(const StageShares& shares) {
  const double joules = JoulesOf(shares);
  BoundShares bounds;
  for (int s = 0; s < kStages; ++s) {
    const StageShare& stage = shares[s];
    if (stage.seconds <= 0) continue;
    const double busy = stage.joules / joules * stage.busy_s / stage.seconds;
    bounds.share[static_cast<int>(Bound::kEncoder) + s] += busy;  // in the order of the stages
    bounds.share[static_cast<int>(Bound::kLaunch)] += stage.joules / joules - busy;
  }
  return bounds;
}

std::vector<Lever> LeversOf(const Machine& machine, const Software& software, const PictureWork& work, double batch,
                            double slowdown) {
  const StageShares base = SimulatedShares(machine, software, work, batch, machine.clock_max_mhz);
  std::vector<Lever> levers;
  const auto add = [&](std::string_view name, std::string what, bool changes_input, const StageShares& with) {
    levers.push_back({name, std::move(what), changes_input, JoulesOf(with) / JoulesOf(base) - 1,
                      SecondsOf(with) / SecondsOf(base) - 1});
  };
  const auto at_full_clock = [&](const Software& with_software, const PictureWork& with, double with_batch) {
    return SimulatedShares(machine, with_software, with, with_batch, machine.clock_max_mhz);
  };
  for (const Software& other : Softwares()) {
    if (other.name != kGraph || software.name == kGraph) continue;
    add("graph", fmt::format("kernels replayed as a graph, not {}", software.name), false,
        at_full_clock(other, work, batch));
  }
  if (batch < kLeverBatch) {
    add("batch", fmt::format("{} requests together", kLeverBatch), false, at_full_clock(software, work, kLeverBatch));
  }
  const double clock =
      PoolClock(machine, BatchWorkFor(work.model, software, work.request, batch), {true, true, true}, slowdown);
  add("clock", fmt::format("one clock of {} MHz", clock), false,
      SimulatedShares(machine, software, work, batch, clock));
  if (work.request.tiles > 1 || work.model.tiling == Tiling::kNative) {
    add("tiles", work.model.tiling == Tiling::kNative ? "half of the pixels" : "half of the tiles", true,
        at_full_clock(software, WithFewerTiles(work, 0.5), batch));
  }
  if (work.request.visual_tokens > 0) {
    add("tokens", "half of the visual tokens", true, at_full_clock(software, WithFewerTokens(work, 0.5), batch));
  }
  std::stable_sort(levers.begin(), levers.end(),
                   [](const Lever& a, const Lever& b) { return a.joules_change < b.joules_change; });
  return levers;
}

}  // namespace eyeshot::simulator
