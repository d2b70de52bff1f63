#include "energy/meters/rapl.h"

#include <optional>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "energy/meters/counter.h"
#include "energy/meters/sysfs.h"

namespace eyeshot {
namespace {

constexpr double kUpdatePeriodS = 1e-3;
constexpr double kCounterSteps = 4294967296.0;  // 32 bits
constexpr double kJoulesPerMicrojoule = 1e-6;

class RaplMeter final : public Meter {
 public:
  RaplMeter(MeterInfo info, SysfsFile file, double range_j)
      : info_(std::move(info)), file_(std::move(file)), counter_(info_.name, kUpdatePeriodS, range_j) {}

  const MeterInfo& info() const override { return info_; }
  Result<EnergySample> Read() override {
    EYESHOT_ASSIGN_OR_RETURN(const uint64_t microjoules, file_.ReadNumber());
    return counter_.Add(SteadyNowNs(), static_cast<double>(microjoules) * kJoulesPerMicrojoule);
  }

 private:
  MeterInfo info_;
  SysfsFile file_;
  EnergyCounter counter_;
};

// "package-0", "package-0-die-1", "core", "dram", "psys". The graphics part ("uncore") is in the package, and not used.
std::optional<EnergyDomain> DomainOf(std::string_view name) {
  if (name.starts_with("package-")) return EnergyDomain::kPackage;
  if (name == "core") return EnergyDomain::kCore;
  if (name == "dram") return EnergyDomain::kDram;
  if (name == "psys") return EnergyDomain::kPlatform;
  return std::nullopt;
}

Status ForbiddenError(const std::string& folder, const std::string& path) {
  return IoError(fmt::format("{}: only root may read it, since CVE-2020-8694", path),
                 fmt::format("run `sudo chmod a+r {}/intel-rapl:*/energy_uj`, which lasts until the next start "
                             "(docs/meters.md has the rule that stays)",
                             folder));
}

// Null: a domain that isn't used.
Result<std::unique_ptr<Meter>> OpenOne(const std::string& folder, const std::string& entry) {
  const std::string zone = JoinPath(folder, entry);
  const Result<std::string> name = ReadSysfsText(JoinPath(zone, "name"));
  if (!name.ok()) return name.status();
  const std::optional<EnergyDomain> domain = DomainOf(*name);
  if (!domain) return std::unique_ptr<Meter>();
  EYESHOT_ASSIGN_OR_RETURN(const uint64_t range_uj, ReadSysfsNumber(JoinPath(zone, "max_energy_range_uj")));
  const double range_j = static_cast<double>(range_uj) * kJoulesPerMicrojoule;
  if (range_uj == 0) {
    return CorruptError(fmt::format("{}: max_energy_range_uj is 0", zone), "check the powercap driver");
  }
  const std::string path = JoinPath(zone, "energy_uj");
  if (IsForbidden(path)) return ForbiddenError(folder, path);
  EYESHOT_ASSIGN_OR_RETURN(SysfsFile file, SysfsFile::Open(path));
  MeterInfo info{.name = fmt::format("{} {}", entry, *name),
                 .domain = *domain,
                 .source = EnergySource::kRapl,
                 .resolution_j = range_j / kCounterSteps,
                 .resolution_s = kUpdatePeriodS};
  auto meter = std::make_unique<RaplMeter>(std::move(info), std::move(file), range_j);
  // What can't be read now is said now.
  if (const Result<EnergySample> first = meter->Read(); !first.ok()) return first.status();
  return std::unique_ptr<Meter>(std::move(meter));
}

}  // namespace

Result<std::vector<std::unique_ptr<Meter>>> OpenRaplMeters(const std::string& folder) {
  // Not "intel-rapl-mmio:0", the same package seen by another way.
  const Result<std::vector<std::string>> entries = ListSysfsFolder(folder, "intel-rapl:");
  if (!entries.ok() && entries.status().code() != StatusCode::kNotFound) return entries.status();
  std::vector<std::unique_ptr<Meter>> meters;
  for (const std::string& entry : entries.ok() ? *entries : std::vector<std::string>()) {
    EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<Meter> meter, OpenOne(folder, entry));
    if (meter != nullptr) meters.push_back(std::move(meter));
  }
  if (meters.empty()) {
    return NotFoundError(fmt::format("{}: has no counter", folder),
                         "virtual machines and containers have none, as a rule: run on the machine itself, or "
                         "`sudo modprobe intel_rapl_msr` where it is an Intel or AMD processor");
  }
  return meters;
}

}  // namespace eyeshot
