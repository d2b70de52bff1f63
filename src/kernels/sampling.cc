#include "kernels/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>

#include "base/splitmix64.h"

namespace eyeshot {
namespace {

// Candidates are kept as one integer whose order is: higher logit first, then lower id.
// Float bits are made monotonic by flipping all bits of negatives and the sign of positives.
uint64_t Candidate(float logit, uint32_t id) {
  const uint32_t bits = std::bit_cast<uint32_t>(logit);
  const uint32_t ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return (uint64_t{ordered} << 32) | (0xffffffffu - id);
}

float LogitOf(uint64_t candidate) {
  const auto ordered = static_cast<uint32_t>(candidate >> 32);
  return std::bit_cast<float>((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}

int32_t IdOf(uint64_t candidate) { return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(candidate)); }

float Penalized(float logit, float penalty) { return logit > 0 ? logit / penalty : logit * penalty; }

// Uniform in [0, 1), by seed and step alone.
double Uniform(const SamplerParams& params, uint32_t step) {
  const uint64_t seed = (uint64_t{params.seed_high} << 32) | params.seed_low;
  return UnitOfBits(SplitMix64(seed + step * kSplitMix64Step));
}

// Candidates from the most probable on, in order no further than they have been asked for: a draw seldom goes far, and
// to sort a vocabulary takes as long as half a step of a small model.
class Ranking {
 public:
  explicit Ranking(std::span<uint64_t> candidates) : candidates_(candidates) {}

  size_t size() const { return candidates_.size(); }
  void Keep(size_t count) { candidates_ = candidates_.first(count); }
  uint64_t operator[](size_t i) {
    while (i >= sorted_) SortMore();
    return candidates_[i];
  }
  // The sum over all of exp(logit - the best one's).
  double Total() {
    const double best = LogitOf((*this)[0]);
    double total = 0;
    for (const uint64_t candidate : candidates_) total += std::exp(LogitOf(candidate) - best);
    return total;
  }

 private:
  static constexpr size_t kFirst = 256;
  static constexpr size_t kGrowth = 8;

  void SortMore() {
    const size_t end = std::min(candidates_.size(), std::max(kFirst, sorted_ * kGrowth));
    const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted_);
    const auto middle = candidates_.begin() + static_cast<std::ptrdiff_t>(end);
    if (end < candidates_.size()) std::nth_element(begin, middle, candidates_.end(), std::greater<>());
    std::sort(begin, middle, std::greater<>());
    sorted_ = end;
  }

  std::span<uint64_t> candidates_;
  size_t sorted_ = 0;
};

// How many candidates top-p and min-p leave (at least one).
size_t CountKept(Ranking& ranking, const SamplerParams& params) {
  const double best = LogitOf(ranking[0]);
  const double total = ranking.Total();
  double sum = 0;
  size_t kept = 0;
  for (; kept < ranking.size(); ++kept) {
    const double weight = std::exp(LogitOf(ranking[kept]) - best);  // relative to the best one's 1
    if (kept > 0 && (weight < params.min_p || sum >= params.top_p * total)) break;
    sum += weight;
  }
  return kept;
}

int32_t Draw(Ranking& ranking, double uniform) {
  const double best = LogitOf(ranking[0]);
  double target = uniform * ranking.Total();
  for (size_t i = 0; i < ranking.size(); ++i) {
    target -= std::exp(LogitOf(ranking[i]) - best);
    if (target < 0) return IdOf(ranking[i]);
  }
  return IdOf(ranking[ranking.size() - 1]);
}

}  // namespace

int32_t SampleToken(std::span<const float> logits, const SamplerParams& params, uint32_t step,
                    std::span<const uint8_t> seen, std::span<uint64_t> scratch) {
  const bool penalize = params.repetition_penalty != 1.0f && !seen.empty();
  const bool greedy = params.temperature <= 0;
  const float inverse_temperature = greedy ? 1.0f : 1.0f / params.temperature;
  size_t count = 0;
  uint64_t best = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    float logit = logits[id];
    if (std::isnan(logit)) continue;
    if (penalize && seen[id] != 0) logit = Penalized(logit, params.repetition_penalty);
    const uint64_t candidate = Candidate(logit * inverse_temperature, static_cast<uint32_t>(id));
    if (greedy) {
      best = std::max(best, candidate);
    } else {
      scratch[count] = candidate;
    }
    ++count;
  }
  if (count == 0) return 0;
  if (greedy) return IdOf(best);

  std::span<uint64_t> candidates = scratch.first(count);
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < count) {
    const auto kth = candidates.begin() + params.top_k;
    std::nth_element(candidates.begin(), kth, candidates.end(), std::greater<>());
    candidates = candidates.first(static_cast<size_t>(params.top_k));
  }
  Ranking ranking(candidates);
  if (params.top_p < 1.0f || params.min_p > 0.0f) ranking.Keep(CountKept(ranking, params));
  return Draw(ranking, Uniform(params, step));
}

}  // namespace eyeshot
