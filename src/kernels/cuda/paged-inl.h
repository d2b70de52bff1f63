// What attention of prompts and of decoding steps share: keys and values found by a table of blocks (PagedAttention,
// arXiv 2309.06180), and how steps are told to kernels. Exponentials are powers of two: log2(e) is in the factor of the
// scores.
#ifndef EYESHOT_KERNELS_CUDA_PAGED_INL_H_
#define EYESHOT_KERNELS_CUDA_PAGED_INL_H_

#include <cstdint>

#include "base/check.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/kernels.h"

namespace eyeshot::cuda::attention {

constexpr int64_t kMaxHeadDim = 256;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLowest = -1e30f;  // below every score; finite, so that no difference of two is NaN

EYESHOT_DEVICE float MinusInfinity() { return FloatFromBits(0xff800000u); }
EYESHOT_DEVICE int Min(int a, int b) { return a < b ? a : b; }
EYESHOT_DEVICE int64_t Product(int a, int b) { return static_cast<int64_t>(a) * b; }  // one instruction, two registers

// Of the four lanes that share a row of a fragment.
EYESHOT_DEVICE float QuadMax(float value) {
  value = Max(value, ShuffleXor(value, 1));
  return Max(value, ShuffleXor(value, 2));
}
EYESHOT_DEVICE float QuadSum(float value) {
  value += ShuffleXor(value, 1);
  return value + ShuffleXor(value, 2);
}

// Where keys and values lie.
struct PagedRows {
  const uint16_t* keys;
  const uint16_t* values;
  int stride;
  const int32_t* blocks;
  int block_size;
  int block_shift;  // log2 of it; -1: it's no power of two
  EYESHOT_DEVICE int BlockOf(int key) const { return block_shift >= 0 ? key >> block_shift : key / block_size; }
  EYESHOT_DEVICE int64_t Offset(int key) const {
    const int block = BlockOf(key);
    return Product((blocks[block] - block) * block_size + key, stride);
  }
};

struct PagedParams {
  const uint16_t* q;
  int q_stride;
  uint16_t* y;
  int y_stride;
  const uint16_t* keys;
  const uint16_t* values;
  int row_stride;  // of one token's keys
  const int32_t* query_start;
  const int32_t* context_length;  // of the layer's group, as block_table
  const int32_t* block_table;
  int64_t max_blocks;
  int sequences;
  int heads;
  int group_heads;  // heads that share keys and values
  int head_dim;
  int block_size;
  int block_shift;  // log2 of it; -1: it's no power of two
  float factor;
};

EYESHOT_DEVICE PagedRows RowsOf(const PagedParams& params, int sequence, int kv_head) {
  const int64_t column = Product(kv_head, params.head_dim);
  return {params.keys + column, params.values + column,
          params.row_stride,    params.block_table + sequence * params.max_blocks,
          params.block_size,    params.block_shift};
}

// log2 of a power of two, -1 for other numbers.
inline int ShiftOf(int64_t size) {
  int shift = 0;
  while (int64_t{1} << shift < size) ++shift;
  return int64_t{1} << shift == size ? shift : -1;
}

template <bool kConst>
void CheckMatrix(const BasicMatrixView<kConst>& matrix, int64_t head_dim) {
  EYESHOT_CHECK(matrix.dtype == DType::kBF16 && matrix.stride % 8 == 0 && matrix.stride <= INT32_MAX);
  EYESHOT_CHECK(head_dim % 8 == 0 && head_dim > 0 && head_dim <= kMaxHeadDim);
}

inline PagedParams ParamsOf(const PagedAttentionArgs& args, const CacheLayer& layer) {
  CheckMatrix(args.q, layer.head_dim);
  CheckMatrix(args.y, layer.head_dim);
  EYESHOT_CHECK(args.heads % layer.kv_heads == 0 && args.scale > 0);
  const PagedBatch& batch = *args.batch;
  return {.q = static_cast<const uint16_t*>(args.q.data),
          .q_stride = static_cast<int>(args.q.stride),
          .y = static_cast<uint16_t*>(args.y.data),
          .y_stride = static_cast<int>(args.y.stride),
          .keys = layer.keys,
          .values = layer.values,
          .row_stride = static_cast<int>(layer.kv_heads * layer.head_dim),
          .query_start = batch.query_start.data,
          .context_length = batch.context_length.data + layer.group * batch.sequences,
          .block_table = batch.block_table.data + layer.group * batch.sequences * batch.max_blocks,
          .max_blocks = batch.max_blocks,
          .sequences = static_cast<int>(batch.sequences),
          .heads = static_cast<int>(args.heads),
          .group_heads = static_cast<int>(args.heads / layer.kv_heads),
          .head_dim = static_cast<int>(layer.head_dim),
          .block_size = static_cast<int>(layer.block_size),
          .block_shift = ShiftOf(layer.block_size),
          .factor = args.scale * kLog2E};
}

}  // namespace eyeshot::cuda::attention

#endif  // EYESHOT_KERNELS_CUDA_PAGED_INL_H_
