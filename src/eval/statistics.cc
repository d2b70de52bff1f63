#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/splitmix64.h"

namespace eyeshot::eval {
namespace {

constexpr size_t kSamples = 10000;
constexpr double kZ95 = 1.959963984540054;  // the normal distribution's 97.5 %

// The i-th of a stream of numbers below `bound`.
size_t Draw(uint64_t seed, uint64_t i, size_t bound) {
  // The upper half of a product instead of a remainder: even, and no division.
  const uint64_t bits = SplitMix64(seed + i * kSplitMix64Step) >> 32;
  return static_cast<size_t>(bits * bound >> 32);
}

// The p-th quantile of sorted values, linear between neighbours.
double Quantile(std::span<const double> sorted, double p) {
  const double place = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

Interval WilsonInterval(uint64_t hits, uint64_t count) {
  if (count == 0) return {0, 0, 1};
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(hits) / n;
  const double z2 = kZ95 * kZ95;
  const double middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const double reach = kZ95 / (1 + z2 / n) * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
  // Exactly 0 and 1 where nothing or all was hit.
  return {share, hits == 0 ? 0 : middle - reach, hits == count ? 1 : middle + reach};
}

Interval BootstrapRatio(std::span<const double> numerators, std::span<const double> denominators, uint64_t seed) {
  EYESHOT_CHECK(numerators.size() == denominators.size());
  double above = 0;
  double below = 0;
  for (size_t i = 0; i < numerators.size(); ++i) {
    above += numerators[i];
    below += denominators[i];
  }
  if (below == 0) return {};
  std::vector<double> ratios;
  ratios.reserve(kSamples);
  uint64_t drawn = 0;
  for (size_t sample = 0; sample < kSamples; ++sample) {
    double sum = 0;
    double weight = 0;
    for (size_t i = 0; i < numerators.size(); ++i) {
      const size_t pick = Draw(seed, drawn++, numerators.size());
      sum += numerators[pick];
      weight += denominators[pick];
    }
    ratios.push_back(weight == 0 ? 0 : sum / weight);
  }
  std::sort(ratios.begin(), ratios.end());
  return {above / below, Quantile(ratios, 0.025), Quantile(ratios, 0.975)};
}

Interval BootstrapMean(std::span<const double> values, uint64_t seed) {
  const std::vector<double> ones(values.size(), 1.0);
  return BootstrapRatio(values, ones, seed);
}

Interval ScoreInterval(std::span<const double> scores, bool share, uint64_t seed) {
  if (!share) return BootstrapMean(scores, seed);
  return WilsonInterval(static_cast<uint64_t>(std::count(scores.begin(), scores.end(), 1.0)), scores.size());
}

Interval PairedDifference(std::span<const double> a, std::span<const double> b, uint64_t seed) {
  EYESHOT_CHECK(a.size() == b.size());
  std::vector<double> differences;
  differences.reserve(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(b[i] - a[i]);
  return BootstrapMean(differences, seed);
}

}  // namespace eyeshot::eval
