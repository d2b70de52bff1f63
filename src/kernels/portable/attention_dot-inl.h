// Attention of the vision tower with operands rounded to bfloat16: scores and mixes are tiles of dot.h, the softmax
// between them is float32. For what a thread keeps and when, see attention-inl.h.
#if defined(EYESHOT_KERNELS_PORTABLE_ATTENTION_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_ATTENTION_DOT_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_ATTENTION_DOT_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_ATTENTION_DOT_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "base/limits.h"
#include "kernels/portable/attention-inl.h"
#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// One head of one run, and where its packed parts lie in a thread's scratch.
struct DotHead {
  const EncodePlan* plan;
  int64_t first;   // token
  int64_t tokens;
  int64_t head;
  uint32_t* keys;     // panels of weights.h: [tokens / 32][head_dim / 2][32] pairs along the dimensions of a head
  uint32_t* values;   // [head_dim / 32][tokens / 2][32] pairs along the tokens
  float* key_add;     // [tokens rounded up to 32]: the key's bias, -infinity where there is no key
  uint16_t* queries;  // [tile rows][head_dim]
  float* scores;      // [tokens / 32][tile rows][32]
  uint16_t* powers;   // [tile rows][tokens]

  const EncodeAttentionArgs& args() const { return *plan->args; }
  int64_t dim() const { return plan->args->head_dim; }
  int64_t padded_dim() const { return RoundUp(dim(), kPanelColumns); }
  int64_t padded_tokens() const { return RoundUp(tokens, kPanelColumns); }
  int64_t tile_rows() const { return plan->dot.max_rows; }
  const float* Q(int64_t token) const { return args().qkv.Row<float>(first + token) + head * dim(); }
  const float* K(int64_t token) const { return Q(token) + args().heads * dim(); }
  const float* V(int64_t token) const { return K(token) + args().heads * dim(); }
};

inline DotHead LayOutDot(const EncodePlan& plan, int64_t run, int64_t head, float* scratch) {
  const int64_t first = plan.args->cu_tokens.data[run];
  DotHead h = {};
  h.plan = &plan;
  h.first = first;
  h.tokens = plan.args->cu_tokens.data[run + 1] - first;
  h.head = head;
  const int64_t operand = h.padded_tokens() * h.padded_dim() / 2;
  h.keys = reinterpret_cast<uint32_t*>(scratch);
  h.values = h.keys + operand;
  h.key_add = scratch + 2 * operand;
  h.scores = h.key_add + h.padded_tokens();
  h.queries = reinterpret_cast<uint16_t*>(h.scores + h.padded_tokens() * kMostDotRows);
  h.powers = h.queries + kMostDotRows * h.padded_dim();
  return h;
}

inline void PackDotKeys(const DotHead& h) {
  const int64_t groups = h.padded_dim() / 2;
  uint16_t row[limits::kMaxHeadDim + kPanelColumns] = {};
  for (int64_t token = 0; token < h.padded_tokens(); ++token) {
    uint32_t* column = h.keys + token / kPanelColumns * groups * kPanelColumns + token % kPanelColumns;
    const bool real = token < h.tokens;
    if (real) {
      PrefetchRead(h.K(std::min(token + kRowsAhead, h.tokens - 1)), h.dim());
      StoreBf16(h.K(token), h.dim(), 1.0f, row);
    } else {
      std::fill(row, row + h.dim(), uint16_t{0});
    }
    for (int64_t i = 0; i < groups; ++i) {
      column[i * kPanelColumns] = row[2 * i] | static_cast<uint32_t>(row[2 * i + 1]) << 16;
    }
    const auto& bias = h.args().key_bias;
    h.key_add[token] = !real ? kMinusInfinity : bias.empty() ? 0.0f : bias.data[h.first + token] * kLog2E;
  }
}

inline void PackDotValues(const DotHead& h) {
  const Floats d;
  const Words dw;
  const int64_t pairs = h.padded_tokens() / 2;
  float padded[2][limits::kMaxHeadDim + kPanelColumns] = {};
  for (int64_t pair = 0; pair < pairs; ++pair) {
    const float* rows[2];
    for (int64_t i = 0; i < 2; ++i) {
      const int64_t token = 2 * pair + i;
      const bool real = token < h.tokens;
      if (real) PrefetchRead(h.V(std::min(token + kRowsAhead, h.tokens - 1)), h.dim());
      rows[i] = real ? h.V(token) : padded[i];
      if (real && h.dim() % kPanelColumns == 0) continue;
      if (real) {
        std::copy_n(rows[i], h.dim(), padded[i]);
      } else {
        std::fill_n(padded[i], h.dim(), 0.0f);
      }
      rows[i] = padded[i];
    }
    for (int64_t j = 0; j < h.padded_dim(); j += kLanes) {
      const auto low = hn::BitCast(dw, Bf16Bits(hn::LoadU(d, rows[0] + j)));
      const auto high = hn::BitCast(dw, Bf16Bits(hn::LoadU(d, rows[1] + j)));
      uint32_t* out = h.values + (j / kPanelColumns * pairs + pair) * kPanelColumns + j % kPanelColumns;
      hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(high)), dw, out);
    }
  }
}

