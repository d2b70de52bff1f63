#include "ledger/nvml.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace eyeshot {
namespace {

class NvmlTest : public ::testing::Test {
 protected:
  void SetUp() override { setenv("EYESHOT_NVML", EYESHOT_FAKE_NVML, 1); }
  void TearDown() override { unsetenv("EYESHOT_NVML"); }
};

TEST_F(NvmlTest, ReadsWhatTheLibrarySays) {
  auto meter = GpuMeter::Open("00000000:1B:00.0");
  ASSERT_TRUE(meter.ok()) << meter.status().message();
  const GpuReading first = (*meter)->Read();
  const GpuReading second = (*meter)->Read();
  EXPECT_DOUBLE_EQ(second.energy_j.value() - first.energy_j.value(), 50);
  EXPECT_DOUBLE_EQ(first.power_w.value(), 312.5);
  EXPECT_EQ(first.sm_clock_mhz, 1980u);
  EXPECT_EQ(first.memory_clock_mhz, 2619u);
  EXPECT_EQ(first.temperature_c, 45u);
  EXPECT_FALSE(first.memory_used_bytes.has_value()) << "it isn't supported";
  EXPECT_EQ(ThrottleReasonNames(first.throttle_reasons.value()),
            (std::vector<std::string_view>{"power cap", "hardware thermal", "another reason"}));
  EXPECT_GT(second.at_ns, first.at_ns);
}

TEST_F(NvmlTest, OtherGpusAndOtherLibrariesAreRefusedByName) {
  const auto other = GpuMeter::Open("00000000:99:00.0");
  ASSERT_FALSE(other.ok());
  EXPECT_NE(other.status().message().find("00000000:99:00.0: Not Found"), std::string::npos);
  setenv("EYESHOT_NVML", "/nonexistent/libnvidia-ml.so", 1);
  EXPECT_EQ(GpuMeter::Open("00000000:1B:00.0").status().code(), StatusCode::kNotFound);
  setenv("EYESHOT_NVML", "libm.so.6", 1);
  const auto strange = GpuMeter::Open("00000000:1B:00.0");
  ASSERT_FALSE(strange.ok());
  EXPECT_EQ(strange.status().code(), StatusCode::kUnsupported);
}

TEST(JoulesTest, TheCounterIsKnownToOnePeriod) {
  GpuReading before{.at_ns = 1'000'000'000, .energy_j = 100.0, .power_w = 200.0};
  GpuReading after{.at_ns = 3'000'000'000, .energy_j = 700.0, .power_w = 350.0};
  const Joules joules = JoulesBetween(before, after);
  EXPECT_DOUBLE_EQ(joules.value, 600);
  EXPECT_DOUBLE_EQ(joules.low, 565);  // 350 W for 0.1 s
  EXPECT_DOUBLE_EQ(joules.high, 635);
  EXPECT_EQ(joules.source, EnergySource::kNvmlCounter);
  EXPECT_EQ(JoulesBetween(after, before).source, EnergySource::kNone);
  after.energy_j = 50.0;  // reset
  EXPECT_EQ(JoulesBetween(before, after).source, EnergySource::kNone);
}

TEST(JoulesTest, ShortRunsHaveNone) {
  const GpuReading before{.at_ns = 1'000'000'000, .energy_j = 100.0};
  const GpuReading after{.at_ns = 1'150'000'000, .energy_j = 160.0};
  EXPECT_EQ(JoulesBetween(before, after).source, EnergySource::kNone);
}

TEST(JoulesTest, WithoutACounterPowerIsIntegrated) {
  const GpuReading before{.at_ns = 0, .power_w = 100.0};
  const GpuReading after{.at_ns = 4'000'000'000, .power_w = 300.0};
  const Joules joules = JoulesBetween(before, after);
  EXPECT_DOUBLE_EQ(joules.value, 800);
  EXPECT_DOUBLE_EQ(joules.low, 400);
  EXPECT_DOUBLE_EQ(joules.high, 1200);
  EXPECT_EQ(joules.source, EnergySource::kNvmlPower);
}

TEST(LedgerGpuTest, TableAndJsonShowTheGpu) {
  Ledger ledger;
  EXPECT_EQ(ledger.GpuJson(), "null");
  ledger.SetGpu({.before = {.throttle_reasons = 4},
                 .after = {.at_ns = 5, .energy_j = 1.5, .power_w = 310.0, .sm_clock_mhz = 1980, .throttle_reasons = 1},
                 .joules = {12.3, 11.1, 13.5, EnergySource::kNvmlCounter},
                 .allocated_bytes = 750'000'000});
  EXPECT_NE(ledger.Table().find(
                "GPU: 750 MB taken, 12.3 J of the whole board (nvml_counter, 11.1 to 13.5), 310 W, SM 1980 MHz, clocks "
                "held back by: power cap\n"),
            std::string::npos)
      << ledger.Table();
  EXPECT_NE(ledger.GpuJson().find(R"("after":{"at_ns":5,"energy_j":1.5,"power_w":310,"sm_clock_mhz":1980,)"
                                  R"("memory_clock_mhz":null,"temperature_c":null,"throttled_by":[])"),
            std::string::npos)
      << ledger.GpuJson();
}

}  // namespace
}  // namespace eyeshot
