// Decoding: a block has the heads of one key/value head and 256 keys of one sequence, so that a long context keeps the
// whole GPU busy, and the last block merges the parts (Flash-Decoding, crfm.stanford.edu/2023/10/12). It may take
// rotary positions and the newest key's way into the cache along; by themselves those are here too.
#ifndef EYESHOT_KERNELS_CUDA_DECODE_INL_H_
#define EYESHOT_KERNELS_CUDA_DECODE_INL_H_

#include "kernels/cuda/paged-inl.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {
namespace attention {

constexpr int kDecodeThreads = 256;
constexpr int kDecodeWarps = kDecodeThreads / kWarp;
constexpr int kPartKeys = static_cast<int>(kDecodeKeys);

// Some lanes ("a team") have the channels of a key, eight each; a block takes kHeads heads at a time.
template <int kLanes, int kHeads>
struct DecodeShape {
  static constexpr int kTeams = kDecodeThreads / kLanes;
  static constexpr int kKeysEach = kPartKeys / kTeams;  // of a team
  static constexpr int kDim = kLanes * 8;
  // The part's keys and values are copied to shared memory all at once, where there's room: loads of a whole part are
  // on their way together.
  static constexpr bool kStaged = kLanes <= 8;
  static constexpr int kScores = kHeads * kPartKeys;
  static constexpr int kSums = kDecodeWarps * kHeads * kDim;
  static constexpr size_t kStagedBytes = kStaged ? 2 * sizeof(uint16_t) * kPartKeys * kDim : 0;
  static constexpr size_t kBytes = kStagedBytes + sizeof(float) * (kScores + kSums + 2 * kHeads + 1);
};

// What decoding leaves of each part of the keys: sums of values [sequences, heads, parts, head_dim], and the highest
// score and the sum of exponentials, [sequences, heads, parts, 2].
struct Partial {
  float* values;
  float* weights;
  uint32_t* arrived;  // blocks of each sequence and key/value head; 0 before and after
  int parts;  // 1: outputs go to y
};

// Where keys and queries aren't rotated yet, and the newest key isn't in the cache. Both come from the rows that q is
// the beginning of.
struct Newest {
  const float* inverse_frequency;  // null: all of that was done
  const int32_t* positions;
};

struct DecodeParams {
  PagedParams paged;
  Partial partial;
  Newest newest;
};

EYESHOT_DEVICE void Unpack(const Vec16& from, float (&to)[8]) {
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = LowBf16(from.word[i]);
    to[2 * i + 1] = HighBf16(from.word[i]);
  }
}

// A rotation of eight channels of a head, by the sequence's newest position. Each pair of channels, half a head apart,
// is rotated by a position's angle; this thread has one of the two.
struct Rotation {
  float sines[8];  // negative where this thread has the first of the pair
  float cosines[8];
  int other;  // where the other channels of the pairs are, from these

  EYESHOT_DEVICE void Set(const Newest& newest, int sequence, int channel, int head_dim) {
    const int half = head_dim / 2;
    other = channel < half ? half : -half;
    const auto position = static_cast<float>(newest.positions[sequence]);
    EYESHOT_UNROLL
    for (int i = 0; i < 8; ++i) {
      float sine;
      SinCos(position * newest.inverse_frequency[(channel + i) % half], &sine, &cosines[i]);
      sines[i] = channel < half ? -sine : sine;
    }
  }
  // Rounded, as a cache keeps it.
  EYESHOT_DEVICE Vec16 Rotate(const uint16_t* at) const {
    const Vec16 own = Load16(at);
    const Vec16 paired = Load16(at + other);
    Vec16 rotated;
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      rotated.word[i] =
          PackBf16(LowBf16(own.word[i]) * cosines[2 * i] + LowBf16(paired.word[i]) * sines[2 * i],
                   HighBf16(own.word[i]) * cosines[2 * i + 1] + HighBf16(paired.word[i]) * sines[2 * i + 1]);
    }
    return rotated;
  }
};

template <int kLanes, int kHeads>
struct DecodeBlock {
  using Tile = DecodeShape<kLanes, kHeads>;

