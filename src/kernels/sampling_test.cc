#include "kernels/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "base/splitmix64.h"

namespace eyeshot {
namespace {

int32_t Choose(const std::vector<float>& logits, const SamplerParams& params, uint32_t step = 0,
               const std::vector<uint8_t>& seen = {}) {
  std::vector<uint64_t> scratch(logits.size());
  return SampleToken(logits, params, step, seen, scratch);
}

// Shares of the tokens over many draws.
std::map<int32_t, double> Shares(const std::vector<float>& logits, const SamplerParams& params) {
  constexpr uint32_t kDraws = 20000;
  std::map<int32_t, double> shares;
  for (uint32_t step = 0; step < kDraws; ++step) shares[Choose(logits, params, step)] += 1.0 / kDraws;
  return shares;
}

// Logits whose softmax is 0.5, 0.25, 0.15, 0.1.
const std::vector<float> kLogits = {std::log(0.25f), std::log(0.5f), std::log(0.1f), std::log(0.15f)};

TEST(SamplingTest, GreedyTakesTheHighestAndTheLowestIdAmongEquals) {
  EXPECT_EQ(Choose({-3, -1, -2}, {}), 1);
  EXPECT_EQ(Choose({0, 7, 7}, {}), 1);
  EXPECT_EQ(Choose({-0.5f, -std::numeric_limits<float>::infinity()}, {}), 0);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Choose({nan, -4, nan}, {}), 1);
  EXPECT_EQ(Choose({nan, nan}, {}), 0);
}

TEST(SamplingTest, RepetitionPenaltyPushesSeenTokensDown) {
  EXPECT_EQ(Choose({2.0f, 1.9f}, {.repetition_penalty = 1.2f}, 0, {1, 0}), 1);
  EXPECT_EQ(Choose({-1.0f, -1.1f}, {.repetition_penalty = 1.2f}, 0, {1, 0}), 1);
  EXPECT_EQ(Choose({2.0f, 1.0f}, {.repetition_penalty = 1.2f}, 0, {1, 0}), 0);
}

TEST(SamplingTest, DrawsFollowTheSoftmax) {
  const auto shares = Shares(kLogits, {.temperature = 1});
  EXPECT_NEAR(shares.at(1), 0.5, 0.015);
  EXPECT_NEAR(shares.at(0), 0.25, 0.015);
  EXPECT_NEAR(shares.at(3), 0.15, 0.015);
  EXPECT_NEAR(shares.at(2), 0.1, 0.015);
}

TEST(SamplingTest, TemperatureSharpens) {
  // Squared probabilities, normalized: 0.25 / 0.345 for the first.
  EXPECT_NEAR(Shares(kLogits, {.temperature = 0.5f}).at(1), 0.7246, 0.015);
}

TEST(SamplingTest, TopKKeepsTheKMostProbable) {
  const auto shares = Shares(kLogits, {.temperature = 1, .top_k = 2});
  EXPECT_EQ(shares.size(), 2u);
  EXPECT_NEAR(shares.at(1), 2.0 / 3, 0.015);
}

TEST(SamplingTest, TopPKeepsTheSmallestSetThatReachesIt) {
  EXPECT_EQ(Shares(kLogits, {.temperature = 1, .top_p = 0.5f}).size(), 1u);
  EXPECT_EQ(Shares(kLogits, {.temperature = 1, .top_p = 0.7f}).size(), 2u);
  EXPECT_EQ(Shares(kLogits, {.temperature = 1, .top_p = 0.8f}).size(), 3u);
}

TEST(SamplingTest, MinPKeepsWhatIsProbableEnoughBesideTheBest) {
  EXPECT_EQ(Shares(kLogits, {.temperature = 1, .min_p = 0.4f}).size(), 2u);
  EXPECT_EQ(Shares(kLogits, {.temperature = 1, .min_p = 0.25f}).size(), 3u);
  EXPECT_EQ(Shares(kLogits, {.temperature = 1, .min_p = 1.0f}).size(), 1u);
}

// What SampleToken does, with all candidates sorted.
int32_t ChooseBySorting(const std::vector<float>& logits, const SamplerParams& params, uint32_t step) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (params.top_k > 0) ids.resize(std::min(ids.size(), static_cast<size_t>(params.top_k)));
  const auto weight = [&](int32_t id) {
    const double inverse_temperature = 1.0f / params.temperature;
    return std::exp((logits[id] - double{logits[ids[0]]}) * inverse_temperature);
  };
  const auto sum = [&] {
    return std::accumulate(ids.begin(), ids.end(), 0.0, [&](double total, int32_t id) { return total + weight(id); });
  };
  const double total = sum();
  double reached = weight(ids[0]);
  size_t kept = 1;
  for (; kept < ids.size() && weight(ids[kept]) >= params.min_p && reached < params.top_p * total; ++kept) {
    reached += weight(ids[kept]);
  }
  ids.resize(kept);
  double target = UnitOfBits(SplitMix64(params.seed_low + step * kSplitMix64Step)) * sum();
  for (const int32_t id : ids) {
    target -= weight(id);
    if (target < 0) return id;
  }
  return ids.back();
}

// Draws that end among the most probable, and such that go far into the vocabulary.
TEST(SamplingTest, ManyCandidatesAreDrawnAsIfAllWereSorted) {
  std::vector<float> logits(20000);
  const SamplerParams settings[] = {{.temperature = 1},
                                    {.temperature = 0.5f, .top_p = 0.9f},
                                    {.temperature = 1, .min_p = 0.05f},
                                    {.temperature = 0.25f, .top_p = 0.95f, .top_k = 3000}};
  for (const float spread : {0.25f, 4.0f, 16.0f}) {
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = spread * static_cast<float>(SplitMix64(i) % 4093) / 4093.0f;
    for (const SamplerParams& params : settings) {
      for (uint32_t step = 0; step < 8; ++step) {
        EXPECT_EQ(Choose(logits, params, step), ChooseBySorting(logits, params, step)) << spread << ", step " << step;
      }
    }
  }
}

TEST(SamplingTest, SeedAndStepDecideTheDraw) {
  std::vector<float> flat(1000, 0.0f);
  const SamplerParams a{.temperature = 1, .seed_low = 1};
  const SamplerParams b{.temperature = 1, .seed_low = 2};
  EXPECT_EQ(Choose(flat, a, 5), Choose(flat, a, 5));
  int equal = 0;
  for (uint32_t step = 0; step < 50; ++step) equal += Choose(flat, a, step) == Choose(flat, b, step) ? 1 : 0;
  EXPECT_LT(equal, 5);
}

}  // namespace
}  // namespace eyeshot
