// Decoding: a block has the heads of one key/value head and a part of one sequence's keys, so that a long context keeps
// the whole GPU busy, and the last block merges the parts (Flash-Decoding, crfm.stanford.edu/2023/10/12). It may take
// rotary positions and the newest key's way into the cache along.
//
// Each warp has keys of its own, 16 at a time, and goes over them with a running softmax. Keys and values come straight
// from the cache into fragments of the tensor cores, 16 bytes a lane: nothing waits for other warps before the part
// ends.
#ifndef EYESHOT_KERNELS_CUDA_DECODE_INL_H_
#define EYESHOT_KERNELS_CUDA_DECODE_INL_H_

#include <algorithm>

#include "kernels/cuda/decode_merge-inl.h"
#include "kernels/cuda/paged-inl.h"

// Included once in a program; unrolled loops count what registers are indexed by.
// NOLINTBEGIN(misc-definitions-in-headers, modernize-loop-convert)
namespace eyeshot::cuda {
namespace attention {

constexpr int kWarpKeys = 16;  // that a warp takes at a time

// Heads of up to kDim channels.
template <int kDim, int kWarps>
struct DecodeShape {
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kKeyGroups = kDim / 32;  // of the channels that a quad of lanes loads of a key at a time
  static constexpr int kValueGroups = kDim / 64;  // of the channels that eight lanes load of a value at a time
  // Queries of heads that are computed together and, behind them, the newest key. The eight lanes that are served
  // together have 64 bytes of two rows, in different banks.
  static constexpr int kRows = kDecodeHeads + 1;
  static constexpr int kRowStride = kDim + 32;
  static constexpr int kRowShares = (kRows * kDim / 8 + kThreads - 1) / kThreads;  // eight channels each, of a thread
  static constexpr int kPaired = kRows * kRowStride;  // from staged channels to the others of their pairs
  static constexpr int kScratch = kDim + kPaired;  // where it begins in shared memory, in floats
  static constexpr int kResident = (kDim <= 64 ? 16 : kDim <= 128 ? 12 : 8) / kWarps;  // blocks of a multiprocessor
  // Values are on their way with the keys, where there are registers for both.
  static constexpr bool kLoadAhead = kDim <= 128;
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
  int passes;  // blocks that the heads of a group are shared out to
  int part_shift;  // log2 of the keys of a part
};

// Whether the cache can be read before the kernels before have ended: it holds what earlier steps left, and this step's
// own keys and values are taken from elsewhere. Lengths and tables of blocks were uploaded before the step began.
EYESHOT_DEVICE bool BeginsEarly(const DecodeParams& params) { return params.newest.inverse_frequency != nullptr; }

// Of the angle that this thread computes. Constant: it needs no earlier kernel.
template <int kThreads>
EYESHOT_DEVICE float FrequencyOf(const DecodeParams& params) {
  const float* frequencies = params.newest.inverse_frequency;
  const int i = kThreads - 1 - ThreadIndex();
  return frequencies != nullptr && i < params.paged.head_dim / 2 ? frequencies[i] : 0.0f;
}

// The rotation of a head by the sequence's newest position. Each pair of channels, half a head apart, is rotated by an
// angle of its own.
struct Rotation {
  const float* sines;  // [half], and as many cosines; null: there's none
  int half;

