// Stands in for NVIDIA's libnvidia-ml.so.1 in tests: one GPU, 00000000:1B:00.0. Its counter goes up by 50 J with each
// read or, with $EYESHOT_FAKE_NVML_WATTS, by so much power, each 20 ms; it has no memory information, and it answers by
// the old name for what holds the clocks back.
#include <chrono>
#include <cstdlib>
#include <cstring>

#define FAKE_NVML extern "C" __attribute__((visibility("default")))

namespace {
constexpr int kNotFound = 6;
constexpr int kNotSupported = 3;
int device = 0;
unsigned long long energy_mj = 1'000'000;
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

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int error) { return error == kNotFound ? "Not Found" : "Not Supported"; }
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
  if (const char* watts = std::getenv("EYESHOT_FAKE_NVML_WATTS"); watts != nullptr) {
    constexpr long long kPeriodMs = 20;
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const long long ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    *mj = static_cast<unsigned long long>(static_cast<double>(ms / kPeriodMs * kPeriodMs) * std::atof(watts));
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
  *mhz = type == 1 ? 1980 : 2619;
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
