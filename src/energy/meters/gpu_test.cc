#include "energy/meters/gpu.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>

#include "energy/meters/find.h"

namespace eyeshot {
namespace {

// Says what a test wants, reading by reading.
class ScriptedGpu final : public GpuMeter {
 public:
  explicit ScriptedGpu(std::deque<GpuReading> readings) : readings_(std::move(readings)) {}
  GpuReading Read() override {
    const GpuReading reading = readings_.front();
    if (readings_.size() > 1) readings_.pop_front();
    return reading;
  }

 private:
  std::deque<GpuReading> readings_;
};

std::unique_ptr<Meter> MeterOf(std::deque<GpuReading> readings) {
  auto meter = MeterOfGpu("GPU", std::make_unique<ScriptedGpu>(std::move(readings)));
  EXPECT_TRUE(meter.ok()) << meter.status().message();
  return meter.ok() ? *std::move(meter) : nullptr;
}

TEST(GpuMeterTest, TheCounterIsPreferredAndSurvivesLostReadings) {
  const auto meter = MeterOf({{.at_ns = 1, .energy_j = 5000.0, .power_w = 300.0},
                              {.at_ns = 2, .energy_j = 5000.0},
                              {.at_ns = 1'000'000'000},
                              {.at_ns = 2'000'000'000, .energy_j = 5400.0},
                              {.at_ns = 3'000'000'000, .energy_j = 3.0}});
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->info().source, EnergySource::kNvmlCounter);
  EXPECT_DOUBLE_EQ(meter->Read()->joules, 0);
  EXPECT_EQ(meter->Read().status().code(), StatusCode::kIo);
  EXPECT_DOUBLE_EQ(meter->Read()->joules, 400);
  EXPECT_EQ(meter->Read().status().code(), StatusCode::kCorrupt) << "the driver was loaded anew";
}

TEST(GpuMeterTest, WithoutACounterPowerIsAddedUp) {
  const auto meter = MeterOf({{.at_ns = 1, .power_w = 100.0},
                              {.at_ns = 1'000'000'000, .power_w = 100.0},
                              {.at_ns = 2'000'000'000, .power_w = 300.0},
                              {.at_ns = 3'000'000'000, .power_w = 1e9},
                              {.at_ns = 4'000'000'000, .power_w = 300.0}});
  ASSERT_NE(meter, nullptr);
  EXPECT_EQ(meter->info().source, EnergySource::kNvmlPower);
  EXPECT_DOUBLE_EQ(meter->Read()->joules, 0);
  EXPECT_DOUBLE_EQ(meter->Read()->joules, 200);
  EXPECT_EQ(meter->Read().status().code(), StatusCode::kCorrupt);
  EXPECT_DOUBLE_EQ(meter->Read()->joules, 800);
}

TEST(GpuMeterTest, AGpuThatSaysNothingIsNoMeter) {
  EXPECT_EQ(MeterOfGpu("GPU", std::make_unique<ScriptedGpu>(std::deque<GpuReading>{{.at_ns = 1}})).status().code(),
            StatusCode::kUnsupported);
}

TEST(FindMetersTest, SaysWhyEachKindIsMissing) {
  setenv("EYESHOT_NVML", EYESHOT_FAKE_NVML, 1);
  const FoundMeters with_gpu = FindMeters("/nonexistent");
  ASSERT_EQ(with_gpu.meters.size(), 1u);
  EXPECT_EQ(with_gpu.meters[0]->info().name, "NVML GPU 0");
  setenv("EYESHOT_NVML", "/nonexistent/libnvidia-ml.so", 1);
  const FoundMeters none = FindMeters("/nonexistent");
  unsetenv("EYESHOT_NVML");
  EXPECT_TRUE(none.meters.empty());
  ASSERT_EQ(none.missing.size(), 3u);
  for (const MissingMeter& missing : none.missing) {
    EXPECT_FALSE(missing.reason.ok()) << missing.kind;
    EXPECT_NE(missing.reason.mend(), "") << missing.kind;
  }
}

}  // namespace
}  // namespace eyeshot
