#include "energy/meters/meter.h"

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

}  // namespace eyeshot
