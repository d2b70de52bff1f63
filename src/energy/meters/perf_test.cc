#include "energy/meters/perf.h"

#include "energy/meters/testing.h"

namespace eyeshot {
namespace {

class PerfTest : public SysfsTest {
 protected:
  void WriteUnit() const {
    Write("power/type", "23\n");
    Write("power/cpumask", "0,18\n");
    Write("power/events/energy-pkg", "event=0x02\n");
    Write("power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n");
    Write("power/events/energy-ram", "event=0x03\n");
    Write("power/events/energy-ram.scale", "2.3283064365386962890625e-10\n");
  }
};

TEST_F(PerfTest, ReadsWhatTheKernelDescribes) {
  WriteUnit();
  const auto events = ReadPowerEvents(root_);
  ASSERT_TRUE(events.ok()) << events.status().message();
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[1].name, "energy-ram");
  EXPECT_EQ((*events)[1].domain, EnergyDomain::kDram);
  EXPECT_EQ((*events)[1].type, 23u);
  EXPECT_EQ((*events)[1].config, 3u);
  EXPECT_DOUBLE_EQ((*events)[1].scale_j * 4294967296.0, 1);
  EXPECT_EQ(*ReadPowerCpus(root_), (std::vector<int>{0, 18}));
}

TEST_F(PerfTest, BrokenDescriptionsAreErrors) {
  EXPECT_EQ(OpenPerfMeters(root_).status().code(), StatusCode::kNotFound);
  const auto breaks = [&](const char* path, const char* text) {
    WriteUnit();
    Write(path, text);
    EXPECT_FALSE(ReadPowerEvents(root_).ok()) << path << ": " << text;
  };
  breaks("power/type", "99999999999");
  breaks("power/events/energy-pkg", "event=2");
  breaks("power/events/energy-pkg", "event=0x02,umask=0x1");
  breaks("power/events/energy-pkg", "");
  for (const char* scale : {"", "-1", "nan", "inf", "0", "1e300", "1 J"}) {
    breaks("power/events/energy-pkg.scale", scale);
  }
}

TEST(CpuListTest, ListsAreReadWithALimit) {
  EXPECT_EQ(*ParseCpuList("0"), (std::vector<int>{0}));
  EXPECT_EQ(*ParseCpuList("0-2,8"), (std::vector<int>{0, 1, 2, 8}));
  for (const char* text : {"", ",", "0,", "2-0", "-1", "0-", "a", "0;1", "99999999999"}) {
    EXPECT_FALSE(ParseCpuList(text).ok()) << text;
  }
  EXPECT_EQ(ParseCpuList("0-2000000000").status().code(), StatusCode::kLimitExceeded);
}

// The kernel's clock of a processor, in nanoseconds, is an event too: it drives the same code at a known 1 J a second.
TEST_F(PerfTest, ReadsAnEventOfTheKernel) {
  Write("power/type", "1");  // PERF_TYPE_SOFTWARE
  Write("power/cpumask", "0");
  Write("power/events/energy-pkg", "event=0x0");  // PERF_COUNT_SW_CPU_CLOCK
  Write("power/events/energy-pkg.scale", "1e-9");
  const auto meters = OpenPerfMeters(root_);
  if (!meters.ok()) {
    EXPECT_NE(meters.status().message().find("perf_event_open"), std::string::npos) << meters.status().message();
    GTEST_SKIP() << "this machine refuses the system call: " << meters.status().message();
  }
  ASSERT_EQ(meters->size(), 1u);
  Meter& meter = *meters->front();
  const auto first = meter.Read();
  ASSERT_TRUE(first.ok()) << first.status().message();
  EnergySample last = *first;
  while (last.at_ns < first->at_ns + 50'000'000) {
    const auto sample = meter.Read();
    ASSERT_TRUE(sample.ok()) << sample.status().message();
    ASSERT_GE(sample->joules, last.joules);
    last = *sample;
  }
  EXPECT_NEAR(last.joules - first->joules, static_cast<double>(last.at_ns - first->at_ns) * 1e-9, 0.01);
}

}  // namespace
}  // namespace eyeshot