  EYESHOT_DEVICE int Other(int channel) const { return channel < half ? channel + half : channel - half; }
  // Eight channels of a head from `channel` on, and the others of their pairs; rounded, as a cache keeps them.
  EYESHOT_DEVICE Vec16 Rotate(const Vec16& own, const Vec16& paired, int channel) const {
    const float* sine = sines + (channel < half ? channel : channel - half);
    const float sign = channel < half ? -1.0f : 1.0f;
    Vec16 rotated;
    EYESHOT_UNROLL
    for (int i = 0; i < 4; i += 2) {
      const Vec16 s = Load16(sine + 2 * i);
      const Vec16 c = Load16(sine + half + 2 * i);
      EYESHOT_UNROLL
      for (int j = 0; j < 2; ++j) {
        const uint32_t x = own.word[i + j];
        const uint32_t y = paired.word[i + j];
        rotated.word[i + j] = PackBf16(
            LowBf16(x) * FloatFromBits(c.word[2 * j]) + LowBf16(y) * (sign * FloatFromBits(s.word[2 * j])),
            HighBf16(x) * FloatFromBits(c.word[2 * j + 1]) + HighBf16(y) * (sign * FloatFromBits(s.word[2 * j + 1])));
      }
    }
    return rotated;
  }
};

// What a warp has of its keys so far. In fragments of scores a lane's row is head Lane() / 4 of those that are computed
// together; in those of the output its columns are heads 2 (Lane() % 4) and the next.
template <int kValueGroups>
struct DecodeRunning {
  float highest;  // score, times the factor
  float sum;  // this lane's part
  float out[kValueGroups][4][4];
};

template <int kDim, int kWarps>
struct DecodeBlock {
  using Tile = DecodeShape<kDim, kWarps>;
  using Running = DecodeRunning<Tile::kValueGroups>;
  using Keys = Vec16[2][Tile::kKeyGroups];  // of keys g and g + 8 of a warp's 16, with g = Lane() / 4
  using Values = Vec16[4][Tile::kValueGroups];  // of keys 2t, 2t + 1, 2t + 8 and 2t + 9, with t = Lane() % 4

  const DecodeParams& params;
  const PagedParams& paged;
  int sequence;
  int kv_head;
  int head;  // the first of those that are computed
  int heads;
  PagedRows rows;
  const uint16_t* query;  // of head 0, and all that follows
  Rotation rotation;
  int position;  // the newest
  int first;  // key of the part
  int first_slots;  // of the warp's first keys: looked up while the length of the context is on its way
  int end;  // of the part
  int newest;  // the key that isn't in the cache yet; -1: none
  int parts;
  uint16_t* staged;  // shared memory: [kRows, kRowStride], and once more for pairs
  float* scratch;  // behind it

  EYESHOT_DEVICE explicit DecodeBlock(const DecodeParams& all)
      : params(all),
        paged(all.paged),
        sequence(BlockZ()),
        kv_head(all.passes == 1 ? BlockX() : BlockX() / all.passes),
        rows(RowsOf(paged, sequence, kv_head)) {
    const int before = (BlockX() - kv_head * params.passes) * kDecodeHeads;
    head = kv_head * paged.group_heads + before;
    heads = Min(kDecodeHeads, paged.group_heads - before);
    auto* shared = reinterpret_cast<float*>(SharedMemory());
    const bool rotate = params.newest.inverse_frequency != nullptr;
    query = paged.q + Product(sequence, paged.q_stride);
    rotation = {rotate ? shared : nullptr, paged.head_dim / 2};
    position = rotate ? params.newest.positions[sequence] : 0;
    first = BlockY() << params.part_shift;
    first_slots = WarpSlots(first + WarpIndex() * kWarpKeys);
    const int context = paged.context_length[sequence];
    end = Min(first + (1 << params.part_shift), context);
    newest = rotate ? context - 1 : -1;
    parts = (context + (1 << params.part_shift) - 1) >> params.part_shift;
    staged = reinterpret_cast<uint16_t*>(shared + kDim);
    scratch = shared + Tile::kScratch;
  }

  // --- Loads.

  // Where key `key` lies in the cache; anything for keys that aren't there.
  EYESHOT_DEVICE int SlotOf(int key) const {
    const int size = paged.block_size;
    const int block = rows.BlockOf(key);
    return rows.blocks[Min(block, static_cast<int>(paged.max_blocks) - 1)] * size + key - block * size;
  }
  // Lanes have the slots of a warp's 16 keys, twice.
  EYESHOT_DEVICE int WarpSlots(int from) const { return SlotOf(from + Lane() % kWarpKeys); }

  EYESHOT_DEVICE const uint16_t* NewestValue() const {
    return query + Product(paged.heads + kv_head, paged.head_dim) + paged.row_stride;
  }