  const PagedParams& params;
  PagedRows rows;
  int first;  // key of the part
  int keys;  // of the part
  bool rotate;
  int newest;  // the key that isn't in the cache yet, in the part; -1: none
  const uint16_t* newest_key;  // channel 0 of the key/value head
  const uint16_t* newest_value;
  Rotation rotation;
  // Shared memory.
  unsigned char* staged_keys;
  unsigned char* staged_values;
  float* scores;  // [kHeads, kPartKeys]
  float* sums;  // [kDecodeWarps, kHeads, kDim]
  float* totals;  // [kHeads, 2]: highest score, sum of exponentials

  EYESHOT_DEVICE DecodeBlock(const DecodeParams& all, int sequence, int kv_head, int first_in, int context)
      : params(all.paged), rows(RowsOf(all.paged, sequence, kv_head)), first(first_in) {
    keys = Min(kPartKeys, context - first);
    rotate = all.newest.inverse_frequency != nullptr;
    newest = rotate && context - first <= kPartKeys ? context - 1 - first : -1;
    const int kv_width = params.heads / params.group_heads * params.head_dim;
    newest_key = params.q + Product(sequence, params.q_stride) + Product(params.heads + kv_head, params.head_dim);
    newest_value = newest_key + kv_width;
    if (rotate && Channel() < params.head_dim) rotation.Set(all.newest, sequence, Channel(), params.head_dim);
    staged_keys = SharedMemory();
    staged_values = staged_keys + Tile::kStagedBytes / 2;
    scores = reinterpret_cast<float*>(staged_keys + Tile::kStagedBytes);
    sums = scores + Tile::kScores;
    totals = sums + Tile::kSums;
  }

  EYESHOT_DEVICE static int Channel() { return ThreadIndex() % kLanes * 8; }
  // The i-th key of this thread's team, in the part.
  EYESHOT_DEVICE static int Key(int i) { return i * Tile::kTeams + ThreadIndex() / kLanes; }
  EYESHOT_DEVICE bool Has(int key) const { return key < keys && Channel() < params.head_dim; }
  EYESHOT_DEVICE static int StagedOffset(int i) { return (i * kDecodeThreads + ThreadIndex()) * 16; }

  // The thread that reads the newest key and value later, and no other, brings them into the cache.
  EYESHOT_DEVICE void StoreNewest(int i) const {
    if (Key(i) != newest || !Has(newest)) return;
    const int64_t offset = rows.Offset(first + newest) + Channel();
    Store16(const_cast<uint16_t*>(rows.keys) + offset, rotation.Rotate(newest_key + Channel()));
    Store16(const_cast<uint16_t*>(rows.values) + offset, Load16(newest_value + Channel()));
  }

