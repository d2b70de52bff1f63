#include "energy/meters/phases.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "energy/meters/synthetic.h"

namespace eyeshot {
namespace {

constexpr uint64_t kMs = 1'000'000;

// Requests whose stages draw known powers one after the other, and a counter over them.
struct Machine {
  std::vector<double> watts;    // by stage
  std::vector<double> seconds;  // of one request, by stage

  double RequestSeconds() const {
    double sum = 0;
    for (const double part : seconds) sum += part;
    return sum;
  }
  double RequestJoules() const {
    double sum = 0;
    for (size_t i = 0; i < watts.size(); ++i) sum += watts[i] * seconds[i];
    return sum;
  }
  double JoulesAt(uint64_t ns) const {
    const double at = static_cast<double>(ns) * 1e-9;
    const double whole = std::floor(at / RequestSeconds());
    double joules = whole * RequestJoules();
    double left = at - whole * RequestSeconds();
    for (size_t i = 0; i < watts.size(); ++i) {
      joules += watts[i] * std::min(left, seconds[i]);
      left = std::max(0.0, left - seconds[i]);
    }
    return joules;
  }
};

struct Recording {
  MeterInfo info;
  std::vector<EnergySample> samples;
  std::vector<uint64_t> boundaries;
};

Recording Record(const Machine& machine, double period_s, double phase_s, uint64_t poll_ns = 5 * kMs) {
  Recording recording;
  recording.info = {
      .name = "synthetic", .source = EnergySource::kNvmlCounter, .resolution_j = 1e-3, .resolution_s = period_s};
  uint64_t now = 0;
  SyntheticMeter meter(recording.info, [&](uint64_t ns) { return machine.JoulesAt(ns); }, [&] { return now; });
  for (; static_cast<double>(now) * 1e-9 <= phase_s; now += poll_ns) recording.samples.push_back(*meter.Read());
  const auto step = machine.RequestSeconds() * 1e9;
  for (double at = 0; at <= phase_s * 1e9; at += step) recording.boundaries.push_back(static_cast<uint64_t>(at));
  return recording;
}

Result<PhaseEnergy> Measured(const Recording& recording, uint64_t lead_ns = 100 * kMs) {
  return EnergyOfPhase(recording.info, recording.samples, recording.boundaries, lead_ns);
}

// Counters of many periods, requests much shorter and much longer than these.
TEST(PhasesTest, KnownPowerGivesKnownJoules) {
  for (const double period : {0.001, 0.02, 0.1}) {
    for (const double scale : {0.1, 1.0, 20.0}) {
      const Machine machine{{600, 150, 90}, {0.004 * scale, 0.007 * scale, 0.001 * scale}};
      const Recording recording = Record(machine, period, 2.0);
      const auto energy = Measured(recording);
      ASSERT_TRUE(energy.ok()) << energy.status().message();
      const double joules = energy->joules / static_cast<double>(energy->last - energy->first);
      EXPECT_NEAR(joules / machine.RequestJoules(), 1, 0.01) << period << " " << scale;
      EXPECT_LE(std::abs(energy->joules - machine.RequestJoules() * static_cast<double>(energy->last - energy->first)),
                4 * energy->sigma_j + 1e-3)
          << period << " " << scale;
      EXPECT_NEAR(energy->period_s, std::max(period, 0.005), 0.006);
    }
  }
}

TEST(PhasesTest, TheFirstRequestsAreLeftOut) {
  const Recording recording = Record({{100}, {0.01}}, 0.02, 1.0);
  const auto energy = Measured(recording, 300 * kMs);
  ASSERT_TRUE(energy.ok());
  EXPECT_GE(recording.boundaries[energy->first], 300 * kMs);
  EXPECT_LE(recording.boundaries[energy->last], 1000 * kMs);
}

// A counter that stands still, moves too seldom, goes back, or wasn't read has no figure but a reason.
TEST(PhasesTest, OddCountersHaveNoFigure) {
  const Machine machine{{100}, {0.01}};
  EXPECT_EQ(Measured(Record(machine, 0.5, 1.0)).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(Measured(Record({{0}, {0.01}}, 0.02, 1.0)).status().code(), StatusCode::kNotFound);
  Recording back = Record(machine, 0.02, 1.0);
  back.samples[100].joules = 0;
  EXPECT_EQ(Measured(back).status().code(), StatusCode::kCorrupt);
  Recording unread = Record(machine, 0.02, 1.0);
  unread.samples.clear();
  EXPECT_EQ(Measured(unread).status().code(), StatusCode::kNotFound);
  Recording idle = Record(machine, 0.02, 1.0);
  idle.boundaries.clear();
  EXPECT_EQ(Measured(idle).status().code(), StatusCode::kNotFound);
  Recording stalled = Record(machine, 0.02, 1.0);
  for (size_t i = 25; i < stalled.samples.size(); ++i) stalled.samples[i].joules = stalled.samples[25].joules;
  EXPECT_EQ(Measured(stalled).status().code(), StatusCode::kNotFound);
}

// Preprocess, encode, connect, prefill, decode, between.
constexpr double kPowers[] = {95, 610, 420, 510, 180, 90};

PhaseRow RowOf(std::vector<double> seconds, double relative_sigma = 0.002) {
  PhaseRow row{.seconds = std::move(seconds)};
  for (size_t i = 0; i < row.seconds.size(); ++i) row.joules += kPowers[i] * row.seconds[i];
  row.sigma_j = relative_sigma * row.joules;
  return row;
}

// What `eyeshot energy` measures of a picture: preprocessing alone, one token, as many tokens of text, a long answer.
std::vector<PhaseRow> Phases() {
  return {RowOf({0.003, 0, 0, 0, 0, 0}), RowOf({0, 0, 0, 0, 0, 1}),
          RowOf({0.003, 0.012, 0.0002, 0.006, 0.0001, 0.0003}), RowOf({0, 0, 0, 0.006, 0.0001, 0.0003}),
          RowOf({0.003, 0.012, 0.0002, 0.006, 0.060, 0.0003})};
}

TEST(PhasesTest, StagesAreToldApart) {
  const std::vector<PhaseRow> rows = Phases();
  const std::vector<double> expected(6, 300.0);
  const auto powers = SolvePowers(rows, expected);
  ASSERT_TRUE(powers.ok());
  const std::vector<StageShare> shares = SharesOf(rows.back(), *powers);
  double sum = 0;
  for (const StageShare& share : shares) sum += share.joules;
  EXPECT_NEAR(sum, rows.back().joules, 1e-12);
  for (const size_t stage : {0u, 1u, 3u, 4u}) {
    EXPECT_NEAR((*powers)[stage].watts / kPowers[stage], 1, 0.01) << stage;
    EXPECT_TRUE(Combine({&shares[stage], 1}, 0, EnergySource::kNvmlCounter).resolved) << stage;
  }
  // The connector always runs with the encoder: it stays at what was expected, and says so.
  EXPECT_FALSE(Combine({&shares[2], 1}, 0, EnergySource::kNvmlCounter).resolved);
}

TEST(PhasesTest, WithoutPhasesThatDifferTheExpectedPowerStays) {
  const std::vector<PhaseRow> rows = {RowOf({0.01, 0.01, 0, 0, 0, 0})};
  const std::vector<double> expected(6, 352.5);
  const auto powers = SolvePowers(rows, expected);
  ASSERT_TRUE(powers.ok());
  const std::vector<StageShare> shares = SharesOf(rows[0], *powers);
  EXPECT_NEAR(shares[0].joules + shares[1].joules, rows[0].joules, 1e-12);
  EXPECT_FALSE(Combine({&shares[0], 1}, 0, EnergySource::kRapl).resolved);
}

TEST(PhasesTest, NoPowerIsNegative) {
  // A longer answer that took less than a short one.
  const std::vector<PhaseRow> rows = {{{0.010, 0.0}, 5, 0.05}, {{0.010, 0.010}, 4, 0.05}};
  const auto powers = SolvePowers(rows, std::vector<double>(2, 300.0));
  ASSERT_TRUE(powers.ok());
  EXPECT_EQ((*powers)[1].watts, 0);
  const std::vector<StageShare> shares = SharesOf(rows[1], *powers);
  EXPECT_NEAR(shares[0].joules, 4, 1e-12);
  EXPECT_EQ(shares[1].joules, 0);
  EXPECT_FALSE(Combine({&shares[1], 1}, 0, EnergySource::kRapl).resolved);
}

TEST(PhasesTest, RowsThatDontFitAreRefused) {
  const std::vector<double> expected(2, 100.0);
  EXPECT_FALSE(SolvePowers({}, expected).ok());
  EXPECT_FALSE(SolvePowers(std::vector<PhaseRow>{{{1}, 1, 1}}, expected).ok());
  EXPECT_FALSE(SolvePowers(std::vector<PhaseRow>{{{1, 1}, 1, 0}}, expected).ok());
  EXPECT_FALSE(SolvePowers(std::vector<PhaseRow>{{{1, 1}, 1, 1}}, std::vector<double>(2, 0.0)).ok());
}

TEST(PhasesTest, BoundsHoldTheErrorAndTheScatter) {
  const std::vector<StageShare> runs = {{9.9, 0.3}, {10, 0.3}, {10.1, 0.3}, {10, 0.3}};
  const Repeated repeated = Combine(runs, 0, EnergySource::kNvmlCounter);
  EXPECT_NEAR(repeated.joules.value, 10, 1e-12);
  EXPECT_NEAR(repeated.spread, 0.02, 1e-9);
  EXPECT_NEAR(repeated.joules.high - 10, 1.96 * 0.3, 1e-9);
  EXPECT_TRUE(repeated.resolved);
  // It scatters, but it is measured.
  const std::vector<StageShare> scattered = {{8, 0.1}, {12, 0.1}};
  const Repeated wide = Combine(scattered, 0.05, EnergySource::kNvmlPower);
  EXPECT_EQ(wide.joules.low, 0);
  EXPECT_TRUE(wide.resolved);
  EXPECT_EQ(Combine(scattered, 0, EnergySource::kNone).joules.source, EnergySource::kNone);
  EXPECT_TRUE(repeated.repeatable());
  EXPECT_FALSE(wide.repeatable());
  // One run says nothing of the next.
  EXPECT_FALSE(Combine(std::vector<StageShare>{{10, 0.1}}, 0, EnergySource::kRapl).repeatable());
  // What no phase tells stays so, however often it is repeated.
  const std::vector<StageShare> untold(1000, StageShare{10, 10});
  EXPECT_FALSE(Combine(untold, 0, EnergySource::kRapl).resolved);
}

}  // namespace
}  // namespace eyeshot
