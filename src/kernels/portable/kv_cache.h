// The portable backend's paged cache, in half precision (IEEE float16): as small as bfloat16, with an eighth of its
// rounding error. In bfloat16 the logits of a 500-token prompt of SmolVLM-256M's shape fell to a cosine of 0.99989
// against float32.
#ifndef EYESHOT_KERNELS_PORTABLE_KV_CACHE_H_
#define EYESHOT_KERNELS_PORTABLE_KV_CACHE_H_

#include <cstdint>

#include "kernels/backend.h"

namespace eyeshot::portable {

// [layer][k, v][block][kv_head][...]: keys transposed, [head_dim][block_size], so that the scores of successive
// keys are lanes of one vector; values as [block_size][head_dim].
struct F16KvCache : KvCache {
  Buffer buffer;

  uint16_t* Keys(int64_t layer, int64_t block, int64_t kv_head) const { return Part(layer * 2, block, kv_head); }
  uint16_t* Values(int64_t layer, int64_t block, int64_t kv_head) const { return Part(layer * 2 + 1, block, kv_head); }

 private:
  uint16_t* Part(int64_t plane, int64_t block, int64_t kv_head) const {
    const int64_t part = (plane * shape.blocks + block) * shape.kv_heads + kv_head;
    return static_cast<uint16_t*>(buffer.data()) + part * shape.block_size * shape.head_dim;
  }
};

// Vectors of keys or values may be read up to this far beyond the last one.
inline constexpr size_t kKvCachePadBytes = 64;

inline size_t F16KvCacheBytes(const KvCacheShape& shape) {
  const int64_t elements = shape.layers() * 2 * shape.blocks * shape.kv_heads * shape.block_size * shape.head_dim;
  return static_cast<size_t>(elements) * sizeof(uint16_t) + kKvCachePadBytes;
}

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_KV_CACHE_H_