  // Begins to copy what this thread reads later, and no other.
  EYESHOT_DEVICE void Stage() {
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kKeysEach; ++i) StoreNewest(i);
    if constexpr (Tile::kStaged) {
      EYESHOT_UNROLL
      for (int i = 0; i < Tile::kKeysEach; ++i) {
        const bool valid = Has(Key(i));
        const int64_t offset = valid ? rows.Offset(first + Key(i)) + Channel() : 0;
        AsyncCopy16(staged_keys + StagedOffset(i), rows.keys + offset, valid);
        AsyncCopy16(staged_values + StagedOffset(i), rows.values + offset, valid);
      }
    }
  }

  EYESHOT_DEVICE Vec16 Read(const unsigned char* staged, const uint16_t* cached, int i) const {
    if constexpr (Tile::kStaged) return Load16(staged + StagedOffset(i));
    return Has(Key(i)) ? Load16(cached + rows.Offset(first + Key(i)) + Channel()) : Vec16{};
  }

  // scores of `heads` heads from `head` on; those of keys that aren't there are minus infinity.
  EYESHOT_DEVICE void Score(const uint16_t* q, int heads) {
    float queries[kHeads][8];
    EYESHOT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      const bool valid = h < heads && Channel() < params.head_dim;
      const uint16_t* at = q + h * params.head_dim + Channel();
      Unpack(valid ? (rotate ? rotation.Rotate(at) : Load16(at)) : Vec16{}, queries[h]);
    }
    AsyncWait();
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kKeysEach; ++i) {
      float key[8];
      Unpack(Read(staged_keys, rows.keys, i), key);
      EYESHOT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        float score = 0;
        EYESHOT_UNROLL
        for (int c = 0; c < 8; ++c) score += queries[h][c] * key[c];
        EYESHOT_UNROLL
        for (int mask = kLanes / 2; mask > 0; mask /= 2) score += ShuffleXor(score, mask);
        if (Channel() == 0) scores[h * kPartKeys + Key(i)] = Key(i) < keys ? score * params.factor : MinusInfinity();
      }
    }
  }

  // A warp a head.
  EYESHOT_DEVICE void Softmax(int heads) {
    for (int h = WarpIndex(); h < heads; h += kDecodeWarps) {
      float* row = scores + h * kPartKeys + Lane();
      float highest = kLowest;
      EYESHOT_UNROLL
      for (int i = 0; i < kPartKeys; i += kWarp) highest = Max(highest, row[i]);
      highest = WarpMax(highest);
      float sum = 0;
      EYESHOT_UNROLL
      for (int i = 0; i < kPartKeys; i += kWarp) {
        row[i] = FastExp2(row[i] - highest);
        sum += row[i];
      }
      sum = WarpSum(sum);
      if (Lane() == 0) {
        totals[2 * h] = highest;
        totals[2 * h + 1] = sum;
      }
    }
  }

  // sums = the warp's share of p v.
  EYESHOT_DEVICE void WeighValues(int heads) {
    float out[kHeads][8] = {};
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kKeysEach; ++i) {
      float value[8];
      Unpack(Read(staged_values, rows.values, i), value);
      EYESHOT_UNROLL
      for (int h = 0; h < kHeads; ++h) {
        const float p = h < heads ? scores[h * kPartKeys + Key(i)] : 0.0f;
        EYESHOT_UNROLL
        for (int c = 0; c < 8; ++c) out[h][c] += p * value[c];
      }
    }
    EYESHOT_UNROLL
    for (int h = 0; h < kHeads; ++h) {
      EYESHOT_UNROLL
      for (int c = 0; c < 8; ++c) {
        EYESHOT_UNROLL
        for (int mask = kLanes; mask < kWarp; mask *= 2) out[h][c] += ShuffleXor(out[h][c], mask);
        if (Lane() < kLanes) sums[(WarpIndex() * kHeads + h) * Tile::kDim + Channel() + c] = out[h][c];
      }
    }
  }

  // Of one head and channel.
  EYESHOT_DEVICE float Total(int h, int channel) const {
    float total = 0;
    EYESHOT_UNROLL
    for (int warp = 0; warp < kDecodeWarps; ++warp) total += sums[(warp * kHeads + h) * Tile::kDim + channel];
    return total;
  }

  EYESHOT_DEVICE void Store(const Partial& partial, int sequence, int head, int part, int heads) const {
    const int head_dim = params.head_dim;
    for (int i = ThreadIndex(); i < heads * head_dim; i += kDecodeThreads) {
      const int h = i / head_dim;
      const int channel = i % head_dim;
      const float total = Total(h, channel);
      if (partial.parts == 1) {
        uint16_t* y = params.y + Product(sequence, params.y_stride) + Product(head + h, head_dim);
        y[channel] = ToBf16(total / totals[2 * h + 1]).bits;
        continue;
      }
      const int64_t row = (Product(sequence, params.heads) + head + h) * partial.parts + part;
      partial.values[row * head_dim + channel] = total;
      if (channel < 2) partial.weights[2 * row + channel] = totals[2 * h + channel];
    }
  }
};

// Of one head, in the order of parts, whatever block was the last.
EYESHOT_DEVICE void MergeHead(const DecodeParams& params, int sequence, int head, int parts) {
  const PagedParams& paged = params.paged;
  const int64_t row = (Product(sequence, paged.heads) + head) * params.partial.parts;
  const float* weights = params.partial.weights + 2 * row;
  float highest = kLowest;
  for (int part = 0; part < parts; ++part) highest = Max(highest, LoadFresh4(weights + 2 * part));
  for (int channel = ThreadIndex(); channel < paged.head_dim; channel += kDecodeThreads) {
    const float* values = params.partial.values + row * paged.head_dim + channel;
    float sum = 0;
    float out = 0;
    for (int part = 0; part < parts; ++part) {
      const float weight = FastExp2(LoadFresh4(weights + 2 * part) - highest);
      sum += weight * LoadFresh4(weights + 2 * part + 1);
      out += weight * LoadFresh4(values + Product(part, paged.head_dim));
    }
    paged.y[Product(sequence, paged.y_stride) + Product(head, paged.head_dim) + channel] = ToBf16(out / sum).bits;
  }
}

