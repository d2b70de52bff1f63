// The end of decoding steps whose contexts are split: what each block leaves of its part of the keys, and how the last
// one merges the parts.
#ifndef EYESHOT_KERNELS_CUDA_DECODE_MERGE_INL_H_
#define EYESHOT_KERNELS_CUDA_DECODE_MERGE_INL_H_

#include "kernels/cuda/paged-inl.h"

// Unrolled loops count what registers are indexed by.
// NOLINTBEGIN(modernize-loop-convert)
namespace eyeshot::cuda::attention {

constexpr int kDecodeHeads = 8;  // of a group that a block has: the columns of a fragment
constexpr int kMostParts = 64;
constexpr int kMergeLoads = 16;  // that a thread has on their way while it merges parts

// What decoding leaves of each part of the keys: sums of values [sequences, heads, parts, head_dim], and the highest
// score and the sum of exponentials, [sequences, heads, parts, 2].
struct Partial {
  float* values;
  float* weights;
  uint32_t* arrived;  // blocks of each sequence and its heads that are computed together; 0 before and after
  int parts;  // that there is room for

  // Of part 0 of a head, counted over the heads of all sequences.
  EYESHOT_DEVICE int Row(int head) const { return head * parts; }
};

EYESHOT_DEVICE Vec16 BitsOf(const float (&values)[4]) {
  return {{BitsOfFloat(values[0]), BitsOfFloat(values[1]), BitsOfFloat(values[2]), BitsOfFloat(values[3])}};
}
EYESHOT_DEVICE void AddScaled(float scale, const Vec16& bits, float (&sum)[4]) {
  EYESHOT_UNROLL
  for (int i = 0; i < 4; ++i) sum[i] += scale * FloatFromBits(bits.word[i]);
}

// Four channels of a head's output.
EYESHOT_DEVICE void StoreOutput(const PagedParams& params, int sequence, int head, int channel, const float (&out)[4],
                                float scale) {
  auto* y = reinterpret_cast<uint32_t*>(params.y + Product(sequence, params.y_stride) + Product(head, params.head_dim) +
                                        channel);
  y[0] = PackBf16(out[0] * scale, out[1] * scale);
  y[1] = PackBf16(out[2] * scale, out[3] * scale);
}

// The parts of a sequence and some heads, by the block that came last. Sums are those of a fixed order, whichever
// block that is.
template <int kDim, int kThreads>
struct PartMerge {
  static constexpr int kQuads = kDim / 4;  // of channels: a thread has one
  static constexpr int kTogether = kThreads / kQuads < kDecodeHeads ? kThreads / kQuads : kDecodeHeads;  // heads
  static constexpr int kTeams = kThreads / kQuads;  // that have all channels of a head

  const PagedParams& paged;
  const Partial& partial;
  int head;  // counted over the heads of all sequences
  int parts;
  float* weights;  // shared memory: [kDecodeHeads, kMostParts]
  float* sums;  // behind them: [kTeams, kDim]

  // What the parts of a head left beside their sums of values; a lane has two parts.
  struct Left {
    float highest[2];
    float sum[2];
  };
  EYESHOT_DEVICE Left LoadLeft(int of_head) const {
    const float* left = partial.weights + Product(partial.Row(of_head), 2);
    Left loaded;
    EYESHOT_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int part = Lane() + i * kWarp;
      loaded.highest[i] = part < parts ? LoadFresh4(left + 2 * part) : kLowest;
      loaded.sum[i] = part < parts ? LoadFresh4(left + 2 * part + 1) : 0.0f;
    }
    return loaded;
  }
  // What each part of the h-th head counts for in its output.
  EYESHOT_DEVICE void Weigh(int h, const Left& left) const {
    const float top = WarpMax(Max(left.highest[0], left.highest[1]));
    const float shrinks[2] = {FastExp2(left.highest[0] - top), FastExp2(left.highest[1] - top)};
    const float total = WarpSum(shrinks[0] * left.sum[0] + shrinks[1] * left.sum[1]);
    EYESHOT_UNROLL
    for (int i = 0; i < 2; ++i) weights[h * kMostParts + Lane() + i * kWarp] = shrinks[i] / total;
  }

  // Four channels of parts `part`, `part + stride` and so on, which lie `distance` apart.
  EYESHOT_DEVICE void Load(const float* values, int distance, int part, int stride,
                           Vec16 (&loaded)[kMergeLoads]) const {
    EYESHOT_UNROLL
    for (int i = 0; i < kMergeLoads; ++i) {
      loaded[i] = part + i * stride < parts ? LoadFresh16(values + Product(i, distance)) : Vec16{};
    }
  }

  // `heads` heads, at most kTogether, from `offset` on. Where they are few, several teams share each one's parts.
  EYESHOT_DEVICE void Merge(int offset, int heads) const {
    int shift = 0;  // log2 of the teams of a head
    while (heads << (shift + 1) <= kTeams) ++shift;
    const int teams = 1 << shift;
    const int team = ThreadIndex() / kQuads;
    const int h = team >> shift;
    const int share = team & (teams - 1);
    const int channel = ThreadIndex() % kQuads * 4;
    const int dim = paged.head_dim;
    const bool busy = h < heads && channel < dim;
    int part = busy ? share : parts;
    const float* values = partial.values + Product(partial.Row(head + offset + h) + part, dim) + channel;
    // All of these are on their way together.
    const Left left = LoadLeft(head + offset + Min(WarpIndex(), heads - 1));
    Vec16 loaded[kMergeLoads];
    Load(values, teams * dim, part, teams, loaded);
    if (WarpIndex() < heads) Weigh(WarpIndex(), left);
    for (int i = WarpIndex() + kThreads / kWarp; i < heads; i += kThreads / kWarp)
      Weigh(i, LoadLeft(head + offset + i));
    SyncThreads();
    float out[4] = {};
    while (part < parts) {
      EYESHOT_UNROLL
      for (int i = 0; i < kMergeLoads; ++i) {
        const int at = part + i * teams;
        AddScaled(at < parts ? weights[h * kMostParts + at] : 0.0f, loaded[i], out);
      }
      part += kMergeLoads * teams;
      values += Product(kMergeLoads * teams, dim);
      Load(values, teams * dim, part, teams, loaded);
    }
    Store16(sums + ThreadIndex() * 4, BitsOf(out));
    SyncThreads();
    if (busy && share == 0) {
      for (int other = 1; other < teams; ++other) AddScaled(1.0f, Load16(sums + ThreadIndex() * 4 + other * kDim), out);
      StoreOutput(paged, BlockZ(), head + offset + h - BlockZ() * paged.heads, channel, out, 1.0f);
    }
    SyncThreads();
  }
};

// Whether this block is the last of its sequence and heads. `shared`: one word.
EYESHOT_DEVICE bool IsLast(uint32_t* arrived, int parts, uint32_t* shared) {
  if (ThreadIndex() == 0) {
    const bool last = AtomicIncrement(arrived) == static_cast<uint32_t>(parts - 1);
    if (last) *arrived = 0;
    *shared = last ? 1 : 0;
  }
  SyncThreads();
  return *shared != 0;
}

}  // namespace eyeshot::cuda::attention

// NOLINTEND(modernize-loop-convert)

#endif  // EYESHOT_KERNELS_CUDA_DECODE_MERGE_INL_H_
