// A tensor in host memory that someone else owns: what a checkpoint hands out.
#ifndef EYESHOT_TENSOR_HOST_TENSOR_H_
#define EYESHOT_TENSOR_HOST_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace eyeshot {

struct HostTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  // Row-major, no padding. May be unaligned for its dtype (safetensors only promises 8-byte-aligned headers
  // by convention): read it by memcpy or ConvertToF32 into aligned memory when that matters.
  const uint8_t* data = nullptr;

  int64_t elements() const {
    int64_t count = 1;
    for (int64_t dim : shape) count *= dim;
    return count;
  }
  size_t bytes() const { return BytesOf(dtype, static_cast<size_t>(elements())); }
};

}  // namespace eyeshot

#endif  // EYESHOT_TENSOR_HOST_TENSOR_H_