// The last block of a sequence and key/value head merges what all of them left.
EYESHOT_DEVICE void MergeIfLast(const DecodeParams& params, int sequence, int kv_head, int parts, uint32_t* shared) {
  const PagedParams& paged = params.paged;
  uint32_t* arrived = params.partial.arrived + Product(sequence, paged.heads / paged.group_heads) + kv_head;
  SyncThreads();  // what the block leaves was written
  if (ThreadIndex() == 0) {
    FenceDevice();
    *shared = AtomicIncrement(arrived);
    FenceDevice();
  }
  SyncThreads();
  if (*shared != static_cast<uint32_t>(parts - 1)) return;
  for (int h = 0; h < paged.group_heads; ++h) MergeHead(params, sequence, kv_head * paged.group_heads + h, parts);
  if (ThreadIndex() == 0) *arrived = 0;
}

// Grid: (key/value heads, parts, sequences).
template <int kLanes, int kHeads>
EYESHOT_KERNEL(kDecodeThreads)
DecodeKernel(DecodeParams params) {
  WaitForPrevious();
  const PagedParams& paged = params.paged;
  const int sequence = BlockZ();
  const int first = BlockY() * kPartKeys;
  const int context = paged.context_length[sequence];
  if (first >= context) return;
  DecodeBlock<kLanes, kHeads> block(params, sequence, BlockX(), first, context);
  block.Stage();
  for (int offset = 0; offset < paged.group_heads; offset += kHeads) {
    const int head = BlockX() * paged.group_heads + offset;
    const int heads = Min(kHeads, paged.group_heads - offset);
    block.Score(paged.q + Product(sequence, paged.q_stride) + Product(head, paged.head_dim), heads);
    SyncThreads();
    block.Softmax(heads);
    SyncThreads();
    block.WeighValues(heads);
    SyncThreads();
    block.Store(params.partial, sequence, head, BlockY(), heads);
    SyncThreads();
  }
  if (params.partial.parts == 1) return;
  const int parts = (context + kPartKeys - 1) / kPartKeys;
  MergeIfLast(params, sequence, BlockX(), parts, reinterpret_cast<uint32_t*>(block.totals + 2 * kHeads));
}

// --- Rotary positions.

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

// --- On the host.

template <int kLanes, int kHeads>
void LaunchDecode(StreamHandle stream, const DecodeParams& params) {
  const PagedParams& paged = params.paged;
  Launch(&DecodeKernel<kLanes, kHeads>, {paged.heads / paged.group_heads, params.partial.parts, paged.sequences},
         kDecodeThreads, DecodeShape<kLanes, kHeads>::kBytes, stream, params);
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

DecodeScratch DecodeScratchOf(int64_t sequences, int64_t heads, const CacheLayer& layer, int64_t max_context) {
  const int64_t rows = sequences * heads * CeilDiv(max_context, kDecodeKeys);
  return {.floats = rows * (layer.head_dim + 2), .counters = sequences * layer.kv_heads};
}
void DecodeAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer, float* partial,
                     uint32_t* counters, const RotaryStoreArgs* newest) {
  const PagedBatch& batch = *args.batch;
  EYESHOT_CHECK(batch.tokens == batch.sequences);
  if (batch.tokens == 0 || batch.max_context <= 0) return;
  const int64_t parts = CeilDiv(batch.max_context, kDecodeKeys);
  const int64_t rows = batch.sequences * args.heads * parts;
  attention::DecodeParams params = {.paged = attention::ParamsOf(args, layer),
                                    .partial = {.values = partial,
                                                .weights = partial + rows * layer.head_dim,
                                                .arrived = counters,
                                                .parts = static_cast<int>(parts)},
                                    .newest = {}};
  if (newest != nullptr) {
    EYESHOT_CHECK(newest->qkv.data == args.q.data && layer.head_dim % 16 == 0);
    params.newest = {newest->inverse_frequency.data, batch.positions.data};
  }
  const int64_t group_heads = args.heads / layer.kv_heads;
  if (layer.head_dim <= 64 && group_heads == 1) {
    attention::LaunchDecode<8, 1>(stream, params);
  } else if (layer.head_dim <= 64 && group_heads <= 3) {
    attention::LaunchDecode<8, 3>(stream, params);
  } else if (layer.head_dim <= 64) {
    attention::LaunchDecode<8, 5>(stream, params);
  } else if (layer.head_dim <= 128) {
    attention::LaunchDecode<16, 3>(stream, params);
  } else {
    attention::LaunchDecode<32, 3>(stream, params);
  }
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_DECODE_INL_H_
