// Stands in for NVIDIA's libnvidia-ml.so.1 in tests: one GPU, 00000000:1B:00.0. Its counter goes up by 50 J with each
// read or, with $EYESHOT_FAKE_NVML_WATTS, by so much power, each 20 ms; it has no memory information, and it answers by
// the old name for what holds the clocks back.
//
// With $EYESHOT_FAKE_NVML_STATE, a folder, its clocks and its power limit can be set: they stand in files there, as a
// board keeps them when the program that set them has died. $EYESHOT_FAKE_NVML_WATTS is then the power at 1,980 MHz, of
// which 40 % follow the cube of the clock.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>

#define FAKE_NVML extern "C" __attribute__((visibility("default")))

namespace {
constexpr int kNotFound = 6;
constexpr int kNotSupported = 3;
constexpr int kNoPermission = 4;
constexpr unsigned kHighestMhz = 1980;
constexpr unsigned kLowestMhz = 210;
constexpr unsigned kStepMhz = 15;
constexpr unsigned kDefaultLimitMw = 700'000;
int device = 0;
unsigned long long energy_mj = 1'000'000;

const char* StateFolder() { return std::getenv("EYESHOT_FAKE_NVML_STATE"); }

unsigned State(const char* name, unsigned otherwise) {
  if (StateFolder() == nullptr) return otherwise;
  std::ifstream file(std::string(StateFolder()) + "/" + name);
  unsigned value = 0;
  return file >> value ? value : otherwise;
}

int SetState(const char* name, unsigned value) {
  if (StateFolder() == nullptr) return kNoPermission;
  std::ofstream file(std::string(StateFolder()) + "/" + name);
  file << value << "\n";
  return file ? 0 : kNoPermission;
}

double Watts(unsigned clock_mhz) {
  const double highest = std::atof(std::getenv("EYESHOT_FAKE_NVML_WATTS"));
  const double f = static_cast<double>(clock_mhz) / kHighestMhz;
  return highest * (0.6 + 0.4 * f * f * f);
}

// Counts on at the power of the clock that held since the last look: clocks are set and read by one process at a time.
unsigned long long CountedMillijoules() {
  static std::mutex mutex;  // a sampler reads beside who asks
  const std::lock_guard<std::mutex> lock(mutex);
  constexpr long long kPeriodMs = 20;
  static long long last_ms = 0;
  static double millijoules = 1e9;
  static unsigned last_clock = kHighestMhz;
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const long long ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() / kPeriodMs * kPeriodMs;
  if (last_ms == 0) last_ms = ms;
  millijoules += static_cast<double>(ms - last_ms) * Watts(last_clock);
  last_ms = ms;
  last_clock = State("clock_mhz", kHighestMhz);
  return static_cast<unsigned long long>(millijoules);
}
}  // namespace

FAKE_NVML int nvmlInit_v2();
FAKE_NVML int nvmlShutdown();
FAKE_NVML const char* nvmlErrorString(int error);
FAKE_NVML int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** handle);
FAKE_NVML int nvmlDeviceGetCount_v2(unsigned* count);
FAKE_NVML int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** handle);
FAKE_NVML int nvmlDeviceGetTotalEnergyConsumption(void* handle, unsigned long long* mj);
FAKE_NVML int nvmlDeviceGetPowerUsage(void* handle, unsigned* mw);
FAKE_NVML int nvmlDeviceGetClockInfo(void* handle, unsigned type, unsigned* mhz);
FAKE_NVML int nvmlDeviceGetTemperature(void* handle, unsigned sensor, unsigned* celsius);
FAKE_NVML int nvmlDeviceGetCurrentClocksThrottleReasons(void* handle, unsigned long long* reasons);
FAKE_NVML int nvmlDeviceGetMemoryInfo(void* handle, void* info);
FAKE_NVML int nvmlDeviceGetSupportedMemoryClocks(void* handle, unsigned* count, unsigned* mhz);
FAKE_NVML int nvmlDeviceGetSupportedGraphicsClocks(void* handle, unsigned memory_mhz, unsigned* count, unsigned* mhz);
FAKE_NVML int nvmlDeviceSetGpuLockedClocks(void* handle, unsigned low_mhz, unsigned high_mhz);
FAKE_NVML int nvmlDeviceResetGpuLockedClocks(void* handle);
FAKE_NVML int nvmlDeviceGetPowerManagementLimit(void* handle, unsigned* mw);
FAKE_NVML int nvmlDeviceGetPowerManagementLimitConstraints(void* handle, unsigned* low_mw, unsigned* high_mw);
FAKE_NVML int nvmlDeviceSetPowerManagementLimit(void* handle, unsigned mw);

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int error) {
  if (error == kNoPermission) return "Insufficient Permissions";
  return error == kNotFound ? "Not Found" : "Not Supported";
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* id, void** handle) {
  if (std::strcmp(id, "00000000:1B:00.0") != 0) return kNotFound;
  *handle = &device;
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 1;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** handle) {
  if (index != 0) return kNotFound;
  *handle = &device;
  return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* mj) {
  if (std::getenv("EYESHOT_FAKE_NVML_WATTS") != nullptr) {
    *mj = CountedMillijoules();
    return 0;
  }
  *mj = energy_mj;
  energy_mj += 50'000;
  return 0;
}
int nvmlDeviceGetPowerUsage(void*, unsigned* mw) {
  *mw = 312'500;
  return 0;
}
int nvmlDeviceGetClockInfo(void*, unsigned type, unsigned* mhz) {
  *mhz = type == 1 ? State("clock_mhz", kHighestMhz) : 2619;
  return 0;
}
int nvmlDeviceGetTemperature(void*, unsigned, unsigned* celsius) {
  *celsius = 45;
  return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = 1 | 4 | 64 | 1ull << 40;
  return 0;
}
int nvmlDeviceGetMemoryInfo(void*, void*) { return kNotSupported; }
int nvmlDeviceGetSupportedMemoryClocks(void*, unsigned* count, unsigned* mhz) {
  mhz[0] = 2619;
  mhz[1] = 1593;
  *count = 2;
  return 0;
}
int nvmlDeviceGetSupportedGraphicsClocks(void*, unsigned memory_mhz, unsigned* count, unsigned* mhz) {
  if (memory_mhz != 2619) return kNotFound;
  const unsigned room = *count;
  *count = 0;
  for (unsigned clock = kHighestMhz; clock >= kLowestMhz && *count < room; clock -= kStepMhz) mhz[(*count)++] = clock;
  return 0;
}
int nvmlDeviceSetGpuLockedClocks(void*, unsigned, unsigned high_mhz) { return SetState("clock_mhz", high_mhz); }
int nvmlDeviceResetGpuLockedClocks(void*) { return SetState("clock_mhz", kHighestMhz); }
int nvmlDeviceGetPowerManagementLimit(void*, unsigned* mw) {
  *mw = State("power_mw", kDefaultLimitMw);
  return 0;
}
int nvmlDeviceGetPowerManagementLimitConstraints(void*, unsigned* low_mw, unsigned* high_mw) {
  *low_mw = 200'000;
  *high_mw = kDefaultLimitMw;
  return 0;
}
int nvmlDeviceSetPowerManagementLimit(void*, unsigned mw) { return SetState("power_mw", mw); }
