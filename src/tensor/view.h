// Views of memory that a backend owns. Data pointers are addresses on the backend's device: only a backend
// (or code that knows the backend to be a CPU) may follow them.
#ifndef EYESHOT_TENSOR_VIEW_H_
#define EYESHOT_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tensor/dtype.h"

namespace eyeshot {

// A row-major matrix: element (r, c) is at data + (r * stride + c) * DTypeBytes(dtype).
template <bool kConst>
struct BasicMatrixView {
  using Pointer = std::conditional_t<kConst, const void*, void*>;

  Pointer data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next

  BasicMatrixView() = default;
  BasicMatrixView(Pointer data_in, DType dtype_in, int64_t rows_in, int64_t cols_in, int64_t stride_in)
      : data(data_in), dtype(dtype_in), rows(rows_in), cols(cols_in), stride(stride_in) {}
  // A mutable view is also a constant one.
  template <bool kOther>
    requires(kConst && !kOther)
  BasicMatrixView(const BasicMatrixView<kOther>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), dtype(other.dtype), rows(other.rows), cols(other.cols), stride(other.stride) {}

  bool empty() const { return data == nullptr; }

  // Rows [begin, begin + count).
  BasicMatrixView Rows(int64_t begin, int64_t count) const { return {Address(begin, 0), dtype, count, cols, stride}; }
  // Columns [begin, begin + count).
  BasicMatrixView Cols(int64_t begin, int64_t count) const { return {Address(0, begin), dtype, rows, count, stride}; }

  // Row r as T. REQUIRES: T is the type of dtype, and the memory is the host's.
  template <typename T>
  auto Row(int64_t r) const {
    using Element = std::conditional_t<kConst, const T, T>;
    return static_cast<Element*>(data) + r * stride;
  }

 private:
  Pointer Address(int64_t r, int64_t c) const {
    using Byte = std::conditional_t<kConst, const uint8_t, uint8_t>;
    return static_cast<Byte*>(data) + (r * stride + c) * static_cast<int64_t>(DTypeBytes(dtype));
  }
};
using MatrixView = BasicMatrixView<false>;
using ConstMatrixView = BasicMatrixView<true>;

// An array on a device.
template <typename T>
struct DeviceSpan {
  T* data = nullptr;
  int64_t size = 0;

  DeviceSpan() = default;
  DeviceSpan(T* data_in, int64_t size_in) : data(data_in), size(size_in) {}
  template <typename U>
    requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>)
  DeviceSpan(const DeviceSpan<U>& other) : data(other.data), size(other.size) {}  // NOLINT(google-explicit-constructor)

  bool empty() const { return data == nullptr; }
  DeviceSpan Sub(int64_t begin, int64_t count) const { return {data + begin, count}; }
};

}  // namespace eyeshot

#endif  // EYESHOT_TENSOR_VIEW_H_