  // Keys that aren't there, and channels that a head hasn't, are zeros.
  EYESHOT_DEVICE void LoadKeys(int from, int slots, Keys& keys) const {
    EYESHOT_UNROLL
    for (int n = 0; n < 2; ++n) {
      const int key = n * 8 + Lane() / 4;
      const int64_t row = Product(Shuffle(slots, key), paged.row_stride);
      EYESHOT_UNROLL
      for (int group = 0; group < Tile::kKeyGroups; ++group) {
        const int channel = group * 32 + Lane() % 4 * 8;
        const bool valid = from + key < end && from + key != newest && channel < paged.head_dim;
        keys[n][group] = valid ? Load16(rows.keys + row + channel) : Vec16{};
      }
    }
  }
  EYESHOT_DEVICE void LoadValues(int from, int slots, Values& values) const {
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int key = i / 2 * 8 + Lane() % 4 * 2 + i % 2;
      const int64_t cached = Product(Shuffle(slots, key), paged.row_stride);
      EYESHOT_UNROLL
      for (int group = 0; group < Tile::kValueGroups; ++group) {
        const int channel = group * 64 + Lane() / 4 * 8;
        const bool valid = from + key < end && from + key != newest && channel < paged.head_dim;
        values[i][group] = valid ? Load16(rows.values + cached + channel) : Vec16{};
      }
    }
  }

  // The row and channel of a thread's i-th share of the staged rows.
  EYESHOT_DEVICE static int StagedRow(int i) { return (i * Tile::kThreads + ThreadIndex()) / (kDim / 8); }
  EYESHOT_DEVICE static int StagedChannel(int i) { return (i * Tile::kThreads + ThreadIndex()) % (kDim / 8) * 8; }
  EYESHOT_DEVICE bool IsThere(int row, int channel) const {
    return (row < heads || (row == kDecodeHeads && rotation.sines != nullptr)) && channel < paged.head_dim;
  }

  // Begins to copy queries and the newest key to where all warps read them later: each thread what it rotates itself.
  // Zeros for heads and channels that aren't there.
  EYESHOT_DEVICE void CopyRows() const {
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kRowShares; ++i) {
      const int row = StagedRow(i);
      const int channel = StagedChannel(i);
      if (row >= Tile::kRows) continue;
      const bool there = IsThere(row, channel);
      const uint16_t* at = query + Product(row < kDecodeHeads ? head + row : paged.heads + kv_head, paged.head_dim);
      uint16_t* to = staged + row * Tile::kRowStride + channel;
      AsyncCopy16(to, at + channel, there);
      if (rotation.sines != nullptr) AsyncCopy16(to + Tile::kPaired, at + rotation.Other(channel), there);
    }
  }

  // Each angle once, by the last warps, whose keys are the first to be missing. Before keys and values are loaded: what
  // comes to registers beside them is waited for with them.
  EYESHOT_DEVICE void ComputeAngles(float frequency) const {
    const int i = Tile::kThreads - 1 - ThreadIndex();
    if (rotation.sines == nullptr || i >= rotation.half) return;
    float* sine = reinterpret_cast<float*>(SharedMemory()) + i;
    SinCos(static_cast<float>(position) * frequency, sine, sine + rotation.half);
  }

  // --- A part.

  // Rotates what was copied.
  EYESHOT_DEVICE void RotateRows() const {
    if (rotation.sines != nullptr) SyncThreads();
    AsyncWait();
    EYESHOT_UNROLL
    for (int i = 0; i < Tile::kRowShares; ++i) {
      const int row = StagedRow(i);
      const int channel = StagedChannel(i);
      if (rotation.sines == nullptr || !IsThere(row, channel)) continue;
      uint16_t* own = staged + row * Tile::kRowStride + channel;
      Store16(own, rotation.Rotate(Load16(own), Load16(own + Tile::kPaired), channel));
    }
    SyncThreads();
  }

