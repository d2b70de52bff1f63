// Clocks of processors and GPUs that stand in for real ones: what is written, what is refused, and that all of it is
// put back, whoever dies.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/file.h"
#include "energy/clocks/clock_control.h"
#include "energy/clocks/clock_session.h"
#include "energy/clocks/lease.h"
#include "energy/meters/sysfs.h"
#include "energy/meters/testing.h"
#include "energy/testing.h"

namespace eyeshot {
namespace {

constexpr const char* kPolicies = "devices/system/cpu/cpufreq/";
constexpr const char* kGpu = "00000000:1B:00.0";

class ClocksTest : public SysfsTest {
 protected:
  void SetUp() override {
    SysfsTest::SetUp();
    AddPolicy("policy0", "800000", "3600000");
    AddPolicy("policy4", "400000", "2000000");  // slower cores
    lease_ = root_ + "/run/clocks.json";
    setenv("EYESHOT_NVML", EYESHOT_FAKE_NVML, 1);
    setenv("EYESHOT_FAKE_NVML_STATE", root_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("EYESHOT_NVML");
    unsetenv("EYESHOT_FAKE_NVML_STATE");
    SysfsTest::TearDown();
  }

  void AddPolicy(const std::string& policy, const char* lowest, const char* highest) {
    const std::string folder = kPolicies + policy;
    Write(folder + "/cpuinfo_min_freq", lowest);
    Write(folder + "/cpuinfo_max_freq", highest);
    Write(folder + "/scaling_max_freq", highest);
    Write(folder + "/energy_performance_available_preferences", "default performance balance_power power");
    Write(folder + "/energy_performance_preference", "performance");
  }
  std::string Text(const std::string& file) const { return ReadSysfsText(root_ + "/" + kPolicies + file).value(); }
  std::string GpuState(const char* name) const { return ReadSysfsText(root_ + "/" + name).value(); }

  std::string lease_;
};

TEST_F(ClocksTest, AProcessorsClockIsLimitedInEachPolicyAndPutBack) {
  {
    auto control = OpenCpuClocks(root_);
    ASSERT_TRUE(control.ok()) << control.status().message();
    EXPECT_EQ((*control)->clocks_mhz().front(), 800);
    EXPECT_EQ((*control)->clocks_mhz().back(), 3600);
    auto session = ClockSession::Begin(*std::move(control), lease_, {});
    ASSERT_TRUE(session.ok()) << session.status().message();
    ASSERT_TRUE((*session)->control().SetHighest(2500).ok());
    ASSERT_TRUE((*session)->control().SetPreference("power").ok());
    EXPECT_EQ(Text("policy0/scaling_max_freq"), "2500000");
    EXPECT_EQ(Text("policy4/scaling_max_freq"), "2000000");  // more than it can is not asked for
    EXPECT_EQ(Text("policy4/energy_performance_preference"), "power");
    EXPECT_TRUE(FileExists(lease_));
    EXPECT_TRUE(Has((*session)->control().SetPreference("lazy").message(), "balance_power"));
    EXPECT_EQ((*session)->control().SetPowerLimit(100).code(), StatusCode::kUnsupported);
  }
  EXPECT_EQ(Text("policy0/scaling_max_freq"), "3600000");
  EXPECT_EQ(Text("policy4/scaling_max_freq"), "2000000");
  EXPECT_EQ(Text("policy0/energy_performance_preference"), "performance");
  EXPECT_FALSE(FileExists(lease_));
}

TEST_F(ClocksTest, WhatNobodyChangedIsNotWritten) {
  // As of a user who was given scaling_max_freq alone.
  const std::filesystem::path preference = root_ + "/" + kPolicies + "policy0/energy_performance_preference";
  const auto before = std::filesystem::last_write_time(preference) - std::chrono::hours(1);
  std::filesystem::last_write_time(preference, before);
  {
    const auto session = ClockSession::Begin(*OpenCpuClocks(root_), lease_, {});
    ASSERT_TRUE(session.ok()) << session.status().message();
    ASSERT_TRUE((*session)->control().SetHighest(2500).ok());
    ASSERT_TRUE((*session)->End().ok());
  }
  EXPECT_EQ(Text("policy0/scaling_max_freq"), "3600000");
  EXPECT_TRUE(std::filesystem::last_write_time(preference) == before);
  EXPECT_FALSE(FileExists(lease_));
}

TEST_F(ClocksTest, AClockIsSetAsItsDriverNamesIt) {
  constexpr const char* kOdd = "1024003";  // whose MHz times 1,000 are a little less
  Write(std::string(kPolicies) + "policy0/scaling_available_frequencies", std::string("3600000 ") + kOdd);
  const auto control = OpenCpuClocks(root_);
  ASSERT_TRUE(control.ok());
  ASSERT_TRUE((*control)->SetHighest((*control)->lowest_mhz()).ok());
  EXPECT_EQ(Text("policy0/scaling_max_freq"), kOdd);
}

TEST_F(ClocksTest, ALimitThatWasThereIsNotRaised) {
  Write(std::string(kPolicies) + "policy0/scaling_max_freq", "2200000");
  const auto control = OpenCpuClocks(root_);
  ASSERT_TRUE(control.ok());
  EXPECT_EQ((*control)->highest_mhz(), 2200);
}

TEST_F(ClocksTest, ClocksThatADriverNamesAreTheOnesThatAreOffered) {
  Write(std::string(kPolicies) + "policy0/scaling_available_frequencies", "3600000 2400000 800000 ");
  const auto control = OpenCpuClocks(root_);
  ASSERT_TRUE(control.ok());
  EXPECT_EQ(List((*control)->clocks_mhz()), List({800, 2400, 3600}));
  EXPECT_EQ(NearestOf((*control)->clocks_mhz(), 2000), 2400);
  EXPECT_EQ(List(Thinned({1, 2, 3, 4, 5}, 3)), List({1, 3, 5}));
}

TEST_F(ClocksTest, AMachineWithoutClocksSaysWhatToDo) {
  const auto control = OpenCpuClocks(root_ + "/none");
  ASSERT_FALSE(control.ok());
  EXPECT_EQ(control.status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(Has(control.status().message(), "--governor gears"));
}

TEST_F(ClocksTest, AGpusClockAndPowerAreSetAndPutBack) {
  {
    auto control = OpenGpuClocks(kGpu);
    ASSERT_TRUE(control.ok()) << control.status().message();
    EXPECT_EQ((*control)->lowest_mhz(), 210);
    EXPECT_EQ((*control)->highest_mhz(), 1980);
    auto session = ClockSession::Begin(*std::move(control), lease_, {});
    ASSERT_TRUE(session.ok()) << session.status().message();
    ClockControl& gpu = (*session)->control();
    ASSERT_TRUE(gpu.SetHighest(1200).ok());
    EXPECT_EQ(GpuState("clock_mhz"), "1200");
    ASSERT_TRUE(gpu.SetPowerLimit(300).ok());
    EXPECT_EQ(GpuState("power_mw"), "300000");
    EXPECT_TRUE(Has(gpu.SetPowerLimit(50).message(), "200 to 700 W"));
  }
  EXPECT_EQ(GpuState("clock_mhz"), "1980");
  EXPECT_EQ(GpuState("power_mw"), "700000");
}

TEST_F(ClocksTest, WithoutPermissionNothingIsLeftBehind) {
  unsetenv("EYESHOT_FAKE_NVML_STATE");  // the board then refuses
  auto control = OpenGpuClocks(kGpu);
  ASSERT_TRUE(control.ok());
  const auto session = ClockSession::Begin(*std::move(control), lease_, {});
  ASSERT_FALSE(session.ok());
  EXPECT_TRUE(Has(session.status().message(), "sudo"));
  EXPECT_FALSE(FileExists(lease_));
}

TEST_F(ClocksTest, OfARefusedRunNoGuardIsStarted) {
  unsetenv("EYESHOT_FAKE_NVML_STATE");
  const std::string started = root_ + "/started";
  const auto session = ClockSession::Begin(*OpenGpuClocks(kGpu), lease_, {"/bin/sh", "-c", "touch " + started});
  ASSERT_FALSE(session.ok());
  EXPECT_FALSE(FileExists(started));
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // there is no child
  EXPECT_FALSE(FileExists(lease_));
}

TEST_F(ClocksTest, WhoCannotPutBackDoesNotWaitForAGuardThatWaitsForIt) {
  // As GuardLease() does it, but for ever: while the lease is there, its holder is waited for.
  const std::string guard = "cat > /dev/null; while [ -e " + lease_ + " ]; do sleep 0.01; done";
  const auto session = ClockSession::Begin(*OpenGpuClocks(kGpu), lease_, {"/bin/sh", "-c", guard});
  ASSERT_TRUE(session.ok()) << session.status().message();
  unsetenv("EYESHOT_FAKE_NVML_STATE");
  EXPECT_FALSE((*session)->End().ok());
  EXPECT_TRUE(FileExists(lease_));
  DropLease(lease_);
  int status = -1;
  EXPECT_GT(waitpid(-1, &status, 0), 0);
  EXPECT_EQ(status, 0);
}

TEST_F(ClocksTest, OneRunAtATime) {
  auto first = ClockSession::Begin(*OpenCpuClocks(root_), lease_, {});
  ASSERT_TRUE(first.ok());
  const auto second = ClockSession::Begin(*OpenGpuClocks(kGpu), lease_, {});
  ASSERT_FALSE(second.ok());
  EXPECT_TRUE(Has(second.status().message(), "process " + std::to_string(getpid())));
  EXPECT_TRUE(FileExists(lease_));
}

TEST_F(ClocksTest, TheNextStartPutsBackWhatADeadRunHasLeft) {
  const pid_t child = fork();
  if (child == 0) {
    auto session = ClockSession::Begin(*OpenCpuClocks(root_), lease_, {});
    if (!session.ok() || !(*session)->control().SetHighest(1000).ok()) _exit(1);
    _exit(0);  // without putting anything back
  }
  int status = -1;
  // Dead, and not waited for: it is still listed.
  siginfo_t info = {};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(Text("policy0/scaling_max_freq"), "1000000");
  const Result<bool> repaired = RepairLease(lease_);
  ASSERT_TRUE(repaired.ok()) << repaired.status().message();
  EXPECT_TRUE(*repaired);
  EXPECT_EQ(Text("policy0/scaling_max_freq"), "3600000");
  EXPECT_FALSE(*RepairLease(lease_));
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(ClocksTest, AnotherBootHasForgottenTheClocks) {
  Write("run/clocks.json",
        R"({"pid": 1, "start_ticks": 1, "boot_id": "another", "saved": [{"kind": "cpu_file", "target": ")" + root_ +
            "/" + kPolicies + "policy0/scaling_max_freq" + R"(", "before": "1"}]})" + "\n");
  EXPECT_TRUE(*RepairLease(lease_));
  EXPECT_EQ(Text("policy0/scaling_max_freq"), "3600000");
  EXPECT_FALSE(FileExists(lease_));
}

TEST_F(ClocksTest, ALeaseThatOthersCanWriteIsNotTrusted) {
  Write("run/clocks.json", "{}\n");
  using std::filesystem::perms;
  std::filesystem::permissions(lease_, perms::others_write, std::filesystem::perm_options::add);
  const Result<bool> repaired = RepairLease(lease_);
  ASSERT_FALSE(repaired.ok());
  EXPECT_TRUE(Has(repaired.status().message(), "not trusted"));
}

TEST_F(ClocksTest, ALeaseOfOtherFilesIsRefused) {
  for (const char* const target : {"/etc/passwd", "/x/devices/system/cpu/cpufreq/policy0/../../../passwd",
                                   "/x/devices/system/cpu/cpufreq/policy0/scaling_governor",
                                   "/x/devices/system/cpu/cpufreq/policyx/scaling_max_freq"}) {
    const auto lease = ParseLease(std::string(R"({"pid": 1, "start_ticks": 1, "boot_id": "", "saved": [)") +
                                      R"({"kind": "cpu_file", "before": "1", "target": ")" + target + "\"}]}",
                                  "clocks.json");
    ASSERT_FALSE(lease.ok()) << target;
    EXPECT_TRUE(Has(lease.status().message(), "clocks.json: target"));
  }
}

TEST_F(ClocksTest, ADamagedLeaseIsNamedAndKept) {
  Write("run/clocks.json", R"({"pid": 1, "sav)");
  const Result<bool> repaired = RepairLease(lease_);
  ASSERT_FALSE(repaired.ok());
  EXPECT_TRUE(Has(repaired.status().message(), lease_));
  EXPECT_TRUE(Has(repaired.status().message(), "remove the file"));
  EXPECT_TRUE(FileExists(lease_));
}

}  // namespace
}  // namespace eyeshot
