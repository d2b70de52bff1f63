#include "energy/meters/meter.h"

#include <chrono>

namespace eyeshot {

std::string_view EnergyDomainName(EnergyDomain domain) {
  switch (domain) {
    case EnergyDomain::kPackage: return "package";
    case EnergyDomain::kCore: return "core";
    case EnergyDomain::kDram: return "dram";
    case EnergyDomain::kPlatform: return "psys";
    case EnergyDomain::kGpu: return "gpu";
  }
  return "unknown";
}

bool OverlapsOthers(EnergyDomain domain) { return domain == EnergyDomain::kCore || domain == EnergyDomain::kPlatform; }

uint64_t SteadyNowNs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace eyeshot