  EYESHOT_DEVICE void TakeNewestValue(int from, Values& values) const {
    if (newest < from || newest >= from + kWarpKeys) return;
    EYESHOT_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (from + i / 2 * 8 + Lane() % 4 * 2 + i % 2 != newest) continue;
      EYESHOT_UNROLL
      for (int group = 0; group < Tile::kValueGroups; ++group) {
        const int channel = group * 64 + Lane() / 4 * 8;
        if (channel < paged.head_dim) values[i][group] = Load16(NewestValue() + channel);
      }
    }
  }
  // The newest key, where it is among these 16.
  EYESHOT_DEVICE void TakeNewestKey(int from, Keys& keys) const {
    if (newest < from || newest >= from + kWarpKeys) return;
    EYESHOT_UNROLL
    for (int n = 0; n < 2; ++n) {
      EYESHOT_UNROLL
      for (int group = 0; group < Tile::kKeyGroups; ++group) {
        if (from + n * 8 + Lane() / 4 == newest) keys[n][group] = Staged(kDecodeHeads, group);
      }
    }
  }
  // What a lane of a quad has of a staged row, in the order of LoadKeys().
  EYESHOT_DEVICE Vec16 Staged(int row, int group) const {
    return Load16(staged + row * Tile::kRowStride + group * 32 + Lane() % 4 * 8);
  }

  // Brings the newest key and value into the cache; blocks of this step read them where they were. The last warp does.
  EYESHOT_DEVICE void StoreNewest() const {
    const int channel = (Tile::kThreads - 1 - ThreadIndex()) * 8;
    const bool ours = head == kv_head * paged.group_heads && newest >= first && newest < end;
    if (!ours || channel >= paged.head_dim) return;
    const int64_t row = Product(SlotOf(newest), paged.row_stride) + channel;
    Store16(const_cast<uint16_t*>(rows.keys) + row, Load16(staged + kDecodeHeads * Tile::kRowStride + channel));
    Store16(const_cast<uint16_t*>(rows.values) + row, Load16(NewestValue() + channel));
  }

  // The scores of a warp's 16 keys; those of keys that aren't there are minus infinity.
  EYESHOT_DEVICE void Score(int from, const Keys& keys, float (&scores)[2][4]) const {
    EYESHOT_UNROLL
    for (int n = 0; n < 2; ++n) {
      EYESHOT_UNROLL
      for (int i = 0; i < 4; ++i) scores[n][i] = 0;
    }
    EYESHOT_UNROLL
    for (int group = 0; group < Tile::kKeyGroups; ++group) {
      const Vec16 q = Staged(Lane() / 4, group);
      EYESHOT_UNROLL
      for (int n = 0; n < 2; ++n) {
        const uint32_t* k = keys[n][group].word;
        MmaBf16(scores[n], {q.word[0], 0, q.word[1], 0}, {k[0], k[1]});
        MmaBf16(scores[n], {q.word[2], 0, q.word[3], 0}, {k[2], k[3]});
      }
    }
    EYESHOT_UNROLL
    for (int n = 0; n < 2; ++n) {
      EYESHOT_UNROLL
      for (int i = 0; i < 2; ++i) {
        const bool there = from + n * 8 + Lane() % 4 * 2 + i < end;
        scores[n][i] = there ? scores[n][i] * paged.factor : MinusInfinity();
      }
    }
  }

  // Scores become probabilities before their division by the sum; what is there already shrinks to the new maximum.
  EYESHOT_DEVICE static void SoftmaxStep(float (&scores)[2][4], Running& running) {
    const float top = Max(Max(scores[0][0], scores[0][1]), Max(scores[1][0], scores[1][1]));
    const float highest = Max(running.highest, QuadMax(top));
    const float shrink = FastExp2(running.highest - highest);
    running.highest = highest;
    running.sum *= shrink;
    EYESHOT_UNROLL
    for (int n = 0; n < 2; ++n) {
      EYESHOT_UNROLL
      for (int i = 0; i < 2; ++i) {
        scores[n][i] = FastExp2(scores[n][i] - highest);
        running.sum += scores[n][i];
      }
    }
    const float shrinks[2] = {Shuffle(shrink, Lane() % 4 * 8), Shuffle(shrink, Lane() % 4 * 8 + 4)};
    EYESHOT_UNROLL
    for (int group = 0; group < Tile::kValueGroups; ++group) {
      EYESHOT_UNROLL
      for (int m = 0; m < 4; ++m) {
        EYESHOT_UNROLL
        for (int i = 0; i < 4; ++i) running.out[group][m][i] *= shrinks[i % 2];
      }
    }
  }

  // out += v^T p. Each p is two numbers of bfloat16, the second what rounding takes from the first, so that it is as
  // good as float32. Word m of what a lane has of its values is channels 8g + 2m and 8g + 2m + 1: rows g and g + 8 of a
  // fragment.
  EYESHOT_DEVICE static void AddValues(const float (&p)[2][4], const Values& values, Running& running) {
    uint32_t high[2];
    uint32_t low[2];
    EYESHOT_UNROLL
    for (int n = 0; n < 2; ++n) {
      high[n] = PackBf16(p[n][0], p[n][1]);
      low[n] = PackBf16(p[n][0] - LowBf16(high[n]), p[n][1] - HighBf16(high[n]));
    }
    EYESHOT_UNROLL
    for (int group = 0; group < Tile::kValueGroups; ++group) {
      EYESHOT_UNROLL
      for (int m = 0; m < 4; ++m) {
        uint32_t a[4];
        EYESHOT_UNROLL
        for (int i = 0; i < 2; ++i) {
          const uint32_t even = values[2 * i][group].word[m];
          const uint32_t odd = values[2 * i + 1][group].word[m];
          a[2 * i] = LowHalves(even, odd);
          a[2 * i + 1] = HighHalves(even, odd);
        }
        MmaBf16(running.out[group][m], a, high);
        MmaBf16(running.out[group][m], a, low);
      }
    }
  }

  // Attention of heads that are computed together. The next keys are on their way as soon as these were used.
  EYESHOT_DEVICE void Attend(float frequency, Running& running) const {
    constexpr int kStep = kWarps * kWarpKeys;
    int from = first + WarpIndex() * kWarpKeys;
    int slots = first_slots;
    ComputeAngles(frequency);
    Keys keys;
    Values values;
    LoadKeys(from, slots, keys);
    if constexpr (Tile::kLoadAhead) LoadValues(from, slots, values);
    if (BeginsEarly(params)) WaitForPrevious();
    CopyRows();
    RotateRows();
    while (from < end) {
      const int next = from + kStep;
      const int next_slots = next < end ? WarpSlots(next) : 0;
      float scores[2][4];
      if constexpr (Tile::kLoadAhead) TakeNewestValue(from, values);
      TakeNewestKey(from, keys);
      Score(from, keys, scores);
      if constexpr (Tile::kLoadAhead) {
        LoadKeys(next, next_slots, keys);
      } else {
        LoadValues(from, slots, values);
        TakeNewestValue(from, values);
      }
      SoftmaxStep(scores, running);
      AddValues(scores, values, running);
      if constexpr (Tile::kLoadAhead) {
        LoadValues(next, next_slots, values);
      } else {
        LoadKeys(next, next_slots, keys);
      }
      from = next;
      slots = next_slots;
    }
    StoreNewest();
  }

  // --- The end of a part.

  // What the warps leave for each other in shared memory: the sums of values [warps, heads, kDim], and the highest
  // score and the sum of exponentials, [warps, kDecodeHeads, 2].
  EYESHOT_DEVICE float* WarpWeights() const { return scratch + kWarps * heads * kDim; }

  EYESHOT_DEVICE void Leave(const Running& running) const {
    const float sum = QuadSum(running.sum);
    if (Lane() % 4 == 0) {
      float* weights = WarpWeights() + 2 * (WarpIndex() * kDecodeHeads + Lane() / 4);
      weights[0] = running.highest;
      weights[1] = sum;
    }
    EYESHOT_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int column = Lane() % 4 * 2 + i;
      if (column >= heads) continue;
      float* out = scratch + (WarpIndex() * heads + column) * kDim + Lane() / 4 * 8;
      EYESHOT_UNROLL
      for (int group = 0; group < Tile::kValueGroups; ++group) {
        EYESHOT_UNROLL
        for (int m = 0; m < 4; m += 2) {
          const auto& pairs = running.out[group];
          Store16(out + group * 64 + m * 2, {{BitsOfFloat(pairs[m][i]), BitsOfFloat(pairs[m][i + 2]),
                                              BitsOfFloat(pairs[m + 1][i]), BitsOfFloat(pairs[m + 1][i + 2])}});
        }
      }
    }
  }

  // Merges what the warps left: outputs if there's one part, and otherwise what Partial has of this one.
  EYESHOT_DEVICE void Store() const {
    const float* weights = WarpWeights();
    for (int i = ThreadIndex(); i < heads * (kDim / 4); i += Tile::kThreads) {
      const int h = i / (kDim / 4);
      const int channel = i % (kDim / 4) * 4;
      if (channel >= paged.head_dim) continue;
      float highest = kLowest;
      EYESHOT_UNROLL
      for (int warp = 0; warp < kWarps; ++warp) highest = Max(highest, weights[2 * (warp * kDecodeHeads + h)]);
      float sum = 0;
      float out[4] = {};
      EYESHOT_UNROLL
      for (int warp = 0; warp < kWarps; ++warp) {
        const float* weight = weights + 2 * (warp * kDecodeHeads + h);
        const float shrink = FastExp2(weight[0] - highest);
        sum += shrink * weight[1];
        AddScaled(shrink, Load16(scratch + (warp * heads + h) * kDim + channel), out);
      }
      if (parts == 1) {
        StoreOutput(paged, sequence, head + h, channel, out, 1.0f / sum);
        continue;
      }
      const int row = params.partial.Row(sequence * paged.heads + head + h) + BlockY();
      Store16(params.partial.values + Product(row, paged.head_dim) + channel, BitsOf(out));
      if (channel == 0) {
        float* left = params.partial.weights + Product(row, 2);
        left[0] = highest;
        left[1] = sum;
      }
    }
  }
};

