// Memory for arrays of megabytes that are written once and read once: pixels. Most of what such an array costs is its
// pages: the kernel clears each when it is first touched, and zeroing the elements touches them all once more.
#ifndef EYESHOT_BASE_LARGE_ARRAY_H_
#define EYESHOT_BASE_LARGE_ARRAY_H_

#include <cstddef>
#include <cstdlib>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace eyeshot {

// Asks for huge pages, of which one is cleared in a tenth of the time of its 512 small ones, in the part of the range
// where such fit. A hint: has no effect where the system has none.
void AdviseHugePages(void* data, size_t bytes);

// Gives freed memory back to the system, so that what is allocated next begins with fresh pages. Does nothing but with
// glibc.
void ReturnFreedMemory();

// Uninitialized; from 2 MiB on with huge pages. Null if there is none. Freed by std::free.
void* AllocateLarge(size_t bytes);

template <typename T>
struct LargeArrayAllocator {
  static_assert(std::is_trivial_v<T>);
  using value_type = T;

  LargeArrayAllocator() = default;
  template <typename U>
  LargeArrayAllocator(const LargeArrayAllocator<U>&) {}  // NOLINT(google-explicit-constructor): allocators convert

  T* allocate(size_t count) {
    void* const data = AllocateLarge(count * sizeof(T));
    if (data == nullptr) throw std::bad_alloc();
    return static_cast<T*>(data);
  }
  void deallocate(T* data, size_t) { std::free(data); }

  // Elements that are given no value have none: resize() does not write.
  template <typename U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <typename U, typename... Args>
  void construct(U* place, Args&&... args) {
    ::new (static_cast<void*>(place)) U(std::forward<Args>(args)...);
  }

  friend bool operator==(const LargeArrayAllocator&, const LargeArrayAllocator&) { return true; }
};

// A vector whose resize() leaves new elements uninitialized.
template <typename T>
using LargeArray = std::vector<T, LargeArrayAllocator<T>>;

}  // namespace eyeshot

#endif  // EYESHOT_BASE_LARGE_ARRAY_H_
