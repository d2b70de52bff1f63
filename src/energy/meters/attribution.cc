#include "energy/meters/attribution.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace eyeshot {
namespace {

constexpr double kNsPerS = 1e9;
constexpr size_t kBetween = kStageCount;  // where a stage's number is wanted for times without one
constexpr size_t kKinds = kStageCount + 1;
// A stage is said to be measured where so much of its time was: the rest is in its bounds.
constexpr double kMeasuredShare = 0.9;

double Seconds(uint64_t ns) { return static_cast<double>(ns) / kNsPerS; }

// Samples at which the counter had moved since the one before; the first and the last. Between two of them the counter
// moved evenly, as far as is known.
std::vector<EnergySample> Knots(std::span<const EnergySample> samples) {
  std::vector<EnergySample> knots = {samples.front()};
  for (const EnergySample& sample : samples.subspan(1)) {
    if (sample.joules > knots.back().joules) knots.push_back(sample);
  }
  if (samples.back().at_ns > knots.back().at_ns) knots.push_back(samples.back());
  return knots;
}

double PeakPower(std::span<const EnergySample> knots, double period_s) {
  double peak = 0;
  size_t begin = 0;
  for (size_t end = 1; end < knots.size(); ++end) {
    // The shortest time that ends here and has a whole period.
    while (begin + 1 < end && Seconds(knots[end].at_ns - knots[begin + 1].at_ns) >= period_s) ++begin;
    const double seconds = std::max(Seconds(knots[end].at_ns - knots[begin].at_ns), period_s);
    if (seconds > 0) peak = std::max(peak, (knots[end].joules - knots[begin].joules) / seconds);
  }
  return peak;
}

uint64_t MedianGap(std::span<const EnergySample> knots) {
  std::vector<uint64_t> gaps;
  for (size_t i = 1; i < knots.size(); ++i) gaps.push_back(knots[i].at_ns - knots[i - 1].at_ns);
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  return *middle;
}

// What a stage took between two readings that are `gap_s` apart, of which it had `own_s` to itself.
Joules ShareOfGap(double joules, double gap_s, double own_s, double peak_w) {
  const double most = kBurst * peak_w;
  const double value = joules * std::min(own_s / gap_s, 1.0);
  return {value, std::min(value, std::max(0.0, joules - most * std::max(0.0, gap_s - own_s))),
          std::max(value, std::min(joules, most * own_s))};
}

void Accumulate(Joules& sum, const Joules& part) {
  sum.value += part.value;
  sum.low += part.low;
  sum.high += part.high;
}

// A run of a stage, or a time without one.
struct Piece {
  size_t kind = kBetween;
  StageRun run;
};

// From the first run's begin to the last one's end, without gaps or overlaps.
std::vector<Piece> Pieces(std::span<const StageRun> runs) {
  std::vector<StageRun> sorted(runs.begin(), runs.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const StageRun& a, const StageRun& b) { return a.begin_ns < b.begin_ns; });
  std::vector<Piece> pieces;
  uint64_t at = sorted.front().begin_ns;
  for (StageRun run : sorted) {
    run.begin_ns = std::max(run.begin_ns, at);
    run.end_ns = std::max(run.end_ns, run.begin_ns);
    if (run.begin_ns > at) pieces.push_back({kBetween, {.begin_ns = at, .end_ns = run.begin_ns}});
    pieces.push_back({static_cast<size_t>(run.id), run});
    at = run.end_ns;
  }
  return pieces;
}

// Energy of one stage, or of times without any.
struct Kind {
  Joules all;  // measured as well as may be
  uint64_t wall_ns = 0;
  uint64_t measured_ns = 0;  // in stretches long enough
  uint64_t runs = 0;
};

// Runs of one kind that lie together are measured together.
Kind Measure(const EnergyCurve& curve, std::span<const StageRun> runs) {
  Kind kind;
  kind.runs = runs.size();
  for (size_t begin = 0; begin < runs.size();) {
    size_t end = begin + 1;
    uint64_t wall_ns = runs[begin].end_ns - runs[begin].begin_ns;
    for (; end < runs.size() && runs[end].begin_ns - runs[end - 1].end_ns < curve.grain_ns(); ++end) {
      wall_ns += runs[end].end_ns - runs[end].begin_ns;
    }
    uint64_t longest_gap_ns = 0;
    Joules taken = curve.Taken(runs.subspan(begin, end - begin), &longest_gap_ns);
    if (wall_ns >= std::max(curve.two_periods_ns(), longest_gap_ns)) {
      kind.measured_ns += wall_ns;
    } else {
      taken.low = 0;
    }
    kind.all.source = taken.source;
    Accumulate(kind.all, taken);
    kind.wall_ns += wall_ns;
    begin = end;
  }
  return kind;
}