// Grid: (key/value heads, each with some of its heads, parts, sequences).
template <int kDim, int kWarps>
EYESHOT_RESIDENT_KERNEL((kWarps * kWarp), (DecodeShape<kDim, kWarps>::kResident))
DecodeKernel(DecodeParams params) {
  using Block = DecodeBlock<kDim, kWarps>;
  const float frequency = FrequencyOf<kWarps * kWarp>(params);
  if (!BeginsEarly(params)) WaitForPrevious();
  const Block block(params);
  if (block.first >= block.end) {
    if (BeginsEarly(params)) WaitForPrevious();
    return;
  }
  typename Block::Running running = {kLowest, 0, {}};
  block.Attend(frequency, running);
  block.Leave(running);
  SyncThreads();
  block.Store();
  if (block.parts == 1) return;
  SyncThreads();
  uint32_t* arrived = params.partial.arrived + Product(block.sequence, GridX()) + BlockX();
  if (!IsLast(arrived, block.parts, reinterpret_cast<uint32_t*>(block.scratch))) return;
  float* weights = block.scratch + 4;
  using Merging = PartMerge<kDim, kWarps * kWarp>;
  const Merging merge = {params.paged, params.partial, block.sequence * params.paged.heads + block.head,
                         block.parts,  weights,        weights + kDecodeHeads * kMostParts};
  for (int offset = 0; offset < block.heads; offset += Merging::kTogether) {
    merge.Merge(offset, Min(Merging::kTogether, block.heads - offset));
  }
}

