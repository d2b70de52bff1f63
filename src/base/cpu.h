// What the CPU can do, and which instruction set the kernels shall use.
#ifndef EYESHOT_BASE_CPU_H_
#define EYESHOT_BASE_CPU_H_

#include <string>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

// The instruction sets that kernels are written for, weakest first within an architecture.
// kAmx is kAvx512 with tile products, kDotprod and kI8mm (with bfloat16 matrix products) are kNeon with extensions.
enum class Isa { kSse2, kAvx2, kAvx512, kAmx, kNeon, kDotprod, kI8mm };

std::string_view IsaName(Isa isa);  // "sse2", "avx2", "avx512", "amx", "neon", "dotprod", "i8mm"
Result<Isa> ParseIsa(std::string_view name);  // the names above

// Those that this CPU (and operating system) can run, weakest first; never empty: SSE2 is part of x86-64, NEON of
// aarch64.
const std::vector<Isa>& SupportedIsas();

// The best supported one, or the one named by the environment variable EYESHOT_ISA.
// Error: EYESHOT_ISA names none, or one that this CPU lacks.
Result<Isa> ChooseIsa();

// The model name of /proc/cpuinfo, or the architecture.
std::string CpuName();

}  // namespace eyeshot

#endif  // EYESHOT_BASE_CPU_H_
