// The processor's clock by cpufreq.
//
// Source: Linux, Documentation/admin-guide/pm/cpufreq.rst and intel_pstate.rst.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "energy/clocks/clock_control.h"
#include "energy/meters/sysfs.h"

namespace eyeshot {
namespace {

constexpr double kKhzPerMhz = 1000;
// Drivers that name no clocks (intel_pstate, amd-pstate) take any: these stand for them.
constexpr double kStepMhz = 100;

struct CpuPolicy {
  std::string folder;
  uint64_t lowest_khz = 0;
  uint64_t highest_khz = 0;
};

// "policy0 policy4": only those whose cores are on have files.
Result<std::vector<CpuPolicy>> FindPolicies(const std::string& root) {
  const Result<std::vector<std::string>> entries = ListSysfsFolder(root, "policy");
  if (!entries.ok() || entries->empty()) {
    return NotFoundError(fmt::format("{} has no policy: the kernel doesn't set this processor's clock, as in most "
                                     "virtual machines",
                                     root),
                         "take a governor without clocks (--governor gears), or run on the machine itself");
  }
  std::vector<CpuPolicy> policies;
  for (const std::string& entry : *entries) {
    CpuPolicy policy{.folder = JoinPath(root, entry)};
    EYESHOT_ASSIGN_OR_RETURN(policy.lowest_khz, ReadSysfsNumber(JoinPath(policy.folder, "cpuinfo_min_freq")));
    EYESHOT_ASSIGN_OR_RETURN(policy.highest_khz, ReadSysfsNumber(JoinPath(policy.folder, "cpuinfo_max_freq")));
    // What was limited before stays so.
    const Result<uint64_t> limit = ReadSysfsNumber(JoinPath(policy.folder, std::string(kScalingMaxFreq)));
    if (limit.ok() && *limit >= policy.lowest_khz) policy.highest_khz = std::min(policy.highest_khz, *limit);
    constexpr uint64_t kMostKhz = 100'000'000;
    if (policy.lowest_khz == 0 || policy.lowest_khz > policy.highest_khz || policy.highest_khz > kMostKhz) {
      return CorruptError(
          fmt::format("{}: clocks from {} to {} kHz", policy.folder, policy.lowest_khz, policy.highest_khz),
          "this driver can't be used: leave --allow-clocks out");
    }
    policies.push_back(std::move(policy));
  }
  return policies;
}

// MHz, of the policy with the highest clock.
Result<std::vector<double>> ClocksOf(const std::vector<CpuPolicy>& policies) {
  const CpuPolicy& fastest =
      *std::max_element(policies.begin(), policies.end(),
                        [](const CpuPolicy& a, const CpuPolicy& b) { return a.highest_khz < b.highest_khz; });
  std::vector<double> clocks;
  const std::string listed = JoinPath(fastest.folder, "scaling_available_frequencies");
  if (FileExists(listed)) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadSysfsText(listed));
    std::istringstream words(text);
    for (uint64_t khz = 0; words >> khz;) {
      if (khz <= fastest.highest_khz) clocks.push_back(static_cast<double>(khz) / kKhzPerMhz);
    }
  }
  if (clocks.empty()) {
    const double lowest = static_cast<double>(fastest.lowest_khz) / kKhzPerMhz;
    const double highest = static_cast<double>(fastest.highest_khz) / kKhzPerMhz;
    for (double mhz = highest; mhz > lowest; mhz -= kStepMhz) clocks.push_back(mhz);
    clocks.push_back(lowest);
  }
  std::sort(clocks.begin(), clocks.end());
  clocks.erase(std::unique(clocks.begin(), clocks.end()), clocks.end());
  if (clocks.size() > limits::kMaxClocks) {
    return LimitError(fmt::format("{} names {} clocks", listed, clocks.size()),
                      fmt::format("at most {} are taken", limits::kMaxClocks));
  }
  return clocks;
}

class CpuClocks final : public ClockControl {
 public:
  CpuClocks(std::vector<CpuPolicy> policies, std::vector<double> clocks)
      : policies_(std::move(policies)), clocks_(std::move(clocks)) {}

  const std::vector<double>& clocks_mhz() const override { return clocks_; }

  std::vector<MachineSetting> settings() const override {
    std::vector<MachineSetting> settings;
    for (const CpuPolicy& policy : policies_) {
      settings.push_back({MachineSetting::Kind::kCpuFile, JoinPath(policy.folder, std::string(kScalingMaxFreq))});
      const std::string preference = JoinPath(policy.folder, std::string(kEnergyPreference));
      if (FileExists(preference)) settings.push_back({MachineSetting::Kind::kCpuFile, preference});
    }
    return settings;
  }

  Status SetHighest(double mhz) override {
    const auto khz = static_cast<uint64_t>(std::llround(mhz * kKhzPerMhz));
    for (const CpuPolicy& policy : policies_) {
      const uint64_t own = std::clamp(khz, policy.lowest_khz, policy.highest_khz);
      EYESHOT_RETURN_IF_ERROR(
          WriteSetting({MachineSetting::Kind::kCpuFile, JoinPath(policy.folder, std::string(kScalingMaxFreq))},
                       fmt::format("{}", own)));
    }
    return Status::Ok();
  }

  Status SetPowerLimit(double watts) override {
    return UnsupportedError(fmt::format("a power limit of {:g} W for a processor", watts),
                            "it is for GPUs; limit the clock instead (--governor fixed:MHZ)");
  }

  Status SetPreference(const std::string& preference) override {
    for (const CpuPolicy& policy : policies_) {
      const Result<std::string> known =
          ReadSysfsText(JoinPath(policy.folder, "energy_performance_available_preferences"));
      if (!known.ok()) {
        return UnsupportedError(fmt::format("{} has no energy preference", policy.folder),
                                "its driver lacks them: leave --energy-preference out");
      }
      std::istringstream words(*known);
      bool found = false;
      for (std::string word; words >> word;) found = found || word == preference;
      if (!found) {
        return UnsupportedError(fmt::format("the energy preference '{}'", preference),
                                fmt::format("take one of: {}", *known));
      }
      EYESHOT_RETURN_IF_ERROR(WriteSetting(
          {MachineSetting::Kind::kCpuFile, JoinPath(policy.folder, std::string(kEnergyPreference))}, preference));
    }
    return Status::Ok();
  }

 private:
  std::vector<CpuPolicy> policies_;
  std::vector<double> clocks_;
};

}  // namespace

Result<std::unique_ptr<ClockControl>> OpenCpuClocks(const std::string& sysfs) {
  EYESHOT_ASSIGN_OR_RETURN(std::vector<CpuPolicy> policies,
                           FindPolicies(JoinPath(sysfs, "devices/system/cpu/cpufreq")));
  EYESHOT_ASSIGN_OR_RETURN(std::vector<double> clocks, ClocksOf(policies));
  return std::unique_ptr<ClockControl>(std::make_unique<CpuClocks>(std::move(policies), std::move(clocks)));
}

}  // namespace eyeshot
