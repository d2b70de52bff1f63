// Rotary positions of queries and keys, and the way of new keys and values into the paged cache.
#ifndef EYESHOT_KERNELS_CUDA_ROTARY_INL_H_
#define EYESHOT_KERNELS_CUDA_ROTARY_INL_H_

#include "kernels/cuda/paged-inl.h"

// Included once in a program.
// NOLINTBEGIN(misc-definitions-in-headers)
namespace eyeshot::cuda {
namespace attention {

constexpr int kRotaryThreads = 128;

struct RotaryParams {
  uint16_t* qkv;
  int64_t stride;
  const int32_t* positions;
  const int32_t* slots;
  const float* inverse_frequency;
  uint16_t* keys;
  uint16_t* values;
  int heads;
  int kv_heads;
  int head_dim;
};

// Grid: (tokens). Angles are those of the reference: products of float32, whatever their size.
EYESHOT_KERNEL(kRotaryThreads) RotaryStoreKernel(RotaryParams params) {
  WaitForPrevious();
  const int64_t token = BlockX();
  const int half = params.head_dim / 2;
  const int kv_width = params.kv_heads * params.head_dim;
  auto* sines = reinterpret_cast<float*>(SharedMemory());  // [half] and as many cosines
  const auto position = static_cast<float>(params.positions[token]);
  for (int i = ThreadIndex(); i < half; i += kRotaryThreads) {
    SinCos(position * params.inverse_frequency[i], &sines[i], &sines[half + i]);
  }
  SyncThreads();
  uint16_t* row = params.qkv + token * params.stride;
  const int64_t slot = static_cast<int64_t>(params.slots[token]) * kv_width;
  for (int i = ThreadIndex(); i < (params.heads + params.kv_heads) * half; i += kRotaryThreads) {
    const int head = i / half;
    const int channel = i % half;
    const uint16_t* x = row + head * params.head_dim + channel;
    const float first = FromBf16({x[0]});
    const float second = FromBf16({x[half]});
    const float sine = sines[channel];
    const float cosine = sines[half + channel];
    uint16_t* y = head < params.heads ? row + head * params.head_dim
                                      : params.keys + slot + (head - params.heads) * params.head_dim;
    y[channel] = ToBf16(first * cosine - second * sine).bits;
    y[channel + half] = ToBf16(second * cosine + first * sine).bits;
  }
  const uint16_t* v = row + (params.heads + params.kv_heads) * params.head_dim;
  for (int i = ThreadIndex() * 8; i < kv_width; i += kRotaryThreads * 8) {
    Store16(params.values + slot + i, Load16(v + i));
  }
}

}  // namespace attention

void RotaryStore(StreamHandle stream, const RotaryStoreArgs& args, const CacheLayer& layer) {
  attention::CheckMatrix(args.qkv, layer.head_dim);
  const PagedBatch& batch = *args.batch;
  if (batch.tokens == 0) return;
  const attention::RotaryParams params = {.qkv = static_cast<uint16_t*>(args.qkv.data),
                                          .stride = args.qkv.stride,
                                          .positions = batch.positions.data,
                                          .slots = batch.slots.data + layer.group * batch.tokens,
                                          .inverse_frequency = args.inverse_frequency.data,
                                          .keys = layer.keys,
                                          .values = layer.values,
                                          .heads = static_cast<int>(args.heads),
                                          .kv_heads = static_cast<int>(layer.kv_heads),
                                          .head_dim = static_cast<int>(layer.head_dim)};
  const size_t bytes = sizeof(float) * static_cast<size_t>(layer.head_dim);
  Launch(&attention::RotaryStoreKernel, {batch.tokens, 1, 1}, attention::kRotaryThreads, bytes, stream, params);
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers)

#endif  // EYESHOT_KERNELS_CUDA_ROTARY_INL_H_
