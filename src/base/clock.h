// The steady clock as a number, in which stages, samples and readings are noted.
#ifndef EYESHOT_BASE_CLOCK_H_
#define EYESHOT_BASE_CLOCK_H_

#include <chrono>
#include <cstdint>

namespace eyeshot {

inline uint64_t SteadyNowNs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace eyeshot

#endif  // EYESHOT_BASE_CLOCK_H_
