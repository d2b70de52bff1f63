// Profiles, the clocks that policies make of them, and the governor that sets them while stages go by.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "energy/governors/clock_plan.h"
#include "energy/governors/profile.h"
#include "energy/governors/slo_feedback.h"
#include "energy/governors/stage_governor.h"
#include "energy/testing.h"

namespace eyeshot {
namespace {

const std::vector<double> kClocks = {500, 1000, 1500, 2000};

// seconds = fixed + work / f, watts = base + cubic f^3.
StageCurve Curve(double fixed_s, double per_ghz_s, double base_w, double cubic_w) {
  StageCurve curve;
  for (const double mhz : kClocks) {
    const double ghz = mhz / 1000;
    const double seconds = fixed_s + per_ghz_s / ghz;
    curve.points.push_back({mhz, seconds, seconds * (base_w + cubic_w * ghz * ghz * ghz)});
  }
  curve.fit = FitStage(curve.points);
  return curve;
}

// Encoding computes, decoding waits for memory, prefill is short.
TuneProfile Profile() {
  TuneProfile profile{.machine = "m",
                      .model = "tiny",
                      .precision = "int8",
                      .date = "2026-11-26",
                      .energy_source = "rapl",
                      .switch_s = 0.001};
  profile.stages = {Curve(0.01, 0.2, 20, 5), Curve(0.001, 0.004, 20, 5), Curve(0.5, 0.002, 20, 5)};
  profile.threads = {{1, 60}, {2, 98}, {4, 100}};
  profile.decode_threads = 2;
  return profile;
}

ClockPlan Plan(const char* governor, double slowdown = 0.05, const TuneProfile& profile = Profile()) {
  const auto plan = PlanClocks(ParseGovernor(governor).value(), kClocks, &profile, slowdown);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return plan.ok() ? *plan : ClockPlan();
}

TEST(ProfileTest, FitsFindTheLawThatMadeThePoints) {
  const StageFit fit = Curve(0.01, 0.2, 20, 5).fit;
  EXPECT_NEAR(fit.fixed_s, 0.01, 1e-9);
  EXPECT_NEAR(fit.per_ghz_s, 0.2, 1e-9);
  EXPECT_NEAR(fit.base_w, 20, 1e-6);
  EXPECT_NEAR(fit.cubic_w, 5, 1e-6);
  EXPECT_NEAR(fit.JoulesAt(1200), (0.01 + 0.2 / 1.2) * (20 + 5 * 1.728), 1e-6);
  EXPECT_LT(fit.time_error + fit.power_error, 1e-9);
}

TEST(ProfileTest, NoCoefficientIsBelowZero) {
  // Faster at a lower clock: scatter, not a law.
  const StageFit fit = FitStage({{500, 0.9, {}}, {1000, 1.0, {}}, {2000, 1.1, {}}});
  EXPECT_EQ(fit.per_ghz_s, 0);
  EXPECT_GT(fit.fixed_s, 0.9);
  EXPECT_FALSE(fit.has_power);
}

TEST(ProfileTest, ComesBackAsItWasWritten) {
  const auto read = ParseProfile(ProfileText(Profile()), "profile.json");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(ProfileText(*read), ProfileText(Profile()));
  EXPECT_NEAR(read->stages[0].fit.per_ghz_s, 0.2, 1e-9);
}

TEST(ProfileTest, DamageIsNamed) {
  const auto error = [](const std::string& from, const std::string& to) {
    std::string text = ProfileText(Profile());
    text.replace(text.find(from), from.size(), to);
    const auto read = ParseProfile(text, "profile.json");
    return read.ok() ? "" : read.status().message();
  };
  EXPECT_TRUE(Has(error("\"clock_mhz\": 1000.0", "\"clock_mhz\": 400"), "clocks that ascend"));
  EXPECT_TRUE(Has(error("\"eyeshot_profile\": 1", "\"eyeshot_profile\": 2"), "eyeshot_profile"));
  EXPECT_TRUE(Has(error("\"prefill\"", "\"prefil\""), "eyeshot tune"));
  EXPECT_TRUE(Has(error("\"threads\": 4", "\"threads\": 4000"), "threads"));
}

TEST(ProfileTest, TheFewestThreadsThatAreFastEnough) {
  EXPECT_EQ(FewestThreads(Profile().threads, 0.03), 2);
  EXPECT_EQ(FewestThreads(Profile().threads, 0.01), 4);
  EXPECT_EQ(FewestThreads({}, 0.03), 0);
}

TEST(ClockPlanTest, StagesThatWaitForMemoryAreLoweredAtNoCost) {
  const ClockPlan plan = Plan("memory-safe");
  EXPECT_EQ(List(plan.clock_mhz), List({2000, 2000, 500}));
  EXPECT_LT(CostOf(Profile(), plan.clock_mhz).seconds, 1.01 * CostOf(Profile(), {2000, 2000, 2000}).seconds);
}

TEST(ClockPlanTest, AStageIsOnlyLoweredWhereBothSwitchesPay) {
  EXPECT_EQ(List(Plan("stage-table").clock_mhz), List({2000, 2000, 500}));
  TuneProfile slow = Profile();
  slow.switch_s = 0.08;
  EXPECT_EQ(List(Plan("stage-table", 0.05, slow).clock_mhz), List({2000, 2000, 2000}));
}

TEST(ClockPlanTest, OneClockStaysWithinTheSlowdownOfTheWholeRequest) {
  const double base = CostOf(Profile(), {2000, 2000, 2000}).seconds;
  for (const double slowdown : {0.0, 0.05, 0.2, 1.0}) {
    const ClockPlan plan = Plan("one-clock", slowdown);
    EXPECT_LE(CostOf(Profile(), plan.clock_mhz).seconds, (1 + slowdown) * base * (1 + 1e-12));
  }
  EXPECT_EQ(List(Plan("one-clock", 0.0).clock_mhz), List({2000, 2000, 2000}));
  EXPECT_LT(Plan("one-clock", 0.2).clock_mhz[0], 2000);
}

TEST(ClockPlanTest, NoPolicyBeatsTheOracle) {
  for (const double slowdown : {0.02, 0.05, 0.2}) {
    const PlannedCost oracle = CostOf(Profile(), Plan("oracle", slowdown).clock_mhz);
    EXPECT_LE(oracle.seconds, (1 + slowdown) * CostOf(Profile(), {2000, 2000, 2000}).seconds);
    for (const char* const other : {"one-clock", "stage-table", "race-to-idle"}) {
      EXPECT_LE(oracle.joules, CostOf(Profile(), Plan(other, slowdown).clock_mhz).joules * (1 + 1e-12)) << other;
    }
  }
}

TEST(ClockPlanTest, NaivePoliciesAreEachOthersInverse) {
  EXPECT_EQ(List(Plan("encode-low").clock_mhz), List({1000, 1000, 2000}));
  EXPECT_EQ(List(Plan("decode-low").clock_mhz), List({2000, 2000, 1000}));
  EXPECT_EQ(List(Plan("fixed:1400").clock_mhz), List({1500, 1500, 1500}));
  EXPECT_EQ(Plan("ondemand").idle_mhz, 500);
  EXPECT_EQ(Plan("slo:250").target_s, 0.25);
}

TEST(ClockPlanTest, WhatCannotBePlannedSaysWhy) {
  const auto error = [](const char* governor, const TuneProfile* profile) {
    return PlanClocks(ParseGovernor(governor).value(), kClocks, profile, 0.05).status().message();
  };
  EXPECT_TRUE(Has(error("one-clock", nullptr), "eyeshot tune --allow-clocks"));
  TuneProfile profile = Profile();
  profile.energy_source = "none";
  EXPECT_TRUE(Has(error("one-clock", &profile), "take memory-safe"));
  EXPECT_EQ(error("memory-safe", &profile), "");
  profile.stages = {};
  EXPECT_TRUE(Has(error("memory-safe", &profile), "has no clocks"));
  EXPECT_TRUE(Has(error("fixed:9000", nullptr), "500 to 2000 MHz"));
  for (const char* const bad : {"fast", "fixed", "fixed:x", "slo:-1", "gears:3", "fixed:nan", ""}) {
    EXPECT_FALSE(ParseGovernor(bad).ok()) << bad;
  }
}

TEST(SloFeedbackTest, GoesUpOnMissesAndDownWhenCalm) {
  SloFeedback feedback({1800, 1900, 1950, 1980}, 1.0);
  for (int i = 0; i < 64; ++i) feedback.Observe(0.5);
  const double lowered = feedback.clock_mhz();
  EXPECT_LT(lowered, 1980);
  for (int i = 0; i < 64; ++i) feedback.Observe(0.97);  // near: kept
  EXPECT_EQ(feedback.clock_mhz(), lowered);
  for (int i = 0; i < 64; ++i) feedback.Observe(1.5);
  EXPECT_EQ(feedback.clock_mhz(), 1980);
}

// Notes what is set.
class FakeControl final : public ClockControl {
 public:
  const std::vector<double>& clocks_mhz() const override { return kClocks; }
  std::vector<MachineSetting> settings() const override { return {}; }
  Status SetHighest(double mhz) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    set_.push_back(mhz);
    return failing_ ? Status(StatusCode::kIo, "refused", "") : Status::Ok();
  }
  Status SetPowerLimit(double) override { return Status::Ok(); }
  Status SetPreference(const std::string&) override { return Status::Ok(); }

