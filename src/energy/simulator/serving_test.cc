#include "energy/simulator/serving.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace eyeshot::simulator {
namespace {

class ServingTest : public ::testing::Test {
 protected:
  ServingResult Run(Policy policy, std::span<const double> arrivals, int max_batch) const {
    ServingSetup setup;
    setup.policy = policy;
    setup.max_batch = max_batch;
    return Serve(machine_, model_, software_, request_, arrivals, setup);
  }
  const Machine machine_ = LoadMachine("h100-sxm", EYESHOT_SOURCE_DIR "/data/machines").value();
  const ModelShape model_ = FindModelShape("Qwen2.5-VL-7B").value();
  const Software software_ = FindSoftware("graph").value();
  const Request request_ = RequestFor(model_, 1, 128, 64);
};

TEST(ArrivalsTest, PoissonHasItsRateAndRepeats) {
  const std::vector<double> arrivals = PoissonArrivals(20000, 4, 7);
  EXPECT_NEAR(arrivals.back() / 20000, 0.25, 0.01);
  EXPECT_EQ(arrivals, PoissonArrivals(20000, 4, 7));
}

TEST(ArrivalsTest, FilesAreChecked) {
  const std::string path = ::testing::TempDir() + "/arrivals.txt";
  std::ofstream(path) << "0\n0.5\n2";
  EXPECT_EQ(ReadArrivals(path).value(), (std::vector<double>{0, 0.5, 2}));
  for (const char* text : {"", "0\n-1\n", "1\nx\n", "2\n1\n", "nan\n", "1 2\n"}) {
    std::ofstream(path) << text;
    EXPECT_EQ(ReadArrivals(path).status().code(), StatusCode::kCorrupt) << text;
  }
  std::remove(path.c_str());
}

TEST_F(ServingTest, OneRequestCostsTheSumOfItsStages) {
  const BatchWork batch = BatchWorkFor(model_, software_, request_, 1);
  double joules = 2 * WaitingPower(machine_, 1980);  // it comes after two seconds
  double seconds = 0;
  for (int s = 0; s < kStages; ++s) {
    const Point point = RunAt(machine_, batch.work[s], 1980);
    joules += batch.steps[s] * point.joules();
    seconds += batch.steps[s] * point.seconds;
  }
  const std::vector<double> arrivals = {2.0};
  const ServingResult result = Run(Policy::kRaceToIdle, arrivals, 1);
  EXPECT_NEAR(result.joules_per_request, joules, 1e-6);
  EXPECT_NEAR(result.p95_s, seconds, 1e-9);
  EXPECT_EQ(result.switches, 0);
}

// Stages of milliseconds against switches of 65 ms.
TEST_F(ServingTest, SwitchingForEachRequestCannotPay) {
  const std::vector<double> arrivals = PoissonArrivals(500, 1, 3);
  const ServingResult race = Run(Policy::kRaceToIdle, arrivals, 1);
  const ServingResult safe = Run(Policy::kMemorySafe, arrivals, 1);
  EXPECT_GE(safe.switches, 500);
  EXPECT_GT(safe.p95_s, 1.2 * race.p95_s);
  const ServingResult table = Run(Policy::kStageTable, arrivals, 1);
  EXPECT_EQ(table.switches, 0);
  EXPECT_EQ(table.joules_per_request, race.joules_per_request);
}

TEST_F(ServingTest, OneClockSavesWithoutSwitches) {
  const std::vector<double> arrivals = PoissonArrivals(500, 1, 3);
  const ServingResult race = Run(Policy::kRaceToIdle, arrivals, 8);
  const ServingResult one = Run(Policy::kOneClock, arrivals, 8);
  const ServingResult oracle = Run(Policy::kOracle, arrivals, 8);
  EXPECT_EQ(one.switches, 0);
  EXPECT_LT(one.joules_per_request, race.joules_per_request);
  EXPECT_LT(oracle.joules_per_request, one.joules_per_request);
}

TEST_F(ServingTest, PoolsWithOwnClocksBeatPoolsAtTheHighest) {
  const std::vector<double> arrivals = PoissonArrivals(500, 2, 3);
  ServingSetup setup;
  setup.layout = Layout::kPools;
  const ServingResult race = Serve(machine_, model_, software_, request_, arrivals, setup);
  setup.policy = Policy::kOneClock;
  const ServingResult own = Serve(machine_, model_, software_, request_, arrivals, setup);
  EXPECT_LT(own.joules_per_request, 0.9 * race.joules_per_request);
  EXPECT_LT(own.p95_s, 1.05 * race.p95_s);
  EXPECT_EQ(own.switches, 0);
}

class ContinuousTest : public ServingTest {
 protected:
  ServingResult RunPhases(Policy policy, std::span<const double> arrivals, double phase_s) const {
    ServingSetup setup;
    setup.policy = policy;
    setup.layout = Layout::kContinuous;
    setup.phase_s = phase_s;
    return Serve(machine_, model_, software_, request_, arrivals, setup);
  }
  // A busy server with long answers.
  ServingResult RunBusy(const char* name, Policy policy, double rate, double phase_s) const {
    const ModelShape model = FindModelShape(name).value();
    ServingSetup setup;
    setup.policy = policy;
    setup.layout = Layout::kContinuous;
    setup.max_batch = 64;
    setup.phase_s = phase_s;
    return Serve(machine_, model, software_, RequestFor(model, model.tiles, 128, 256), PoissonArrivals(500, rate, 3),
                 setup);
  }
};

TEST_F(ContinuousTest, OneRequestCostsWhatItDoesAlone) {
  const std::vector<double> arrivals = {2.0};
  const ServingResult alone = Run(Policy::kRaceToIdle, arrivals, 1);
  for (const double phase_s : {0.0, 0.01, 10.0}) {
    const ServingResult result = RunPhases(Policy::kRaceToIdle, arrivals, phase_s);
    EXPECT_NEAR(result.joules_per_request, alone.joules_per_request, 1e-6);
    EXPECT_NEAR(result.p95_s, alone.p95_s, 1e-9);
  }
}

// Who comes while another one is decoded joins at once, or when the phase is over.
TEST_F(ContinuousTest, ARequestWaitsForThePhase) {
  const double alone_s = Run(Policy::kRaceToIdle, std::vector<double>{0}, 1).p95_s;
  const BatchWork batch = BatchWorkFor(model_, software_, request_, 1);
  double begin_s = 0;  // of the first answer's decoding
  for (const Stage stage : {Stage::kEncode, Stage::kPrefill}) {
    begin_s += RunAt(machine_, batch.work[static_cast<int>(stage)], machine_.clock_max_mhz).seconds;
  }
  const std::vector<double> arrivals = {0, begin_s + 0.01};
  const ServingResult joins = RunPhases(Policy::kRaceToIdle, arrivals, 0);
  const ServingResult waits = RunPhases(Policy::kRaceToIdle, arrivals, 10);
  EXPECT_NEAR(waits.seconds, 2 * alone_s, 1e-9);
  EXPECT_NEAR(waits.p50_s, alone_s, 1e-9) << "nobody disturbs the first";
  EXPECT_LT(joins.seconds, 0.8 * waits.seconds);
  EXPECT_GT(joins.p95_s, 1.05 * alone_s) << "the first waits for the second's picture";
}

TEST_F(ContinuousTest, AClockAPhasePaysWhereAClockARequestDoesNot) {
  const ServingResult race = RunBusy("LLaVA-OneVision-7B", Policy::kRaceToIdle, 2, 0);
  const ServingResult each = RunBusy("LLaVA-OneVision-7B", Policy::kMemorySafe, 2, 0);
  const ServingResult one_clock = RunBusy("LLaVA-OneVision-7B", Policy::kOneClock, 2, 0);
  const ServingResult phases = RunBusy("LLaVA-OneVision-7B", Policy::kMemorySafe, 2, 4);
  EXPECT_GT(each.p95_s, 1.2 * race.p95_s);
  EXPECT_LT(phases.switches, each.switches / 2);
  EXPECT_LT(phases.p95_s, 0.8 * each.p95_s);
  EXPECT_LT(phases.joules_per_request, one_clock.joules_per_request);
}

TEST_F(ContinuousTest, AStageTableSwitchesOnlyWherePhasesAreLong) {
  EXPECT_EQ(RunBusy("LLaVA-OneVision-7B", Policy::kStageTable, 2, 0).switches, 0);
  EXPECT_GT(RunBusy("LLaVA-OneVision-7B", Policy::kStageTable, 2, 4).switches, 0);
}

}  // namespace
}  // namespace eyeshot::simulator
