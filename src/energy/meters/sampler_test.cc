#include "energy/meters/sampler.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"
#include "base/error.h"
#include "energy/meters/attribution.h"
#include "energy/meters/synthetic.h"

namespace eyeshot {
namespace {

constexpr double kWatts = 45;

std::unique_ptr<Meter> SteadyMeter() {
  const auto joules_at = [](uint64_t ns) { return static_cast<double>(ns) * 1e-9 * kWatts; };
  MeterInfo info{.name = "synthetic", .source = EnergySource::kRapl, .resolution_j = 61e-6, .resolution_s = 1e-3};
  using Synthetic = SyntheticMeter<decltype(joules_at), decltype(&SteadyNowNs)>;
  return std::make_unique<Synthetic>(std::move(info), joules_at, &SteadyNowNs);
}

// Fails at every second reading.
class FlakyMeter final : public Meter {
 public:
  const MeterInfo& info() const override { return meter_->info(); }
  Result<EnergySample> Read() override {
    if (++readings_ % 2 == 0) return IoError("flaky: lost", "read again");
    return meter_->Read();
  }

 private:
  std::unique_ptr<Meter> meter_ = SteadyMeter();
  int readings_ = 0;
};

TEST(SamplerTest, SamplesFromBeginToEnd) {
  std::vector<std::unique_ptr<Meter>> meters;
  meters.push_back(SteadyMeter());
  meters.push_back(std::make_unique<FlakyMeter>());
  Sampler sampler(meters, std::chrono::milliseconds(5));
  const uint64_t begin = SteadyNowNs();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const uint64_t end = SteadyNowNs();
  sampler.Stop();
  const std::vector<MeterTrace> traces = sampler.Traces();
  ASSERT_EQ(traces.size(), 2u);
  EXPECT_EQ(traces[0].lost, 0u);
  EXPECT_GT(traces[1].lost, 0u);
  EXPECT_EQ(traces[1].failure.found(), "flaky: lost");
  const auto curve = EnergyCurve::Make(traces[0].info, traces[0].samples);
  ASSERT_TRUE(curve.ok()) << curve.status().message();
  const Joules joules = curve->Between(begin, end);
  const double truth = static_cast<double>(end - begin) * 1e-9 * kWatts;
  EXPECT_NEAR(joules.value, truth, 0.01 * truth);
  EXPECT_LE(joules.low, truth);
  EXPECT_GE(joules.high, truth);
}

// Each reading takes 5 ms of a core, as those of some drivers do.
class CostlyMeter final : public Meter {
 public:
  const MeterInfo& info() const override { return meter_->info(); }
  Result<EnergySample> Read() override {
    constexpr uint64_t kCostNs = 5'000'000;
    const uint64_t begin = SteadyNowNs();
    while (SteadyNowNs() - begin < kCostNs) {
    }
    return meter_->Read();
  }

 private:
  std::unique_ptr<Meter> meter_ = SteadyMeter();
};

TEST(SamplerTest, CostlyReadingsAreRare) {
  std::vector<std::unique_ptr<Meter>> meters;
  meters.push_back(std::make_unique<CostlyMeter>());
  Sampler sampler(meters, std::chrono::milliseconds(5), 0.05);
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  sampler.Stop();
  // A twentieth of 400 ms is 20 ms, so four readings; one more begins and one more ends the trace. Without the limit
  // they were forty.
  EXPECT_LE(sampler.Traces()[0].samples.size(), 12u);
  EXPECT_GE(sampler.Traces()[0].samples.size(), 2u);
}

TEST(SamplerTest, FullTracesBecomeCoarserAndKeepTheirEnds) {
  for (const size_t size : {0, 1, 2, 3, 4, 9, 10}) {
    std::vector<EnergySample> samples;
    for (size_t i = 0; i < size; ++i) samples.push_back({i + 1, static_cast<double>(i)});
    ThinOut(samples);
    EXPECT_LE(samples.size(), size < 3 ? size : size / 2 + 1) << size;
    if (size == 0) continue;
    EXPECT_EQ(samples.front().at_ns, 1u);
    EXPECT_EQ(samples.back().at_ns, size);
  }
}

}  // namespace
}  // namespace eyeshot
