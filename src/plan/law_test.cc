// The published optimum, and what the published figures fix.
#include "plan/law.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "plan/planner.h"

namespace eyeshot::plan {
namespace {

constexpr double kMost = 576;

// A ladder of models and of numbers of tokens, each costing 2 N (Q + V) + F: what the paper chooses from.
Candidate Best(Task task, double text_tokens, double fixed_gflops, double gflops) {
  std::vector<Candidate> candidates;
  const ScalingLaw law = LawOf(task);
  for (double size = 0.1; size < 100; size *= 1.03) {
    for (const double tokens : {1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 24.0, 36.0, 64.0, 144.0, 576.0}) {
      Candidate candidate;
      candidate.ms = 2 * size * (text_tokens + tokens) + fixed_gflops;  // a machine of 1 TFLOP/s
      candidate.accuracy.value = 1 - law.Error(size, tokens);
      candidate.cost.request.visual_tokens = static_cast<int64_t>(tokens);
      candidate.cost.memory.weights = size * 1e9;
      candidates.push_back(candidate);
    }
  }
  return candidates[*Choose(candidates, {.goal = Goal::kAccuracy, .most_ms = gflops})];
}

TEST(LawTest, WithACachedQuestionOneTokenAndTheLargestModel) {
  EXPECT_EQ(BestTokens(PublishedLaw(), 0, kMost), 1);
  EXPECT_EQ(BestAtFlops(PublishedLaw(), 60, 0, 0, kMost).tokens, 1);
  const Candidate best = Best(Task::kReasoning, 0, 0, 60);
  EXPECT_EQ(best.cost.request.visual_tokens, 1);
  EXPECT_NEAR(best.cost.memory.weights, 30e9, 1e9);  // the largest that 60 GFLOP pay for
}

TEST(LawTest, FiftyTokensOfTextWantTenToSixteen) {
  const double tokens = BestTokens(PublishedLaw(), 50, kMost);
  EXPECT_GE(tokens, 10);
  EXPECT_LE(tokens, 16);
  EXPECT_NEAR(BestAtFlops(PublishedLaw(), 1000, 50, 0, kMost).tokens, tokens, 0.1);  // the formula is the search's
  const int64_t chosen = Best(Task::kReasoning, 50, 0, 1000).cost.request.visual_tokens;
  EXPECT_GE(chosen, 10);
  EXPECT_LE(chosen, 16);
}

TEST(LawTest, ReadingKeepsAllTokens) {
  EXPECT_EQ(BestTokens(ReadingLaw(), 50, kMost), kMost);
  EXPECT_EQ(BestAtFlops(ReadingLaw(), 5000, 50, 0, kMost).tokens, kMost);
  EXPECT_EQ(Best(Task::kReading, 50, 0, 5000).cost.request.visual_tokens, 576);
}

TEST(LawTest, AnEncoderShrinksTheModelAndNotTheTokens) {
  const LawOptimum without = BestAtFlops(PublishedLaw(), 1000, 50, 0, kMost);
  const LawOptimum with = BestAtFlops(PublishedLaw(), 1000, 50, 400, kMost);
  EXPECT_NEAR(with.tokens, without.tokens, 0.1);
  EXPECT_NEAR(with.parameters_b, 0.6 * without.parameters_b, 1e-3);
  const Candidate small = Best(Task::kReasoning, 50, 400, 1000);
  const Candidate large = Best(Task::kReasoning, 50, 0, 1000);
  EXPECT_EQ(small.cost.request.visual_tokens, large.cost.request.visual_tokens);
  EXPECT_NEAR(small.cost.memory.weights / large.cost.memory.weights, 0.6, 0.03);
}

LawGrid PublishedGrid() {
  std::ifstream in(EYESHOT_SOURCE_DIR "/data/plan/visual_tokens_grid.json");
  return ParseLawGrid(std::string{std::istreambuf_iterator<char>(in), {}}, "grid").value();
}

TEST(LawTest, RefitFindsThePublishedExponentsAndNoFloor) {
  const LawGrid grid = PublishedGrid();
  EXPECT_EQ(grid.reasoning.size(), 28u);
  EXPECT_EQ(grid.reading.size(), 27u);  // without the one that is suspicious
  const LawFit none = FitLaw(grid.reasoning, 0);
  EXPECT_NEAR(none.law.scale, 0.591, 0.001);
  EXPECT_NEAR(none.law.alpha, 0.0709, 0.0005);
  EXPECT_NEAR(none.law.beta, 0.0151, 0.0002);
  const LawFit published = FitLaw(grid.reasoning, PublishedLaw().floor);
  EXPECT_NEAR(published.law.alpha, PublishedLaw().alpha, 0.002);
  EXPECT_NEAR(published.law.beta, PublishedLaw().beta, 0.002);
  const LawFit reading = FitLaw(grid.reading, 0);
  EXPECT_NEAR(reading.law.alpha, ReadingLaw().alpha, 0.0002);
  EXPECT_NEAR(reading.law.beta, ReadingLaw().beta, 0.0002);

  const FloorProfile profile = ProfileFloor(grid.reasoning, 50);
  EXPECT_FALSE(profile.identified);
  EXPECT_EQ(profile.low, 0);
  EXPECT_GT(profile.high, 0.08);
}

TEST(LawTest, AFloorThatPointsDoFixIsFound) {
  const ScalingLaw law{.scale = 0.4, .alpha = 0.3, .beta = 0.2, .floor = 0.2};
  std::vector<LawPoint> points;
  for (const double size : {0.1, 1.0, 10.0, 100.0}) {
    for (const double tokens : {1.0, 10.0, 100.0, 1000.0}) {
      const double wobble = 0.0005 * std::sin(size * 7 + tokens);
      points.push_back({size, tokens, 1 - law.Error(size, tokens) + wobble});
    }
  }
  const FloorProfile profile = ProfileFloor(points, 100);
  EXPECT_TRUE(profile.identified);
  EXPECT_NEAR(profile.best.law.floor, 0.2, 0.01);
}

TEST(LawTest, BrokenGridsAreNamed) {
  for (const char* text : {"{}", R"({"source": "s", "decoder_parameters_b": [1], "visual_tokens": [1, 2]})",
                           R"({"source": "s", "decoder_parameters_b": [1, 2], "visual_tokens": [1, 2],
                               "tasks": {"reasoning": {"accuracy": [[0.1, 0.2], [0.3]]}, "reading": {}}})",
                           R"({"source": "s", "decoder_parameters_b": [1, 2], "visual_tokens": [1, 2],
                               "tasks": {"reasoning": {"accuracy": [[0.1, 0.2], [0.3, 7]]}, "reading": {}}})"}) {
    EXPECT_NE(ParseLawGrid(text, "grid.json").status().message().find("grid.json"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace eyeshot::plan
