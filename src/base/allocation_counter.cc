#include "base/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<uint64_t> allocations{0};

void* CountOrNull(std::size_t bytes) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(bytes == 0 ? 1 : bytes);
}

void* Count(std::size_t bytes) {
  if (void* memory = CountOrNull(bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t bytes) { return Count(bytes); }
void* operator new[](std::size_t bytes) { return Count(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return CountOrNull(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return CountOrNull(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace eyeshot::testing {

uint64_t Allocations() { return allocations.load(std::memory_order_relaxed); }

}  // namespace eyeshot::testing
