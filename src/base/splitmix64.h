// splitmix64: numbers that depend on a seed and a place alone, the same on every machine.
//
// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014; constants of David Stafford's
// mix 13.
#ifndef EYESHOT_BASE_SPLITMIX64_H_
#define EYESHOT_BASE_SPLITMIX64_H_

#include <cstdint>

namespace eyeshot {

inline constexpr uint64_t kSplitMix64Step = 0x9E3779B97F4A7C15;

// Number i of a seed's sequence is SplitMix64(seed + i * kSplitMix64Step).
constexpr uint64_t SplitMix64(uint64_t x) {
  x += kSplitMix64Step;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// The upper 53 bits as a number of [0, 1).
constexpr double UnitOfBits(uint64_t bits) { return static_cast<double>(bits >> 11) * 0x1p-53; }

}  // namespace eyeshot

#endif  // EYESHOT_BASE_SPLITMIX64_H_
