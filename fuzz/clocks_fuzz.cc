// The input is a profile of `eyeshot tune`, and a lease of clocks. What is accepted as a profile can be planned with:
// every policy names clocks of the device, and their cost is a finite number. What is accepted as a lease names nothing
// but clocks.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "energy/clocks/lease.h"
#include "energy/governors/clock_plan.h"
#include "energy/governors/profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace eyeshot;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto lease = ParseLease(text, "clocks.json"); lease.ok()) {
    for (const SavedSetting& saved : lease->saved) {
      EYESHOT_CHECK(saved.setting.kind != MachineSetting::Kind::kCpuFile || IsCpuSettingPath(saved.setting.target));
    }
  }
  const auto profile = ParseProfile(text, "profile.json");
  if (!profile.ok()) return 0;
  const std::vector<double> clocks = {300, 900, 1500};
  for (const char* const name : {"one-clock", "stage-table", "memory-safe", "oracle"}) {
    const auto plan = PlanClocks(*ParseGovernor(name), clocks, &*profile, 0.05);
    if (!plan.ok()) continue;
    for (const double mhz : plan->clock_mhz) EYESHOT_CHECK(std::isfinite(mhz) && mhz > 0);
    const PlannedCost cost = CostOf(*profile, plan->clock_mhz);
    EYESHOT_CHECK(std::isfinite(cost.seconds) && std::isfinite(cost.joules));
  }
  return 0;
}
