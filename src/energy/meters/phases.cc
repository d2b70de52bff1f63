#include "energy/meters/phases.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/median.h"

namespace eyeshot {
namespace {

// Where between two readings the counter moved is unknown and taken to be anywhere: variance of a uniform law of width
// one.
constexpr double kUniformVariance = 1.0 / 12;
// Moves of the counter within a phase that are needed: two ends and one between them, so that its power can be said to
// be steady or not.
constexpr size_t kMinMoves = 3;
// A stage is resolved where the phases tell its joules to half of their value, with 95 %.
constexpr double kResolvedShare = 0.5;

double Seconds(uint64_t from_ns, uint64_t to_ns) {
  return to_ns >= from_ns ? static_cast<double>(to_ns - from_ns) * 1e-9 : -static_cast<double>(from_ns - to_ns) * 1e-9;
}

// A move of the counter.
struct Move {
  uint64_t at_ns = 0;   // it was first seen
  double joules = 0;
  double unsure_s = 0;  // it happened at most so long before
};

// The first sample is no move: how old it was is unknown.
Result<std::vector<Move>> Moves(const MeterInfo& info, std::span<const EnergySample> samples) {
  std::vector<Move> moves;
  for (size_t i = 1; i < samples.size(); ++i) {
    const EnergySample& before = samples[i - 1];
    const EnergySample& now = samples[i];
    if (now.at_ns < before.at_ns || !(now.joules >= before.joules)) {
      return CorruptError(fmt::format("{}: sample {} goes back", info.name, i), "measure again");
    }
    if (now.joules == before.joules) continue;
    moves.push_back({now.at_ns, now.joules, std::min(Seconds(before.at_ns, now.at_ns), info.resolution_s)});
  }
  return moves;
}

double MedianGap(std::span<const Move> moves) {
  std::vector<double> gaps;
  for (size_t i = 1; i < moves.size(); ++i) gaps.push_back(Seconds(moves[i - 1].at_ns, moves[i].at_ns));
  return Median(std::move(gaps));
}

// The energy at one moment, and the variance of that.
struct Point {
  double joules = 0;
  double variance = 0;
};

// Between moves, by the mean power of the gap; `range_w` is how far powers of gaps lie apart.
Point At(std::span<const Move> moves, uint64_t ns, double range_w) {
  const auto later = std::upper_bound(moves.begin() + 1, moves.end() - 1, ns,
                                      [](uint64_t at, const Move& move) { return at < move.at_ns; });
  const Move& after = *later;
  const Move& before = *(later - 1);
  const double gap = Seconds(before.at_ns, after.at_ns);
  const double from = std::clamp(Seconds(before.at_ns, ns), 0.0, gap);
  const double watts = (after.joules - before.joules) / gap;
  const Move& nearest = from < gap - from ? before : after;
  const double reading = nearest.unsure_s * watts;
  const double between = std::min(from, gap - from) * range_w;
  return {before.joules + watts * from, kUniformVariance * (reading * reading + between * between)};
}

double RangeOfPowers(std::span<const Move> moves) {
  double low = INFINITY;
  double high = 0;
  for (size_t i = 1; i < moves.size(); ++i) {
    const double watts = (moves[i].joules - moves[i - 1].joules) / Seconds(moves[i - 1].at_ns, moves[i].at_ns);
    low = std::min(low, watts);
    high = std::max(high, watts);
  }
  return high - low;
}

// Symmetric and positive definite, row by row, with the right-hand side. Unknowns are powers over the expected ones.
struct Normal {
  size_t size = 0;
  std::vector<double> matrix;
  std::vector<double> right;
  double& at(size_t i, size_t j) { return matrix[i * size + j]; }
  double at(size_t i, size_t j) const { return matrix[i * size + j]; }
};

Normal NormalEquations(std::span<const PhaseRow> rows, std::span<const double> expected_w) {
  const size_t size = expected_w.size();
  Normal normal{size, std::vector<double>(size * size), std::vector<double>(size, 1.0)};
  for (size_t i = 0; i < size; ++i) normal.at(i, i) = 1;
  for (const PhaseRow& row : rows) {
    const double weight = 1 / (row.sigma_j * row.sigma_j);
    for (size_t i = 0; i < size; ++i) {
      const double expected_j = row.seconds[i] * expected_w[i];
      normal.right[i] += weight * expected_j * row.joules;
      for (size_t j = 0; j < size; ++j) normal.at(i, j) += weight * expected_j * row.seconds[j] * expected_w[j];
    }
  }
  return normal;
}

// Gauss-Jordan over the unknowns of `free`; rows and columns of the others are 0.
std::vector<double> Inverse(Normal normal, const std::vector<bool>& free) {
  const size_t size = normal.size;
  std::vector<double> inverse(size * size);
  for (size_t i = 0; i < size; ++i) inverse[i * size + i] = free[i] ? 1 : 0;
  for (size_t pivot = 0; pivot < size; ++pivot) {
    if (!free[pivot]) continue;
    const double divisor = normal.at(pivot, pivot);
    for (size_t j = 0; j < size; ++j) {
      normal.at(pivot, j) /= divisor;
      inverse[pivot * size + j] /= divisor;
    }
    for (size_t i = 0; i < size; ++i) {
      const double factor = normal.at(i, pivot);
      if (i == pivot || !free[i] || factor == 0) continue;
      for (size_t j = 0; j < size; ++j) {
        normal.at(i, j) -= factor * normal.at(pivot, j);
        inverse[i * size + j] -= factor * inverse[pivot * size + j];
      }
    }
  }
  return inverse;
}

// The solution of which no part is negative: the most negative one is held at 0, until none is left.
std::vector<double> NonNegative(const Normal& normal) {
  std::vector<bool> free(normal.size, true);
  while (true) {
    const std::vector<double> inverse = Inverse(normal, free);
    std::vector<double> x(normal.size);
    for (size_t i = 0; i < normal.size; ++i) {
      for (size_t j = 0; free[i] && j < normal.size; ++j) {
        if (free[j]) x[i] += inverse[i * normal.size + j] * normal.right[j];
      }
    }
    const auto lowest = std::min_element(x.begin(), x.end());
    if (*lowest >= 0) return x;
    free[static_cast<size_t>(lowest - x.begin())] = false;
  }
}

// Two-sided 95 % of Student's t by degrees of freedom.
double StudentT(size_t freedom) {
  constexpr std::array<double, 10> kTable = {12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  return freedom <= kTable.size() ? kTable[freedom - 1] : 2.1;
}
constexpr double kNormal95 = 1.96;

}  // namespace

Result<PhaseEnergy> EnergyOfPhase(const MeterInfo& info, std::span<const EnergySample> samples,
                                  std::span<const uint64_t> boundaries_ns, uint64_t lead_ns) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<Move> all, Moves(info, samples));
  const auto too_few = [&](size_t moves) {
    return NotFoundError(
        fmt::format("{}: moved {} times while the requests ran, {} are needed", info.name, moves, kMinMoves),
        "give more --seconds");
  };
  if (boundaries_ns.empty()) return too_few(0);
  std::vector<Move> moves;
  for (const Move& move : all) {
    if (move.at_ns >= boundaries_ns.front() + lead_ns) moves.push_back(move);
  }
  if (moves.size() < kMinMoves) return too_few(moves.size());
  PhaseEnergy energy{.period_s = MedianGap(moves)};
  const auto first = std::lower_bound(boundaries_ns.begin(), boundaries_ns.end(), moves.front().at_ns);
  const auto last = std::upper_bound(boundaries_ns.begin(), boundaries_ns.end(), moves.back().at_ns);
  if (last - first < 2) return too_few(moves.size());
  energy.first = static_cast<size_t>(first - boundaries_ns.begin());
  energy.last = static_cast<size_t>(last - boundaries_ns.begin()) - 1;
  const double range_w = RangeOfPowers(moves);
  const Point begin = At(moves, *first, range_w);
  const Point end = At(moves, *(last - 1), range_w);
  energy.seconds = Seconds(*first, *(last - 1));
  energy.joules = end.joules - begin.joules;
  const double step = info.resolution_j * info.resolution_j * kUniformVariance;
  energy.sigma_j = std::sqrt(begin.variance + end.variance + 2 * step);
  if (!(energy.seconds > 0 && energy.joules > 0)) return too_few(moves.size());
  return energy;
}

