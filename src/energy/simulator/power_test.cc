#include "energy/simulator/power.h"

#include <gtest/gtest.h>

#include "energy/simulator/governor.h"
#include "energy/simulator/inflation.h"

namespace eyeshot::simulator {
namespace {

Machine H100() { return LoadMachine("h100-sxm", EYESHOT_SOURCE_DIR "/data/machines").value(); }
ModelShape Model(const std::string& name) { return FindModelShape(name).value(); }
Software Graph() { return FindSoftware("graph").value(); }

// Of the released configurations, by hand: encoder FLOPs of a tile, and bytes of the cache for a token.
TEST(WorkTest, AgreesWithPublishedShapes) {
  const Request tile = {1, 64, 30, 0};
  EXPECT_NEAR(StageWork(Stage::kEncode, Model("SmolVLM-256M"), Graph(), tile, 1).flops(), 212.6e9, 0.01 * 212.6e9);
  EXPECT_NEAR(StageWork(Stage::kEncode, Model("SmolVLM-2.2B"), Graph(), tile, 1).flops(), 665e9, 0.03 * 665e9);
  const auto cache = [](const std::string& name) {
    const auto bytes = [&](double text) {
      return StageWork(Stage::kDecode, Model(name), Graph(), {0, 0, text, 0}, 1).stream_bytes;
    };
    return bytes(101) - bytes(100);
  };
  EXPECT_NEAR(cache("SmolVLM-256M"), 23040, 1);
  EXPECT_NEAR(cache("SmolVLM-500M"), 40960, 1);
  EXPECT_NEAR(cache("SmolVLM-2.2B"), 196608, 1);
}

TEST(PowerTest, OneProductTakesItsShareOfThePeak) {
  const Machine h100 = H100();
  Work work;
  work.gemm_flops = 1e12;
  work.gemm_width = 256;  // half filled
  const double flops = 989.4e12 * 1980 / 1830 * h100.gemm_efficiency / 2;
  const Point point = UncappedPoint(h100, work, 1980);
  EXPECT_NEAR(point.seconds, 1e12 / flops, 1e-9);
  EXPECT_NEAR(point.compute_use, h100.gemm_efficiency / 2, 1e-9);
  EXPECT_NEAR(point.power_w, 69.7 + 18 + 34 + point.compute_use * 1225, 1e-6);
}

TEST(PowerTest, SwitchingFallsWithClockAndVoltage) {
  const Machine h100 = H100();
  EXPECT_DOUBLE_EQ(SwitchingShare(h100, 1980), 1);
  EXPECT_NEAR(SwitchingShare(h100, 990), 0.5 * 0.64, 1e-12);  // below the knee: the lowest voltage
}

TEST(PowerTest, TheLimitLowersTheClockInPrefillAndIsInertInDecode) {
  const Machine h100 = H100();
  const BatchWork batch = BatchWorkFor(Model("LLaVA-OneVision-7B"), Graph(), {10, 7371, 128, 64}, 1);
  const Point prefill = RunAt(h100, batch.work[1], 1980);
  EXPECT_LE(prefill.power_w, 700);
  EXPECT_LT(prefill.clock_mhz, 1980);
  EXPECT_EQ(RunAt(h100, batch.work[2], 1980).clock_mhz, 1980);
}

TEST(PowerTest, MemoryBoundEnergyFallsToTheKneeOfTheBandwidth) {
  const Machine h100 = H100();
  const Work step = StageWork(Stage::kDecode, Model("Qwen2.5-VL-7B"), Graph(), {0, 0, 128, 64}, 1);
  double last = 0;
  for (const double clock : Clocks(h100)) {
    if (clock < h100.bandwidth_knee_ratio * h100.clock_max_mhz) continue;
    const double joules = UncappedPoint(h100, step, clock).joules();
    EXPECT_GT(joules, last);
    last = joules;
  }
}

TEST(GovernorTest, TheOracleSpendsLessWithinItsTime) {
  const Machine h100 = H100();
  for (const ModelShape& model : ModelShapes()) {
    const BatchWork batch = BatchWorkFor(model, Graph(), RequestFor(model, model.tiles, 128, 64), 4);
    const auto total = [&](const StageClocks& clocks, bool joules) {
      double sum = 0;
      for (int s = 0; s < kStages; ++s) {
        const Point point = RunAt(h100, batch.work[s], clocks[s]);
        sum += batch.steps[s] * (joules ? point.joules() : point.seconds);
      }
      return sum;
    };
    const StageClocks highest = {1980, 1980, 1980};
    const StageClocks table = PlannedClocks(Policy::kStageTable, h100, batch, 0.05);
    const StageClocks oracle = OracleClocks(h100, batch, 0.05);
    EXPECT_LE(total(oracle, false), 1.05 * total(highest, false) * (1 + 1e-9)) << model.name;
    EXPECT_LT(total(oracle, true), total(highest, true)) << model.name;
    EXPECT_LE(total(oracle, true), 1.005 * total(table, true)) << model.name;
  }
}

TEST(InflationTest, SharesAddUpAndTextHasNone) {
  const ModelShape model = Model("InternVL3-8B");
  const Inflation with = InflationOf(H100(), model, Graph(), RequestFor(model, 10, 128, 64));
  EXPECT_NEAR(with.encode_share + with.token_share, with.prompt_only, 1e-12);
  EXPECT_LT(with.iso_token, with.prompt_only);
  EXPECT_NEAR(InflationOf(H100(), model, Graph(), RequestFor(model, 0, 128, 64)).prompt_only, 0, 1e-12);
}

}  // namespace
}  // namespace eyeshot::simulator
