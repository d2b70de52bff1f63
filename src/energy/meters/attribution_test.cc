#include "energy/meters/attribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include "energy/meters/synthetic.h"

namespace eyeshot {
namespace {

constexpr uint64_t kMs = 1'000'000;

const MeterInfo kRaplLike{
    .name = "synthetic", .source = EnergySource::kRapl, .resolution_j = 61e-6, .resolution_s = 1e-3};
const MeterInfo kNvmlLike{
    .name = "synthetic", .source = EnergySource::kNvmlCounter, .resolution_j = 1e-3, .resolution_s = 0.1};

// Watts of each stage and of times without one.
struct Watts {
  double by_stage[kStageCount] = {};
  double idle = 20;
};

// A machine whose stages take known power, and what a meter says of it.
class Machine {
 public:
  explicit Machine(Watts watts) : watts_(watts) {}

  void Run(StageId id, uint64_t ns) {
    runs_.push_back({id, now_ns_, now_ns_ + ns});
    truth_[static_cast<size_t>(id)] += watts_.by_stage[static_cast<size_t>(id)] * static_cast<double>(ns) * 1e-9;
    now_ns_ += ns;
  }
  void Rest(uint64_t ns) { now_ns_ += ns; }

  double JoulesAt(uint64_t ns) const {
    double joules = watts_.idle * static_cast<double>(ns) * 1e-9;
    for (const StageRun& run : runs_) {
      const uint64_t end = std::min(ns, run.end_ns);
      if (end <= run.begin_ns) continue;
      joules +=
          (watts_.by_stage[static_cast<size_t>(run.id)] - watts_.idle) * static_cast<double>(end - run.begin_ns) * 1e-9;
    }
    return joules;
  }
  // Read each 20 ms, a little irregularly as threads are.
  EnergyCurve Sampled(const MeterInfo& info) const {
    std::mt19937 random(7);
    uint64_t now = 0;
    SyntheticMeter meter(info, [this](uint64_t ns) { return JoulesAt(ns); }, [&now] { return now; });
    std::vector<EnergySample> samples = {*meter.Read()};
    while (now < now_ns_ + 50 * kMs) {
      now += 20 * kMs + random() % kMs;
      samples.push_back(*meter.Read());
    }
    return *EnergyCurve::Make(info, samples);
  }

  std::span<const StageRun> runs() const { return runs_; }
  double truth(StageId id) const { return truth_[static_cast<size_t>(id)]; }