StageEnergy EnergyOfStage(const Kind& kind, const Joules& estimate, const IdlePower* idle) {
  StageEnergy stage{.wall_ns = kind.wall_ns, .runs = kind.runs};
  if (kind.runs == 0) return stage;
  stage.below_resolution =
      static_cast<double>(kind.measured_ns) < kMeasuredShare * static_cast<double>(kind.wall_ns) || kind.wall_ns == 0;
  stage.joules = kind.all;
  if (stage.below_resolution) {
    stage.joules = estimate;
    if (estimate.source != EnergySource::kNone) stage.joules.source = EnergySource::kModel;
  }
  if (idle != nullptr) stage.active = WithoutIdle(stage.joules, stage.wall_ns, *idle);
  return stage;
}

// Joules of all stages: what those below the resolution took together is shared by time.
std::array<Joules, kStageCount> WithEstimates(const Attribution& attribution) {
  uint64_t short_ns = 0;
  for (const StageEnergy& stage : attribution.stages) short_ns += stage.below_resolution ? stage.wall_ns : 0;
  std::array<Joules, kStageCount> joules;
  for (size_t i = 0; i < kStageCount; ++i) {
    const StageEnergy& stage = attribution.stages[i];
    joules[i] = stage.joules;
    if (!stage.below_resolution || short_ns == 0) continue;
    const double share = static_cast<double>(stage.wall_ns) / static_cast<double>(short_ns);
    joules[i] = {attribution.below_resolution.value * share, 0, attribution.below_resolution.high,
                 EnergySource::kModel};
  }
  return joules;
}

}  // namespace

Result<EnergyCurve> EnergyCurve::Make(const MeterInfo& info, std::span<const EnergySample> samples) {
  if (samples.size() < 2 || samples.back().at_ns <= samples.front().at_ns) {
    return NotFoundError(fmt::format("{}: was read {} times, two are needed", info.name, samples.size()),
                         "measure for longer");
  }
  for (size_t i = 1; i < samples.size(); ++i) {
    if (samples[i].at_ns < samples[i - 1].at_ns || !(samples[i].joules >= samples[i - 1].joules)) {
      return CorruptError(fmt::format("{}: sample {} goes back", info.name, i), "measure again");
    }
  }
  EnergyCurve curve(info);
  curve.knots_ = Knots(samples);
  curve.peak_w_ = PeakPower(curve.knots_, info.resolution_s);
  curve.two_periods_ns_ = static_cast<uint64_t>(2 * info.resolution_s * kNsPerS);
  curve.grain_ns_ = std::max(curve.two_periods_ns_, MedianGap(curve.knots_));
  return curve;
}

Joules EnergyCurve::Taken(std::span<const StageRun> runs, uint64_t* longest_gap_ns) const {
  Joules taken{.source = info_.source};
  size_t knot = 0;    // the gap from knot to knot + 1
  uint64_t own_ns = 0;  // in that gap
  const auto finish_gap = [&] {
    const uint64_t gap_ns = knots_[knot + 1].at_ns - knots_[knot].at_ns;
    if (own_ns == 0) return;
    *longest_gap_ns = std::max(*longest_gap_ns, gap_ns);
    Accumulate(taken,
               ShareOfGap(knots_[knot + 1].joules - knots_[knot].joules, Seconds(gap_ns), Seconds(own_ns), peak_w_));
    own_ns = 0;
  };
  for (const StageRun& run : runs) {
    const auto later = std::upper_bound(knots_.begin(), knots_.end() - 1, run.begin_ns,
                                        [](uint64_t ns, const EnergySample& sample) { return ns < sample.at_ns; });
    const auto first = static_cast<size_t>(std::max<std::ptrdiff_t>(later - knots_.begin() - 1, 0));
    if (first != knot) finish_gap();
    for (knot = first;; ++knot) {
      const uint64_t begin = std::max(run.begin_ns, knots_[knot].at_ns);
      const uint64_t end = std::min(run.end_ns, knots_[knot + 1].at_ns);
      own_ns += end > begin ? end - begin : 0;
      if (run.end_ns <= knots_[knot + 1].at_ns || knot + 2 == knots_.size()) break;
      finish_gap();
    }
  }
  finish_gap();
  // The counter at either end may lack what was taken in its last period, and is known to a step.
  const double late = peak_w_ * info_.resolution_s + info_.resolution_j;
  taken.low = std::max(0.0, (taken.low - late) * (1 - info_.relative_error));
  taken.high = (taken.high + late) * (1 + info_.relative_error);
  return taken;
}

