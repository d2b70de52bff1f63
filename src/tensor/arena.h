// Arena: one buffer, handed out piece by piece to views that live as long as it does.
#ifndef EYESHOT_TENSOR_ARENA_H_
#define EYESHOT_TENSOR_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "tensor/view.h"

namespace eyeshot {

// Pieces are aligned to 256 bytes: what cuBLASLt's fastest products want, and more than a cache line or a vector.
inline constexpr size_t kArenaAlignment = 256;

constexpr size_t AlignUp(size_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

// Hands out pieces of [base, base + bytes). With base = nullptr it only measures: run the same calls on a
// measuring arena first, allocate `used()` bytes, then run them on the real one.
class Arena {
 public:
  Arena() = default;
  Arena(void* base, size_t bytes) : base_(static_cast<uint8_t*>(base)), bytes_(bytes) {}

  MatrixView Matrix(DType dtype, int64_t rows, int64_t cols) {
    return {Take(static_cast<size_t>(rows * cols) * DTypeBytes(dtype)), dtype, rows, cols, cols};
  }
  template <typename T>
  DeviceSpan<T> Array(int64_t size) {
    return {static_cast<T*>(Take(static_cast<size_t>(size) * sizeof(T))), size};
  }

  size_t used() const { return used_; }
  // Gives back everything taken after used() was `mark`.
  void Rewind(size_t mark) { used_ = mark; }

 private:
  void* Take(size_t bytes) {
    const size_t begin = used_;
    used_ += AlignUp(bytes);
    if (base_ == nullptr) return nullptr;
    EYESHOT_CHECK(used_ <= bytes_);
    return base_ + begin;
  }

  uint8_t* base_ = nullptr;
  size_t bytes_ = 0;
  size_t used_ = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_TENSOR_ARENA_H_