Result<std::vector<StagePower>> SolvePowers(std::span<const PhaseRow> rows, std::span<const double> expected_w) {
  const bool sound = std::all_of(rows.begin(), rows.end(), [&](const PhaseRow& row) {
    return row.seconds.size() == expected_w.size() && row.sigma_j > 0;
  });
  const bool expected = std::all_of(expected_w.begin(), expected_w.end(), [](double watts) { return watts > 0; });
  if (rows.empty() || !sound || !expected) {
    return InvalidArgumentError("phases that don't fit together", "give each the times of all stages, and its error");
  }
  const Normal normal = NormalEquations(rows, expected_w);
  const std::vector<double> shares = NonNegative(normal);
  const std::vector<double> covariance = Inverse(normal, std::vector<bool>(normal.size, true));
  std::vector<StagePower> powers;
  for (size_t i = 0; i < normal.size; ++i) {
    const double variance = std::max(0.0, covariance[i * normal.size + i]);
    powers.push_back({shares[i] * expected_w[i], std::sqrt(variance) * expected_w[i]});
  }
  return powers;
}

std::vector<StageShare> SharesOf(const PhaseRow& row, std::span<const StagePower> powers) {
  double sum = 0;
  for (size_t i = 0; i < powers.size(); ++i) sum += powers[i].watts * row.seconds[i];
  const double factor = sum > 0 ? row.joules / sum : 0;
  std::vector<StageShare> shares;
  shares.reserve(powers.size());
  for (size_t i = 0; i < powers.size(); ++i) {
    shares.push_back({factor * powers[i].watts * row.seconds[i], powers[i].sigma_w * row.seconds[i]});
  }
  return shares;
}

Repeated Combine(std::span<const StageShare> runs, double relative_error, EnergySource source) {
  Repeated repeated;
  if (runs.empty() || source == EnergySource::kNone) return repeated;
  const auto count = static_cast<double>(runs.size());
  double sum = 0;
  double variance = 0;
  double low = INFINITY;
  double high = -INFINITY;
  for (const StageShare& run : runs) {
    sum += run.joules;
    variance += run.sigma_j * run.sigma_j;
    low = std::min(low, run.joules);
    high = std::max(high, run.joules);
  }
  const double mean = sum / count;
  // Not divided by the number of runs: what a phase can't tell, more of them can't either.
  const double told = kNormal95 * std::sqrt(variance / count);
  double half = told;
  if (runs.size() > 1) {
    double squares = 0;
    for (const StageShare& run : runs) squares += (run.joules - mean) * (run.joules - mean);
    half = std::max(half, StudentT(runs.size() - 1) * std::sqrt(squares / (count - 1) / count));
  }
  repeated.joules = {mean, std::max(0.0, mean - half) * (1 - relative_error), (mean + half) * (1 + relative_error),
                     source};
  repeated.runs = runs.size();
  repeated.spread = mean > 0 ? (high - low) / mean : 0;
  repeated.resolved = mean > 0 && told <= kResolvedShare * mean;
  return repeated;
}

}  // namespace eyeshot