// --- On the host.

// How the work of a step is shared out. A block's warps have 16 keys each at a time.
struct DecodePlan {
  int passes;  // blocks that the heads of a group are shared out to
  int warps;
  int part_shift;  // log2 of the keys of a part
  int64_t parts;
};

// A context that one block reads soon isn't split: merging parts takes longer. With few such blocks they have more
// warps. Longer ones are split until there are a few blocks for each multiprocessor, by so many keys as the warps have
// at a time or more.
inline DecodePlan PlanDecode(int64_t sequences, int64_t heads, int64_t kv_heads, int64_t head_dim,
                             int64_t max_context) {
  constexpr int64_t kManyWarps = 2048;
  constexpr int64_t kManyBlocks = 512;
  constexpr int64_t kFewHeads = 256;  // blocks before parts: more are nearly enough by themselves
  constexpr int64_t kFewParts = 4;
  const int64_t passes = CeilDiv(heads / kv_heads, kDecodeHeads);
  const int64_t blocks = sequences * kv_heads * passes;
  DecodePlan plan = {static_cast<int>(passes), 4, 6, 1};
  static_assert(4 * kWarpKeys == 1 << 6);
  if (max_context <= kUnsplitKeys) {
    const int most = head_dim <= 64 ? 16 : head_dim <= 128 ? 8 : 4;  // that there are registers for
    while (plan.warps < most && plan.warps * 2 * blocks <= kManyWarps) plan.warps *= 2;
    while (1 << plan.part_shift < max_context) ++plan.part_shift;
    return plan;
  }
  const int64_t most_parts = blocks <= kFewHeads ? std::clamp<int64_t>(kManyBlocks / blocks, kFewParts, kMostParts) : 1;
  while (CeilDiv(max_context, int64_t{1} << plan.part_shift) > most_parts) ++plan.part_shift;
  plan.parts = CeilDiv(max_context, int64_t{1} << plan.part_shift);
  return plan;
}

