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

}  // namespace
}  // namespace eyeshot::simulator
