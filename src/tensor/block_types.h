// The block-quantized types of GGUF files, from bytes to float32.
//
// Source of the layouts: llama.cpp, ggml/src/ggml-common.h (block_q4_0 and so on); docs/formats.md has them byte by
// byte. The arithmetic is that of the `gguf` Python package, to the bit.
#ifndef EYESHOT_TENSOR_BLOCK_TYPES_H_
#define EYESHOT_TENSOR_BLOCK_TYPES_H_

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace eyeshot {

// dst[0..count) = the elements of count / DTypeBlock(dtype) successive blocks. REQUIRES: a type with blocks.
void DequantizeBlocks(DType dtype, const uint8_t* src, size_t count, float* dst);

}  // namespace eyeshot

#endif  // EYESHOT_TENSOR_BLOCK_TYPES_H_
