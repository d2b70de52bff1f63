#include "energy/meters/cpu_model.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "energy/meters/sysfs.h"

namespace eyeshot {
namespace {

// Not measured, but said: clocks, vector units and memory move a core's power by about so much, and the model knows
// none of them.
constexpr double kModelError = 0.5;
// Of the fields of /proc/stat's first line: user, nice, system, idle, iowait, irq, softirq, steal. The rest is in user.
constexpr size_t kFields = 8;
constexpr size_t kIdle = 3;
constexpr size_t kIoWait = 4;

// Ticks that all processors were busy, of "cpu  4705 150 1120 16250 520 0 30 0 0 0".
Result<uint64_t> BusyTicks(std::string_view text) {
  const auto bad = [] { return CorruptError("/proc/stat: its first line is no line of times", "check the kernel"); };
  if (!text.starts_with("cpu ")) return bad();
  const char* at = text.data() + 4;
  const char* end = text.data() + std::min(text.find('\n'), text.size());
  uint64_t busy = 0;
  for (size_t field = 0; field < kFields; ++field) {
    while (at != end && *at == ' ') ++at;
    uint64_t ticks = 0;
    const auto [stop, error] = std::from_chars(at, end, ticks);
    if (error != std::errc()) return bad();
    if (field != kIdle && field != kIoWait) busy += ticks;
    at = stop;
  }
  return busy;
}

class CpuModel final : public Meter {
 public:
  CpuModel(const CpuPower& power, SysfsFile stat)
      : power_(power), stat_(std::move(stat)), tick_s_(1.0 / static_cast<double>(sysconf(_SC_CLK_TCK))) {
    info_ = {.name = fmt::format("model: {:g} W and {:g} W for each busy core", power.idle_w, power.busy_w),
             .domain = EnergyDomain::kPackage,
             .source = EnergySource::kModel,
             .resolution_j = tick_s_ * power.busy_w,
             .resolution_s = tick_s_,
             .relative_error = kModelError};
  }

  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    EYESHOT_ASSIGN_OR_RETURN(const std::string_view text, stat_.Read());
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t busy, BusyTicks(text));
    const uint64_t now = SteadyNowNs();
    if (last_.at_ns != 0) {
      // The kernel says that some of the times may go back (proc(5), iowait): no energy then.
      const uint64_t ticks = busy > busy_ ? busy - busy_ : 0;
      last_.joules += static_cast<double>(now - last_.at_ns) * 1e-9 * power_.idle_w +
                      static_cast<double>(ticks) * tick_s_ * power_.busy_w;
    }
    last_.at_ns = now;
    busy_ = std::max(busy, busy_);
    return last_;
  }

 private:
  CpuPower power_;
  SysfsFile stat_;
  double tick_s_;
  MeterInfo info_;
  EnergySample last_;
  uint64_t busy_ = 0;
};

}  // namespace

Result<std::unique_ptr<Meter>> OpenCpuModel(const CpuPower& power, const std::string& proc) {
  for (const double watts : {power.idle_w, power.busy_w}) {
    if (!(watts >= 0 && watts <= limits::kMaxCounterWatts)) {
      return InvalidArgumentError(fmt::format("{} W is no power of a machine", watts),
                                  fmt::format("give watts from 0 to {}", limits::kMaxCounterWatts));
    }
  }
  EYESHOT_ASSIGN_OR_RETURN(SysfsFile stat, SysfsFile::Open(JoinPath(proc, "stat")));
  auto model = std::make_unique<CpuModel>(power, std::move(stat));
  if (const Result<EnergySample> first = model->Read(); !first.ok()) return first.status();
  return std::unique_ptr<Meter>(std::move(model));
}

}  // namespace eyeshot