template <int kDim, int kWarps>
void LaunchDecode(StreamHandle stream, const DecodeParams& params) {
  using Tile = DecodeShape<kDim, kWarps>;
  const PagedParams& paged = params.paged;
  const int left = kWarps * (std::min(kDecodeHeads, paged.group_heads) * kDim + 2 * kDecodeHeads);
  const int merged = params.partial.parts == 1 ? 0 : 4 + kDecodeHeads * kMostParts + Tile::kThreads * 4;
  const size_t bytes = sizeof(float) * static_cast<size_t>(Tile::kScratch + std::max(left, merged));
  const int64_t groups = paged.heads / paged.group_heads * params.passes;
  Launch(&DecodeKernel<kDim, kWarps>, {groups, params.partial.parts, paged.sequences}, Tile::kThreads, bytes, stream,
         params);
}

inline void LaunchDecode(StreamHandle stream, const DecodeParams& params, int warps) {
  const int head_dim = params.paged.head_dim;
  if (head_dim <= 64 && warps == 16) {
    LaunchDecode<64, 16>(stream, params);
  } else if (head_dim <= 64 && warps == 8) {
    LaunchDecode<64, 8>(stream, params);
  } else if (head_dim <= 64) {
    LaunchDecode<64, 4>(stream, params);
  } else if (head_dim <= 128 && warps == 8) {
    LaunchDecode<128, 8>(stream, params);
  } else if (head_dim <= 128) {
    LaunchDecode<128, 4>(stream, params);
  } else {
    LaunchDecode<256, 4>(stream, params);
  }
}

}  // namespace attention

DecodeScratch DecodeScratchOf(int64_t sequences, int64_t heads, const CacheLayer& layer, int64_t max_context) {
  const auto plan = attention::PlanDecode(sequences, heads, layer.kv_heads, layer.head_dim, max_context);
  return {.floats = sequences * heads * plan.parts * (layer.head_dim + 2),
          .counters = sequences * layer.kv_heads * plan.passes};
}

void DecodeAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer, float* partial,
                     uint32_t* counters, const RotaryStoreArgs* newest) {
  const PagedBatch& batch = *args.batch;
  EYESHOT_CHECK(batch.tokens == batch.sequences);
  if (batch.tokens == 0 || batch.max_context <= 0) return;
  const auto plan =
      attention::PlanDecode(batch.sequences, args.heads, layer.kv_heads, layer.head_dim, batch.max_context);
  const int64_t rows = batch.sequences * args.heads * plan.parts;
  EYESHOT_CHECK(rows <= INT32_MAX);
  attention::DecodeParams params = {.paged = attention::ParamsOf(args, layer),
                                    .partial = {.values = partial,
                                                .weights = partial + rows * layer.head_dim,
                                                .arrived = counters,
                                                .parts = static_cast<int>(plan.parts)},
                                    .newest = {},
                                    .passes = plan.passes,
                                    .part_shift = plan.part_shift};
  if (newest != nullptr) {
    EYESHOT_CHECK(newest->qkv.data == args.q.data && layer.head_dim % 16 == 0);
    params.newest = {newest->inverse_frequency.data, batch.positions.data};
  }
  attention::LaunchDecode(stream, params, plan.warps);
}

}  // namespace eyeshot::cuda

// NOLINTEND(misc-definitions-in-headers, modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_DECODE_INL_H_
