#include "energy/meters/rapl.h"

#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/clock.h"
#include "energy/meters/counter.h"
#include "energy/meters/cpu_model.h"
#include "energy/meters/testing.h"

namespace eyeshot {
namespace {

constexpr char kRange[] = "262143328850\n";  // 2^32 steps of 2^-14 J, of a Xeon

class RaplTest : public SysfsTest {
 protected:
  void WriteZone(const std::string& zone, const std::string& name, const std::string& energy_uj) const {
    Write(zone + "/name", name + "\n");
    Write(zone + "/max_energy_range_uj", kRange);
    Write(zone + "/energy_uj", energy_uj);
  }
  void WriteMachine() const {
    WriteZone("intel-rapl:0", "package-0", "1000000\n");
    WriteZone("intel-rapl:0:0", "core", "500000\n");
    WriteZone("intel-rapl:0:1", "uncore", "7\n");
    WriteZone("intel-rapl:0:2", "dram", "300000\n");
    WriteZone("intel-rapl:1", "psys", "2000000\n");
    WriteZone("intel-rapl-mmio:0", "package-0", "1000000\n");
    Write("dtpm/name", "no counter");
  }
  std::unique_ptr<Meter> Package() const {
    auto meters = OpenRaplMeters(root_);
    EXPECT_TRUE(meters.ok()) << meters.status().message();
    return meters.ok() && !meters->empty() ? std::move(meters->front()) : nullptr;
  }
};

TEST_F(RaplTest, FindsEachDomainOnce) {
  WriteMachine();
  const auto meters = OpenRaplMeters(root_);
  ASSERT_TRUE(meters.ok()) << meters.status().message();
  std::vector<std::string> found;
  for (const auto& meter : *meters) {
    found.push_back(meter->info().name + "=" + std::string(EnergyDomainName(meter->info().domain)));
    EXPECT_EQ(meter->info().source, EnergySource::kRapl);
    EXPECT_NEAR(meter->info().resolution_j, 61e-6, 1e-6);
  }
  EXPECT_EQ(found, (std::vector<std::string>{"intel-rapl:0 package-0=package", "intel-rapl:0:0 core=core",
                                             "intel-rapl:0:2 dram=dram", "intel-rapl:1 psys=psys"}));
}

TEST_F(RaplTest, CountsFromTheFirstReading) {
  WriteMachine();
  const auto meter = Package();
  ASSERT_NE(meter, nullptr);
  Write("intel-rapl:0/energy_uj", "3500000\n");
  const auto sample = meter->Read();
  ASSERT_TRUE(sample.ok()) << sample.status().message();
  EXPECT_NEAR(sample->joules, 2.5, 1e-9);
}

TEST_F(RaplTest, CountsOnWhereTheCounterWraps) {
  WriteZone("intel-rapl:0", "package-0", "262143000000");
  const auto meter = Package();
  ASSERT_NE(meter, nullptr);
  Write("intel-rapl:0/energy_uj", "671150");
  const auto sample = meter->Read();
  ASSERT_TRUE(sample.ok()) << sample.status().message();
  EXPECT_NEAR(sample->joules, 1.0, 1e-4);
}

TEST_F(RaplTest, AResetIsAnErrorFromThenOn) {
  WriteZone("intel-rapl:0", "package-0", "90000000000");
  const auto meter = Package();
  ASSERT_NE(meter, nullptr);
  Write("intel-rapl:0/energy_uj", "12");
  const auto sample = meter->Read();
  ASSERT_FALSE(sample.ok()) << sample->joules;
  EXPECT_EQ(sample.status().code(), StatusCode::kCorrupt);
  EXPECT_NE(sample.status().message().find("reset"), std::string::npos) << sample.status().message();
  Write("intel-rapl:0/energy_uj", "2000012");
  EXPECT_FALSE(meter->Read().ok()) << "what was taken before the reset isn't known";
}

TEST_F(RaplTest, LostReadingsAreErrorsAndLackNothingLater) {
  WriteMachine();
  const auto meter = Package();
  ASSERT_NE(meter, nullptr);
  for (const char* text : {"", "\n", "energy", "-5", "12 J", "99999999999999999999999", "1e6", "262143328851"}) {
    Write("intel-rapl:0/energy_uj", text);
    const auto sample = meter->Read();
    EXPECT_FALSE(sample.ok()) << '"' << text << "\" became " << sample->joules;
  }
  Write("intel-rapl:0/energy_uj", "1500000");
  const auto sample = meter->Read();
  ASSERT_TRUE(sample.ok()) << sample.status().message();
  EXPECT_NEAR(sample->joules, 0.5, 1e-9);
}

TEST_F(RaplTest, BrokenTreesAreErrors) {
  EXPECT_EQ(OpenRaplMeters(root_).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(OpenRaplMeters(root_ + "/nowhere").status().code(), StatusCode::kNotFound);
  WriteMachine();
  Write("intel-rapl:0/energy_uj", "");
  EXPECT_NE(OpenRaplMeters(root_).status().message().find("is empty"), std::string::npos);
  Write("intel-rapl:0/energy_uj", "5");
  Write("intel-rapl:0/max_energy_range_uj", "0");
  EXPECT_EQ(OpenRaplMeters(root_).status().code(), StatusCode::kCorrupt);
  std::filesystem::remove(root_ + "/intel-rapl:0/max_energy_range_uj");
  EXPECT_EQ(OpenRaplMeters(root_).status().code(), StatusCode::kNotFound);
}

TEST_F(RaplTest, WithoutPermissionTheCommandThatGivesItIsSaid) {
  WriteMachine();
  std::filesystem::permissions(root_ + "/intel-rapl:0/energy_uj", std::filesystem::perms::owner_read);
  const bool root = geteuid() == 0;
  if (!root) std::filesystem::permissions(root_ + "/intel-rapl:0/energy_uj", std::filesystem::perms::none);
  constexpr uid_t kNobody = 65534;
  if (root) {
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  const auto meters = OpenRaplMeters(root_);
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  ASSERT_FALSE(meters.ok());
  EXPECT_EQ(meters.status().code(), StatusCode::kIo);
  EXPECT_NE(meters.status().message().find("only root may read it"), std::string::npos) << meters.status().message();
  EXPECT_NE(meters.status().message().find("sudo chmod a+r " + root_ + "/intel-rapl:*/energy_uj"), std::string::npos)
      << meters.status().message();
}

TEST(EnergyCounterTest, AnUnreadHourMayHideAWrap) {
  EnergyCounter counter("c", 1e-3, 262143.0);
  ASSERT_TRUE(counter.Add(1, 100).ok());
  const auto sample = counter.Add(3'600'000'000'001, 200);
  ASSERT_FALSE(sample.ok());
  EXPECT_NE(sample.status().message().find("may have wrapped unseen"), std::string::npos);
}

TEST(EnergyCounterTest, JumpsAreNoEnergy) {
  EnergyCounter counter("c", 1e-3, 0);
  ASSERT_TRUE(counter.Add(1, 100).ok());
  EXPECT_FALSE(counter.Add(1'000'001, 1e9).ok());
  EXPECT_FALSE(counter.Add(2'000'001, 101).ok());
}

class CpuModelTest : public SysfsTest {};

TEST_F(CpuModelTest, IdleAndBusyWattsMakeAnEstimate) {
  Write("stat", "cpu  100 0 50 9000 3 0 0 0 0 0\ncpu0 1 2 3\n");
  auto model = OpenCpuModel({.idle_w = 0, .busy_w = 8}, root_);
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->info().source, EnergySource::kModel);
  Write("stat", "cpu  300 0 50 9100 9 0 0 0 0 0\ncpu0 1 2 3\n");  // 200 ticks of 10 ms
  const auto busy = (*model)->Read();
  ASSERT_TRUE(busy.ok());
  EXPECT_NEAR(busy->joules, 16, 1e-9);
  Write("stat", "cpu  290 0 50 9100 9 0 0 0 0 0\n");  // back, as the kernel says it may
  EXPECT_NEAR((*model)->Read()->joules, 16, 1e-9);
  auto idle = OpenCpuModel({.idle_w = 50, .busy_w = 0}, root_);
  ASSERT_TRUE(idle.ok());
  const uint64_t before = SteadyNowNs();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto idled = (*idle)->Read();
  EXPECT_GE(idled->joules, 1.0 - 1e-6) << "50 W for 20 ms";
  EXPECT_NEAR(idled->joules, 50e-9 * static_cast<double>(idled->at_ns - before), 0.05);
}

TEST_F(CpuModelTest, BadTimesAndWattsAreErrors) {
  for (const char* text : {"", "cpu", "cpu  1 2 3", "cpu  1 2 x 4 5 6 7 8", "intr 5 5 5 5 5 5 5 5 5"}) {
    Write("stat", text);
    EXPECT_FALSE(OpenCpuModel({1, 1}, root_).ok()) << text;
  }
  Write("stat", "cpu  100 0 50 9000 3 0 0 0 0 0\n");
  EXPECT_EQ(OpenCpuModel({-1, 1}, root_).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenCpuModel({1, 1e9}, root_).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace eyeshot
