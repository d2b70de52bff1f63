#include "kernels/sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>
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

// Of candidates sorted from the most probable, how many top-p and min-p leave (at least one).
size_t CountKept(std::span<const uint64_t> sorted, const SamplerParams& params, double total) {
  const double best = LogitOf(sorted[0]);
  double sum = 0;
  size_t kept = 0;
  for (uint64_t candidate : sorted) {
    const double weight = std::exp(LogitOf(candidate) - best);  // relative to the best one's 1
    if (kept > 0 && (weight < params.min_p || sum >= params.top_p * total)) break;
    sum += weight;
    ++kept;
  }
  return kept;
}

int32_t Draw(std::span<const uint64_t> candidates, double uniform) {
  const double best = LogitOf(candidates[0]);
  double total = 0;
  for (uint64_t candidate : candidates) total += std::exp(LogitOf(candidate) - best);
  double target = uniform * total;
  for (uint64_t candidate : candidates) {
    target -= std::exp(LogitOf(candidate) - best);
    if (target < 0) return IdOf(candidate);
  }
  return IdOf(candidates.back());
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
  std::sort(candidates.begin(), candidates.end(), std::greater<>());
  if (params.top_p < 1.0f || params.min_p > 0.0f) {
    double total = 0;
    for (uint64_t candidate : candidates) total += std::exp(double{LogitOf(candidate)} - LogitOf(candidates[0]));
    candidates = candidates.first(CountKept(candidates, params, total));
  }
  return Draw(candidates, Uniform(params, step));
}

}  // namespace eyeshot
