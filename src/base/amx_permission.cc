#include "base/amx_permission.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace eyeshot {
namespace {

struct Available {
  bool int8 = false;
  bool bf16 = false;
};

#if defined(__x86_64__)

// What the operating system saves when it switches threads (XCR0).
uint64_t SavedState() {
  uint32_t low;
  uint32_t high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// Linux gives each thread the 8 KiB of its tiles only after the process has asked (Documentation/arch/x86/xstate.rst).
bool AskForTiles() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, which older headers lack
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

Available Detect() {
  constexpr uint32_t kBf16 = 1u << 22;
  constexpr uint32_t kTile = 1u << 24;
  constexpr uint32_t kInt8 = 1u << 25;
  constexpr uint64_t kTileState = uint64_t{3} << 17;  // configuration and data
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_OSXSAVE) == 0) return {};
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kTile) == 0) return {};
  if ((SavedState() & kTileState) != kTileState || !AskForTiles()) return {};
  return {.int8 = (edx & kInt8) != 0, .bf16 = (edx & kBf16) != 0};
}

#else

Available Detect() { return {}; }

#endif

const Available& Found() {
  static const Available available = Detect();
  return available;
}

}  // namespace

bool AmxInt8Available() { return Found().int8; }
bool AmxBf16Available() { return Found().bf16; }

}  // namespace eyeshot