 private:
  Watts watts_;
  std::vector<StageRun> runs_;
  double truth_[kStageCount] = {};
  uint64_t now_ns_ = 300 * kMs;
};

Watts Answering() {
  Watts watts;
  watts.by_stage[static_cast<size_t>(StageId::kConnect)] = 40;
  watts.by_stage[static_cast<size_t>(StageId::kReduce)] = 55;
  watts.by_stage[static_cast<size_t>(StageId::kEncode)] = 120;
  watts.by_stage[static_cast<size_t>(StageId::kPrefill)] = 150;
  watts.by_stage[static_cast<size_t>(StageId::kDecode)] = 70;
  watts.by_stage[static_cast<size_t>(StageId::kDetokenize)] = 25;
  return watts;
}

// An answer of 200 tokens about a picture.
Machine AnsweringMachine() {
  Machine machine(Answering());
  machine.Run(StageId::kEncode, 2'500 * kMs);
  machine.Run(StageId::kPrefill, 900 * kMs);
  for (int token = 0; token < 200; ++token) {
    machine.Run(StageId::kDecode, 15 * kMs);
    machine.Run(StageId::kDetokenize, 20'000);
  }
  return machine;
}

const StageEnergy& Of(const Attribution& attribution, StageId id) {
  return attribution.stages[static_cast<size_t>(id)];
}

// All that was measured, by value.
double Sum(const Attribution& attribution) {
  double sum = attribution.between.value + attribution.below_resolution.value;
  for (const StageEnergy& stage : attribution.stages) {
    if (!stage.below_resolution) sum += stage.joules.value;
  }
  return sum;
}

TEST(AttributionTest, KnownPowerGivesKnownJoules) {
  const Machine machine = AnsweringMachine();
  for (const MeterInfo& info : {kRaplLike, kNvmlLike}) {
    const EnergyCurve curve = machine.Sampled(info);
    const auto attribution = Attribute(curve, machine.runs());
    ASSERT_TRUE(attribution.ok()) << attribution.status().message();
    for (const StageId id : {StageId::kEncode, StageId::kPrefill, StageId::kDecode}) {
      const StageEnergy& stage = Of(*attribution, id);
      const double truth = machine.truth(id);
      std::printf("%s, period %g s: %.3f J, truly %.3f J (%+.2f %%), bounds %.2f to %.2f J\n", StageName(id).data(),
                  info.resolution_s, stage.joules.value, truth, 100 * (stage.joules.value / truth - 1),
                  stage.joules.low, stage.joules.high);
      EXPECT_NEAR(stage.joules.value, truth, 0.01 * truth) << StageName(id);
      EXPECT_LE(stage.joules.low, truth) << StageName(id);
      EXPECT_GE(stage.joules.high, truth) << StageName(id);
      EXPECT_EQ(stage.joules.source, info.source);
      EXPECT_FALSE(stage.below_resolution);
    }
  }
}

TEST(AttributionTest, StagesAndTheRestMakeUpTheWhole) {
  Machine machine = AnsweringMachine();
  machine.Rest(700 * kMs);
  machine.Run(StageId::kEncode, 400 * kMs);
  for (const MeterInfo& info : {kRaplLike, kNvmlLike}) {
    const auto attribution = Attribute(machine.Sampled(info), machine.runs());
    ASSERT_TRUE(attribution.ok());
    EXPECT_NEAR(Sum(*attribution), attribution->whole.value, 1e-9 * attribution->whole.value);
    EXPECT_NEAR(attribution->between.value, 0.7 * 20, 0.7 * 20 * (info.resolution_s < 0.01 ? 0.1 : 0.9));
    EXPECT_GT(attribution->below_resolution.value, 0);
  }
}

TEST(AttributionTest, ShortStagesHaveNoValueUnlessOneIsEstimated) {
  const Machine machine = AnsweringMachine();
  const EnergyCurve curve = machine.Sampled(kRaplLike);
  const StageEnergy measured = Of(*Attribute(curve, machine.runs()), StageId::kDetokenize);
  EXPECT_EQ(measured.runs, 200u);
  EXPECT_TRUE(measured.below_resolution);
  EXPECT_EQ(measured.joules.source, EnergySource::kNone);
  std::array<Joules, kStageCount> estimates;
  estimates[static_cast<size_t>(StageId::kDetokenize)] = {0.1, 0.05, 0.2, EnergySource::kRapl};
  estimates[static_cast<size_t>(StageId::kEncode)] = {5, 5, 5, EnergySource::kModel};
  const auto estimated = Attribute(curve, machine.runs(), estimates);
  EXPECT_EQ(Of(*estimated, StageId::kDetokenize).joules.value, 0.1);
  EXPECT_EQ(Of(*estimated, StageId::kDetokenize).joules.source, EnergySource::kModel) << "never said to be measured";
  EXPECT_EQ(Of(*estimated, StageId::kEncode).joules.source, EnergySource::kRapl);
  EXPECT_NEAR(Sum(*estimated), estimated->whole.value, 1e-9 * estimated->whole.value);
}

TEST(AttributionTest, StagesThatAlternateFasterThanTheSamplesAreNotToldApart) {
  Watts watts = Answering();
  Machine machine(watts);
  for (int i = 0; i < 200; ++i) {
    machine.Run(StageId::kEncode, 5 * kMs);
    machine.Run(StageId::kDecode, 5 * kMs);
  }
  const auto attribution = Attribute(machine.Sampled(kRaplLike), machine.runs());
  for (const StageId id : {StageId::kEncode, StageId::kDecode}) {
    const Joules& joules = Of(*attribution, id).joules;
    EXPECT_LE(joules.low, machine.truth(id));
    EXPECT_GE(joules.high, machine.truth(id));
    EXPECT_GT(joules.high - joules.low, 0.5 * joules.value) << "the bounds must say so";
  }
}

TEST(AttributionTest, RandomRunsStayWithinTheBounds) {
  std::mt19937 random(11);
  for (int round = 0; round < 200; ++round) {
    Machine machine(Answering());
    const int count = 1 + static_cast<int>(random() % 40);
    for (int i = 0; i < count; ++i) {
      machine.Run(static_cast<StageId>(3 + random() % 6), (random() % 300) * kMs / (1 + random() % 10));
      machine.Rest(random() % 3 == 0 ? random() % (100 * kMs) : 0);
    }
    for (const MeterInfo& info : {kRaplLike, kNvmlLike}) {
      const auto attribution = Attribute(machine.Sampled(info), machine.runs());
      ASSERT_TRUE(attribution.ok()) << attribution.status().message();
      if (attribution->whole.source == EnergySource::kNone) continue;
      EXPECT_NEAR(Sum(*attribution), attribution->whole.value, 1e-9 * (1 + attribution->whole.value));
      for (size_t i = 0; i < kStageCount; ++i) {
        const StageEnergy& stage = attribution->stages[i];
        EXPECT_GE(stage.joules.low, 0);
        EXPECT_LE(stage.joules.low, stage.joules.value + 1e-12);
        EXPECT_LE(stage.joules.value, stage.joules.high + 1e-12);
        if (stage.joules.source == EnergySource::kNone) continue;
        const double truth = machine.truth(static_cast<StageId>(i));
        EXPECT_LE(stage.joules.low, truth + 1e-9) << StageName(static_cast<StageId>(i)) << " of round " << round;
        EXPECT_GE(stage.joules.high, truth - 1e-9) << StageName(static_cast<StageId>(i)) << " of round " << round;
      }
    }
  }
}

TEST(AttributionTest, IdlePowerIsShownApart) {
  const Machine machine = AnsweringMachine();
  const EnergyCurve curve = machine.Sampled(kRaplLike);
  const uint64_t idle_end = 250 * kMs;  // the stages begin at 300 ms
  const IdlePower idle = MeanPower(curve.Between(curve.begin_ns(), idle_end), idle_end - curve.begin_ns());
  EXPECT_NEAR(idle.watts, 20, 0.5);
  EXPECT_LT(idle.low, 20);
  EXPECT_GT(idle.high, 20);
  const auto attribution = Attribute(curve, machine.runs(), {}, &idle);
  const StageEnergy& encode = Of(*attribution, StageId::kEncode);
  EXPECT_NEAR(encode.active.value, 2.5 * (120 - 20), 2.5);
  EXPECT_LE(encode.active.low, 250);
  EXPECT_GE(encode.active.high, 250);
  EXPECT_EQ(WithoutIdle({5, 4, 6, EnergySource::kRapl}, 1'000'000'000, {20, 19, 21}).value, 0) << "never negative";
  EXPECT_EQ(WithoutIdle({}, 1'000'000'000, {20, 19, 21}).source, EnergySource::kNone);
}

TEST(AttributionTest, WhatWasNotSampledIsNotSaid) {
  const Machine machine = AnsweringMachine();
  const EnergyCurve curve = machine.Sampled(kRaplLike);
  const StageRun late{StageId::kDecode, curve.end_ns() - kMs, curve.end_ns() + kMs};
  EXPECT_EQ(Attribute(curve, std::span(&late, 1)).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Attribute(curve, {}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(curve.Between(late.begin_ns, late.end_ns).source, EnergySource::kNone);
  EXPECT_EQ(curve.Between(300 * kMs, 301 * kMs).source, EnergySource::kNone) << "shorter than two periods";
  EXPECT_EQ(curve.Between(600 * kMs, 500 * kMs).source, EnergySource::kNone);
  const std::vector<EnergySample> back = {{1, 5}, {2, 4}};
  EXPECT_EQ(EnergyCurve::Make(kRaplLike, back).status().code(), StatusCode::kCorrupt);
  EXPECT_EQ(EnergyCurve::Make(kRaplLike, std::span(back).first(1)).status().code(), StatusCode::kNotFound);
}

TEST(AttributionTest, OverlappingRunsCountOnce) {
  const Machine machine = AnsweringMachine();
  const StageRun runs[] = {{StageId::kEncode, 400 * kMs, 900 * kMs}, {StageId::kPrefill, 600 * kMs, 1'000 * kMs}};
  const auto attribution = Attribute(machine.Sampled(kRaplLike), runs);
  EXPECT_EQ(Of(*attribution, StageId::kPrefill).wall_ns, 100 * kMs);
  EXPECT_NEAR(Sum(*attribution), attribution->whole.value, 1e-9);
}

TEST(ShareByWorkTest, SharesMakeUpTheBatch) {
  const Joules batch{100.0 / 3, 30, 40, EnergySource::kRapl};
  const std::vector<double> work = {7, 0, 1, 3, 11, 0.1};
  const auto shares = ShareByWork(batch, work);
  ASSERT_TRUE(shares.ok()) << shares.status().message();
  double sum = 0;
  for (size_t i = 0; i < work.size(); ++i) {
    EXPECT_NEAR((*shares)[i].value, batch.value * work[i] / 22.1, 1e-9);
    EXPECT_GE((*shares)[i].value, 0);
    EXPECT_EQ((*shares)[i].source, EnergySource::kRapl);
    sum += (*shares)[i].value;
  }
  EXPECT_DOUBLE_EQ(sum, batch.value);
  for (const std::vector<double>& bad : {std::vector<double>{}, {0, 0}, {1, -1}, {1, NAN}}) {
    EXPECT_EQ(ShareByWork(batch, bad).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST(FillJoulesTest, StagesAddUpToWhatWasMeasured) {
  // 200 W for a second of encoding, then 80 W of steps that are shorter than the counter's period.
  const MeterInfo info{.name = "synthetic", .source = EnergySource::kRapl, .resolution_s = 0.001};
  std::vector<EnergySample> samples;
  for (uint64_t ms = 0; ms <= 3000; ms += 20) {
    const double seconds = static_cast<double>(ms) * 1e-3;
    samples.push_back({ms * 1'000'000, 200 * std::min(seconds, 1.0) + 80 * std::max(0.0, seconds - 1)});
  }
  const auto curve = EnergyCurve::Make(info, samples);
  ASSERT_TRUE(curve.ok());
  Ledger ledger;
  ledger.KeepRuns(1000);
  ledger.AddRun({StageId::kEncode, 0, 1'000'000'000});
  ledger.AddRun({StageId::kConnect, 1'000'000'000, 1'000'400'000});
  for (uint64_t at = 1'000'400'000; at + 5'000'000 <= 2'900'000'000; at += 5'000'000) {
    ledger.AddRun({StageId::kDecode, at, at + 4'990'000});
    ledger.AddRun({StageId::kDetokenize, at + 4'990'000, at + 5'000'000});
  }
  const std::vector<EnergyCurve> one = {*curve};
  ASSERT_TRUE(FillJoules(one, ledger).ok());
  EXPECT_EQ(ledger.cost(StageId::kEncode).joules.source, EnergySource::kRapl);
  EXPECT_NEAR(ledger.cost(StageId::kEncode).joules.value, 200, 2);
  EXPECT_EQ(ledger.cost(StageId::kDecode).joules.source, EnergySource::kRapl);
  EXPECT_NEAR(ledger.cost(StageId::kDecode).joules.value, 80 * 1.896, 2);
  EXPECT_EQ(ledger.cost(StageId::kConnect).joules.source, EnergySource::kModel);
  EXPECT_EQ(ledger.cost(StageId::kPrefill).joules.source, EnergySource::kNone);
  double sum = 0;
  for (size_t i = 0; i < kStageCount; ++i) sum += ledger.cost(static_cast<StageId>(i)).joules.value;
  const uint64_t end = ledger.runs().back().end_ns;
  EXPECT_NEAR(sum, curve->Between(0, end).value, 1e-6);
  // Two meters of one source add.
  const std::vector<EnergyCurve> two = {*curve, *curve};
  ASSERT_TRUE(FillJoules(two, ledger).ok());
  EXPECT_NEAR(ledger.cost(StageId::kEncode).joules.value, 400, 4);
}

TEST(FillJoulesTest, WithoutRunsOrSamplesNothingIsFilled) {
  const MeterInfo info{.name = "synthetic", .source = EnergySource::kRapl, .resolution_s = 0.001};
  const auto curve = EnergyCurve::Make(info, std::vector<EnergySample>{{0, 0}, {1'000'000'000, 100}});
  const std::vector<EnergyCurve> one = {*curve};
  Ledger ledger;
  EXPECT_FALSE(FillJoules(one, ledger).ok());
  ledger.KeepRuns(1);
  ledger.AddRun({StageId::kEncode, 900'000'000, 1'100'000'000});
  EXPECT_FALSE(FillJoules(one, ledger).ok()) << "its end was not sampled";
  EXPECT_EQ(ledger.cost(StageId::kEncode).joules.source, EnergySource::kNone);
}

}  // namespace
}  // namespace eyeshot