// scores <- q k^T of the tile's rows and all keys, and what keys add; highest[r] <- the lane-wise maximum of row r.
inline void ScoreDotTile(const DotHead& h, int64_t rows, Vec* highest) {
  const Floats d;
  std::fill(highest, highest + rows, hn::Set(d, kMinusInfinity));
  const int64_t groups = h.padded_dim() / 2;
  for (int64_t key = 0; key < h.padded_tokens(); key += kPanelColumns) {
    float* scores = h.scores + key * h.tile_rows();
    h.plan->dot.tile({h.queries, h.padded_dim() * 2, h.keys + key * groups, groups, rows, scores});
    const bool add = !h.args().key_bias.empty() || key + kPanelColumns > h.tokens;
    for (int64_t r = 0; r < rows; ++r, scores += kPanelColumns) {
      for (int64_t i = 0; i < kPanelColumns; i += kLanes) {
        Vec score = hn::LoadU(d, scores + i);
        if (add) {
          score = hn::Add(score, hn::LoadU(d, h.key_add + key + i));
          hn::StoreU(score, d, scores + i);
        }
        highest[r] = hn::Max(highest[r], score);
      }
    }
  }
}

// The scores of row r -> powers of two of their distance to the row's highest. Returns 1 / their sum.
HWY_INLINE float SoftmaxDotRow(const DotHead& h, int64_t r, Vec highest) {
  const Floats d;
  const hn::Rebind<uint16_t, Ints> half;
  const Vec top = hn::MaxOfLanes(d, highest);
  Vec sums = hn::Zero(d);
  Vec more_sums = hn::Zero(d);
  uint16_t* powers = h.powers + r * h.padded_tokens();
  for (int64_t key = 0; key < h.padded_tokens(); key += kPanelColumns) {
    const float* scores = h.scores + key * h.tile_rows() + r * kPanelColumns;
    for (int64_t i = 0; i < kPanelColumns; i += 2 * kLanes) {
      const Vec first = Exp2Short(hn::Sub(hn::LoadU(d, scores + i), top));
      const Vec second = Exp2Short(hn::Sub(hn::LoadU(d, scores + i + kLanes), top));
      hn::StoreU(hn::DemoteTo(half, Bf16Bits(first)), half, powers + key + i);
      hn::StoreU(hn::DemoteTo(half, Bf16Bits(second)), half, powers + key + i + kLanes);
      sums = hn::Add(sums, first);
      more_sums = hn::Add(more_sums, second);
    }
  }
  return 1.0f / hn::GetLane(hn::SumOfLanes(d, hn::Add(sums, more_sums)));
}

// y <- probabilities times values, for rows of queries from `begin` on.
inline void MixDotValues(const DotHead& h, int64_t begin, int64_t rows, const float* factors) {
  const Floats d;
  const int64_t pairs = h.padded_tokens() / 2;
  alignas(64) float mixed[kMostDotRows * kPanelColumns];
  for (int64_t dim = 0; dim < h.dim(); dim += kPanelColumns) {
    h.plan->dot.tile({h.powers, h.padded_tokens() * 2, h.values + dim * pairs, pairs, rows, mixed});
    const int64_t columns = std::min(kPanelColumns, h.dim() - dim);
    for (int64_t r = 0; r < rows; ++r) {
      float* y = h.args().y.Row<float>(h.first + begin + r) + h.head * h.dim() + dim;
      const float* row = mixed + r * kPanelColumns;
      const Vec factor = hn::Set(d, factors[r]);
      int64_t i = 0;
      for (; i + kLanes <= columns; i += kLanes) hn::StoreU(hn::Mul(factor, hn::LoadU(d, row + i)), d, y + i);
      for (; i < columns; ++i) y[i] = factors[r] * row[i];
    }
  }
}

// received[key] += the probabilities of the rows.
inline void AddReceivedDot(const DotHead& h, int64_t rows, const float* factors, float* received) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint16_t* powers = h.powers + r * h.padded_tokens();
    for (int64_t key = 0; key < h.tokens; ++key) received[key] += factors[r] * F32FromBf16(powers[key]);
  }
}

inline void EncodeAttentionDotTask(const EncodePlan& plan, int64_t task, ThreadScratch& scratch) {
  const EncodeAttentionArgs& args = *plan.args;
  const DotScope scope(plan.dot);
  const int64_t run_head = task / plan.parts;
  const DotHead h = LayOutDot(plan, run_head / args.heads, run_head % args.heads, scratch.data);
  float* received = plan.received == nullptr ? nullptr : plan.received + task * args.max_tokens;
  if (received != nullptr) std::fill_n(received, h.tokens, 0.0f);
  if (h.tokens == 0) return;
  if (scratch.packed != run_head) {
    PackDotKeys(h);
    PackDotValues(h);
    scratch.packed = run_head;
  }
  const int64_t tiles = DivideUp(h.tokens, h.tile_rows());
  const int64_t end = PartBegin(tiles, plan.parts, task % plan.parts + 1);
  for (int64_t tile = PartBegin(tiles, plan.parts, task % plan.parts); tile < end; ++tile) {
    const int64_t begin = PartBegin(h.tokens, tiles, tile);
    const int64_t rows = PartBegin(h.tokens, tiles, tile + 1) - begin;
    for (int64_t r = 0; r < rows; ++r) {
      uint16_t* query = h.queries + r * h.padded_dim();
      StoreBf16(h.Q(begin + r), h.dim(), args.scale * kLog2E, query);
      std::fill(query + h.dim(), query + h.padded_dim(), uint16_t{0});
    }
    Vec highest[kMostDotRows];
    float factors[kMostDotRows];
    ScoreDotTile(h, rows, highest);
    for (int64_t r = 0; r < rows; ++r) factors[r] = SoftmaxDotRow(h, r, highest[r]);
    if (received != nullptr) AddReceivedDot(h, rows, factors, received);
    MixDotValues(h, begin, rows, factors);
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_ATTENTION_DOT_INL_H_