Joules EnergyCurve::Between(uint64_t begin_ns, uint64_t end_ns) const {
  if (!Covers(begin_ns, end_ns) || end_ns - begin_ns < std::max<uint64_t>(two_periods_ns_, 1)) return {};
  const StageRun run{.begin_ns = begin_ns, .end_ns = end_ns};
  uint64_t longest_gap_ns = 0;
  return Taken({&run, 1}, &longest_gap_ns);
}

Result<Attribution> Attribute(const EnergyCurve& curve, std::span<const StageRun> runs,
                              const std::array<Joules, kStageCount>& estimates, const IdlePower* idle) {
  if (runs.empty()) return InvalidArgumentError("there are no stages", "note their begins and ends");
  const std::vector<Piece> pieces = Pieces(runs);
  const uint64_t begin = pieces.front().run.begin_ns;
  const uint64_t end = pieces.back().run.end_ns;
  if (!curve.Covers(begin, end)) {
    return InvalidArgumentError("the meter was not read before the first stage, and after the last one",
                                "begin sampling earlier and end it later");
  }
  std::array<std::vector<StageRun>, kKinds> by_kind;
  for (const Piece& piece : pieces) by_kind[piece.kind].push_back(piece.run);
  Attribution attribution;
  attribution.whole = curve.Between(begin, end);
  if (idle != nullptr) attribution.active = WithoutIdle(attribution.whole, end - begin, *idle);
  for (size_t i = 0; i < kStageCount; ++i) {
    const Kind kind = Measure(curve, by_kind[i]);
    attribution.stages[i] = EnergyOfStage(kind, estimates[i], idle);
    if (!attribution.stages[i].below_resolution) continue;
    attribution.below_resolution.source = kind.all.source;
    Accumulate(attribution.below_resolution, kind.all);
  }
  attribution.between = Measure(curve, by_kind[kBetween]).all;
  return attribution;
}

Joules WithoutIdle(const Joules& joules, uint64_t wall_ns, const IdlePower& idle) {
  if (joules.source == EnergySource::kNone) return {};
  const double seconds = Seconds(wall_ns);
  return {std::max(0.0, joules.value - idle.watts * seconds), std::max(0.0, joules.low - idle.high * seconds),
          std::max(0.0, joules.high - idle.low * seconds), joules.source};
}

IdlePower MeanPower(const Joules& joules, uint64_t wall_ns) {
  if (joules.source == EnergySource::kNone || wall_ns == 0) return {};
  const double seconds = Seconds(wall_ns);
  return {joules.value / seconds, joules.low / seconds, joules.high / seconds};
}

bool AddJoules(Joules& a, const Joules& b) {
  if (b.source == EnergySource::kNone) return false;
  if (a.source == EnergySource::kNone) {
    a = b;
    return true;
  }
  if (a.source != b.source) return false;
  Accumulate(a, b);
  return true;
}

Status FillJoules(std::span<const EnergyCurve> curves, Ledger& ledger) {
  std::array<Joules, kStageCount> sums;
  for (const EnergyCurve& curve : curves) {
    EYESHOT_ASSIGN_OR_RETURN(const Attribution attribution, Attribute(curve, ledger.runs()));
    const std::array<Joules, kStageCount> shares = WithEstimates(attribution);
    for (size_t i = 0; i < kStageCount; ++i) {
      if (sums[i].source == EnergySource::kNone) {
        sums[i] = shares[i];
      } else if (shares[i].source != EnergySource::kNone) {
        // Of two meters one may tell a stage and the other not: together they then are an estimate.
        if (shares[i].source != sums[i].source) sums[i].source = EnergySource::kModel;
        Accumulate(sums[i], shares[i]);
      }
    }
  }
  for (size_t i = 0; i < kStageCount; ++i) ledger.SetJoules(static_cast<StageId>(i), sums[i]);
  return Status::Ok();
}

Result<std::vector<Joules>> ShareByWork(const Joules& batch, std::span<const double> work) {
  double total = 0;
  for (const double part : work) {
    if (!std::isfinite(part) || part < 0) {
      return InvalidArgumentError(fmt::format("{} is no amount of work", part), "count tokens or FLOPs");
    }
    total += part;
  }
  if (!(total > 0)) return InvalidArgumentError("the requests of the batch did no work", "count tokens or FLOPs");
  std::vector<Joules> shares;
  double done = 0;
  double given = 0;
  for (const double part : work) {
    done += part;
    // What is given until here, not the part by itself: rounding then does not add up.
    const double until = batch.value * (done / total);
    const double share = part / total;
    shares.push_back({until - given, batch.low * share, batch.high * share, batch.source});
    given = until;
  }
  return shares;
}

}  // namespace eyeshot
