#include "base/cpu.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/amx_permission.h"
#include "base/error.h"

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace eyeshot {
namespace {

constexpr Isa kAllIsas[] = {Isa::kSse2, Isa::kAvx2, Isa::kAvx512, Isa::kAmx, Isa::kNeon, Isa::kDotprod, Isa::kI8mm};

bool Supported(Isa isa) {
  switch (isa) {
#if defined(__aarch64__)
    case Isa::kNeon: return true;  // part of the architecture
    case Isa::kDotprod: return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
    case Isa::kI8mm: {
      const unsigned long wanted = HWCAP2_I8MM | HWCAP2_BF16;
      return Supported(Isa::kDotprod) && (getauxval(AT_HWCAP2) & wanted) == wanted;
    }
#elif defined(__x86_64__)
    case Isa::kSse2: return true;  // part of the architecture
    case Isa::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    case Isa::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case Isa::kAmx: return Supported(Isa::kAvx512) && AmxInt8Available() && AmxBf16Available();
#endif
    default: return false;
  }
}

std::string JoinNames(const std::vector<Isa>& isas) {
  std::string names;
  for (Isa isa : isas) names += (names.empty() ? "" : ", ") + std::string(IsaName(isa));
  return names;
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kSse2: return "sse2";
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    case Isa::kAmx: return "amx";
    case Isa::kNeon: return "neon";
    case Isa::kDotprod: return "dotprod";
    case Isa::kI8mm: return "i8mm";
  }
  return "unknown";
}

Result<Isa> ParseIsa(std::string_view name) {
  for (Isa isa : kAllIsas) {
    if (IsaName(isa) == name) return isa;
  }
  return InvalidArgumentError(fmt::format("'{}' is no instruction set", name),
                              "use one of " + JoinNames(SupportedIsas()));
}

const std::vector<Isa>& SupportedIsas() {
  static const std::vector<Isa> supported = [] {
    std::vector<Isa> isas;
    for (Isa isa : kAllIsas) {
      if (Supported(isa)) isas.push_back(isa);
    }
    return isas;
  }();
  return supported;
}

Result<Isa> ChooseIsa() {
  const char* name = std::getenv("EYESHOT_ISA");
  if (name == nullptr || *name == '\0') return SupportedIsas().back();
  Result<Isa> isa = ParseIsa(name);
  if (!isa.ok()) return isa.status().At("EYESHOT_ISA");
  const auto& supported = SupportedIsas();
  if (std::find(supported.begin(), supported.end(), *isa) == supported.end()) {
    return UnsupportedError(fmt::format("EYESHOT_ISA: this CPU has no {}", name), "use one of " + JoinNames(supported));
  }
  return isa;
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("model name")) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
#if defined(__aarch64__)
  return "aarch64";
#else
  return "unknown";
#endif
}

}  // namespace eyeshot
