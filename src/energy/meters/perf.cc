#include "energy/meters/perf.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "energy/meters/counter.h"
#include "energy/meters/sysfs.h"

namespace eyeshot {
namespace {

constexpr double kUpdatePeriodS = 1e-3;  // as powercap's: the counter below is the same
constexpr double kMaxScaleJ = 1.0;       // joules a count: the kernel's is 2^-32

struct KnownEvent {
  std::string_view name;
  EnergyDomain domain;
};
constexpr KnownEvent kKnownEvents[] = {{"energy-pkg", EnergyDomain::kPackage},
                                       {"energy-cores", EnergyDomain::kCore},
                                       {"energy-ram", EnergyDomain::kDram},
                                       {"energy-psys", EnergyDomain::kPlatform}};

class PerfMeter final : public Meter {
 public:
  PerfMeter(MeterInfo info, int fd, double scale_j)
      : info_(std::move(info)), fd_(fd), scale_j_(scale_j), counter_(info_.name, kUpdatePeriodS, /*range_j=*/0) {}
  ~PerfMeter() override { close(fd_); }
  PerfMeter(const PerfMeter&) = delete;
  PerfMeter& operator=(const PerfMeter&) = delete;

  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    uint64_t count = 0;
    if (read(fd_, &count, sizeof count) != static_cast<ssize_t>(sizeof count)) {
      return IoError(fmt::format("{}: {}", info_.name, std::strerror(errno)), "read it again later");
    }
    return counter_.Add(SteadyNowNs(), static_cast<double>(count) * scale_j_);
  }

 private:
  MeterInfo info_;
  int fd_;
  double scale_j_;
  EnergyCounter counter_;
};

// "event=0x02"
Result<uint64_t> ParseEvent(const std::string& path, std::string_view text) {
  constexpr std::string_view kPrefix = "event=0x";
  uint64_t config = 0;
  const char* end = text.data() + text.size();
  if (text.starts_with(kPrefix)) {
    const auto [stop, error] = std::from_chars(text.data() + kPrefix.size(), end, config, 16);
    if (error == std::errc() && stop == end) return config;
  }
  return CorruptError(fmt::format("{}: '{}' is no event", path, text.substr(0, 40)), "check the kernel's perf driver");
}

Result<double> ParseScale(const std::string& path, std::string_view text) {
  double scale = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, scale);
  if (error == std::errc() && stop == end && scale > 0 && scale <= kMaxScaleJ) return scale;
  return CorruptError(fmt::format("{}: '{}' is no scale in joules", path, text.substr(0, 40)),
                      "check the kernel's perf driver");
}

Status RefusedError(const std::string& name, int error) {
  return IoError(fmt::format("{}: perf_event_open: {}", name, std::strerror(error)),
                 error == EACCES || error == EPERM
                     ? "run `sudo sysctl kernel.perf_event_paranoid=0`, or give the program CAP_PERFMON"
                     : "the kernel or the sandbox does not offer this event");
}

Result<std::unique_ptr<Meter>> OpenEvent(const PowerEvent& event, int cpu) {
  perf_event_attr attributes = {};
  attributes.size = sizeof attributes;
  attributes.type = event.type;
  attributes.config = event.config;
  const std::string name = fmt::format("perf {} of processor {}", event.name, cpu);
  const long fd = syscall(SYS_perf_event_open, &attributes, /*pid=*/-1, cpu, /*group_fd=*/-1, PERF_FLAG_FD_CLOEXEC);
  if (fd < 0) return RefusedError(name, errno);
  MeterInfo info{.name = name,
                 .domain = event.domain,
                 .source = EnergySource::kRapl,
                 .resolution_j = event.scale_j,
                 .resolution_s = kUpdatePeriodS};
  auto meter = std::make_unique<PerfMeter>(std::move(info), static_cast<int>(fd), event.scale_j);
  if (const Result<EnergySample> first = meter->Read(); !first.ok()) return first.status();
  return std::unique_ptr<Meter>(std::move(meter));
}

}  // namespace

Result<std::vector<PowerEvent>> ReadPowerEvents(const std::string& folder) {
  const std::string unit = JoinPath(folder, "power");
  EYESHOT_ASSIGN_OR_RETURN(const uint64_t type, ReadSysfsNumber(JoinPath(unit, "type")));
  if (type > std::numeric_limits<uint32_t>::max()) {
    return CorruptError(fmt::format("{}/type: {} has more than 32 bits", unit, type), "check the kernel's perf driver");
  }
  std::vector<PowerEvent> events;
  for (const KnownEvent& known : kKnownEvents) {
    const std::string path = JoinPath(unit, fmt::format("events/{}", known.name));
    const Result<std::string> event = ReadSysfsText(path);
    if (!event.ok() && event.status().code() == StatusCode::kNotFound) continue;  // the processor lacks it
    if (!event.ok()) return event.status();
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t config, ParseEvent(path, *event));
    EYESHOT_ASSIGN_OR_RETURN(const std::string scale, ReadSysfsText(path + ".scale"));
    EYESHOT_ASSIGN_OR_RETURN(const double scale_j, ParseScale(path + ".scale", scale));
    events.push_back({std::string(known.name), known.domain, static_cast<uint32_t>(type), config, scale_j});
  }
  if (events.empty()) return NotFoundError(fmt::format("{}: has no energy events", unit), "use another meter");
  return events;
}

Result<std::vector<int>> ParseCpuList(std::string_view text) {
  std::vector<int> cpus;
  const char* at = text.data();
  const char* end = at + text.size();
  const auto bad = [&] {
    return CorruptError(fmt::format("'{}' is no list of processors", text.substr(0, 40)), "it looks like 0,18 or 0-1");
  };
  while (true) {
    int first = 0;
    auto [stop, error] = std::from_chars(at, end, first);
    if (error != std::errc() || first < 0) return bad();
    int last = first;
    if (stop != end && *stop == '-') {
      const auto range = std::from_chars(stop + 1, end, last);
      if (range.ec != std::errc() || last < first) return bad();
      stop = range.ptr;
    }
    if (static_cast<size_t>(last - first) >= limits::kMaxSysfsEntries - cpus.size()) {
      return LimitError(
          fmt::format("{} processors are listed, the limit is {}", last - first, limits::kMaxSysfsEntries),
          "check that it is a file of sysfs");
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (stop == end) return cpus;
    if (*stop != ',') return bad();
    at = stop + 1;
  }
}

Result<std::vector<int>> ReadPowerCpus(const std::string& folder) {
  const std::string path = JoinPath(folder, "power/cpumask");
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadSysfsText(path));
  Result<std::vector<int>> cpus = ParseCpuList(text);
  if (!cpus.ok()) return cpus.status().At(path);
  return cpus;
}

Result<std::vector<std::unique_ptr<Meter>>> OpenPerfMeters(const std::string& folder) {
  const Result<std::vector<PowerEvent>> events = ReadPowerEvents(folder);
  if (!events.ok() && events.status().code() == StatusCode::kNotFound) {
    return NotFoundError(fmt::format("{}/power: the kernel has no perf events for energy", folder),
                         "virtual machines and containers have none, as a rule: run on the machine itself");
  }
  if (!events.ok()) return events.status();
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<int> cpus, ReadPowerCpus(folder));
  std::vector<std::unique_ptr<Meter>> meters;
  for (const PowerEvent& event : *events) {
    for (const int cpu : cpus) {
      EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<Meter> meter, OpenEvent(event, cpu));
      meters.push_back(std::move(meter));
    }
  }
  return meters;
}

}  // namespace eyeshot