  // Waits until so many were set; what there is then.
  std::vector<double> WaitFor(size_t count) {
    for (int i = 0; i < 5000; ++i) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (set_.size() >= count) return set_;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return {};
  }
  void Fail() { failing_ = true; }

 private:
  std::mutex mutex_;
  std::vector<double> set_;
  std::atomic<bool> failing_ = false;
};

TEST(StageGovernorTest, SetsTheClockOfEachStage) {
  FakeControl control;
  StageGovernor governor(control, {.clock_mhz = {2000, 2000, 500}, .idle_mhz = 1000}, 0);
  governor.OnStage(StageId::kPreprocess);
  EXPECT_EQ(List(control.WaitFor(1)), List({2000}));
  governor.OnStage(StageId::kEncode);
  governor.OnStage(StageId::kPrefill);
  for (int token = 0; token < 3; ++token) {
    governor.OnStage(StageId::kDecode);
    governor.OnStage(StageId::kDetokenize);
  }
  EXPECT_EQ(List(control.WaitFor(2)), List({2000, 500}));
  governor.RequestDone(1);
  EXPECT_EQ(List(control.WaitFor(3)), List({2000, 500, 1000}));
  EXPECT_EQ(governor.Finish().switches, 3);
}

TEST(StageGovernorTest, WhatIsTheSameForAllStagesIsSetOnceBeforeTheFirst) {
  FakeControl control;
  StageGovernor governor(control, {.clock_mhz = {1500, 1500, 1500}}, 10);
  EXPECT_EQ(List(control.WaitFor(1)), List({1500}));
  for (const StageId stage : {StageId::kEncode, StageId::kPrefill, StageId::kDecode}) governor.OnStage(stage);
  const GovernorReport report = governor.Finish();
  EXPECT_EQ(report.switches, 1);
  EXPECT_EQ(report.clock_mhz, 1500);
}

TEST(StageGovernorTest, ALowerClockWaitsForTheDwellTimeAndAHigherOneDoesNot) {
  FakeControl control;
  StageGovernor governor(control, {.clock_mhz = {2000, 1500, 500}}, 3600);
  governor.OnStage(StageId::kPrefill);
  EXPECT_EQ(List(control.WaitFor(1)), List({1500}));
  governor.OnStage(StageId::kDecode);  // is never done: the next stage comes first
  governor.OnStage(StageId::kEncode);
  EXPECT_EQ(List(control.WaitFor(2)), List({1500, 2000}));
  EXPECT_EQ(governor.Finish().switches, 2);
}

TEST(StageGovernorTest, AfterAFailureTheClockIsLeftAlone) {
  FakeControl control;
  control.Fail();
  StageGovernor governor(control, {.clock_mhz = {2000, 1500, 500}}, 0);
  governor.OnStage(StageId::kPrefill);
  control.WaitFor(1);
  governor.OnStage(StageId::kEncode);
  const GovernorReport report = governor.Finish();
  EXPECT_EQ(report.failure.found(), "refused");
  EXPECT_EQ(report.switches, 0);
}

TEST(StageGovernorTest, FeedbackLowersTheClockOfAllStages) {
  FakeControl control;
  StageGovernor governor(control, {.clock_mhz = {2000, 2000, 2000}, .target_s = 1}, 0);
  governor.OnStage(StageId::kEncode);
  EXPECT_EQ(List(control.WaitFor(1)), List({2000}));
  for (int i = 0; i < 16; ++i) governor.RequestDone(0.1);
  governor.OnStage(StageId::kEncode);
  EXPECT_EQ(List(control.WaitFor(2)), List({2000, 1500}));
}

}  // namespace
}  // namespace eyeshot
