// NVML, the management library of NVIDIA's driver, loaded at run time.
//
// Source: NVML API Reference Guide. Only what is read or set here is declared.
#ifndef EYESHOT_LEDGER_NVML_LIBRARY_H_
#define EYESHOT_LEDGER_NVML_LIBRARY_H_

#include <memory>
#include <string>

#include "eyeshot/status.h"

namespace eyeshot {

inline constexpr int kNvmlSuccess = 0;       // NVML_SUCCESS
inline constexpr int kNvmlNoPermission = 4;  // NVML_ERROR_NO_PERMISSION

struct NvmlMemory {  // nvmlMemory_t
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};

struct NvmlUtilization {  // nvmlUtilization_t
  unsigned gpu;
  unsigned memory;
};

// The library, loaded once for each meter. Its handles are pointers.
class NvmlLibrary {
 public:
  // The one that $EYESHOT_NVML names, else the driver's. Errors: kNotFound, kUnsupported (it lacks what is needed),
  // kIo.
  static Result<std::unique_ptr<NvmlLibrary>> Load();
  // The GPU with this PCI address. Errors: kNotFound.
  Result<void*> Device(const std::string& pci_bus_id) const;
  ~NvmlLibrary();
  NvmlLibrary() = default;
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;

  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  const char* (*error_string)(int) = nullptr;
  int (*by_pci)(const char*, void**) = nullptr;
  // What a GPU or driver may lack.
  int (*count)(unsigned*) = nullptr;
  int (*by_index)(unsigned, void**) = nullptr;
  int (*energy)(void*, unsigned long long*) = nullptr;  // mJ since the driver was loaded
  int (*power)(void*, unsigned*) = nullptr;             // mW
  int (*clock)(void*, unsigned, unsigned*) = nullptr;   // MHz
  int (*temperature)(void*, unsigned, unsigned*) = nullptr;
  int (*reasons)(void*, unsigned long long*) = nullptr;
  int (*memory)(void*, NvmlMemory*) = nullptr;
  int (*utilization)(void*, NvmlUtilization*) = nullptr;
  // Settings. Clocks can be locked from Volta on; what is locked can't be asked.
  int (*lock_clocks)(void*, unsigned, unsigned) = nullptr;  // lowest and highest MHz
  int (*reset_clocks)(void*) = nullptr;
  int (*memory_clocks)(void*, unsigned*, unsigned*) = nullptr;  // room and count, MHz
  int (*graphics_clocks)(void*, unsigned, unsigned*, unsigned*) = nullptr;  // of a memory clock
  int (*power_limit)(void*, unsigned*) = nullptr;  // mW
  int (*power_limits)(void*, unsigned*, unsigned*) = nullptr;  // that may be set: lowest and highest
  int (*set_power_limit)(void*, unsigned) = nullptr;

 private:
  void* handle_ = nullptr;
};

}  // namespace eyeshot

#endif  // EYESHOT_LEDGER_NVML_LIBRARY_H_
