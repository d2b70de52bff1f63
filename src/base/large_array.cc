#include "base/large_array.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace eyeshot {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

}  // namespace

void AdviseHugePages(void* data, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t first = (begin + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  const uintptr_t end = (begin + bytes) / kHugePageBytes * kHugePageBytes;
  if (first < end) madvise(static_cast<char*>(data) + (first - begin), end - first, MADV_HUGEPAGE);
}

void ReturnFreedMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

void* AllocateLarge(size_t bytes) {
  if (bytes < kHugePageBytes) return std::malloc(bytes);
  const size_t whole = (bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes;
  if (whole < bytes) return nullptr;
  void* const data = std::aligned_alloc(kHugePageBytes, whole);
  if (data != nullptr) AdviseHugePages(data, whole);
  return data;
}

}  // namespace eyeshot
