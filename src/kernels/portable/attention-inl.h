// Attention of the vision tower: every query of a run of tokens sees every key of it.
//
// A thread keeps the keys and values of one head in its L2, repacked as right operands, and takes the queries a
// few register tiles at a time: the scores of such a group, all keys wide, stay in L2 too, laid out as the left
// operand of the product with the values.
#if defined(EYESHOT_KERNELS_PORTABLE_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_ATTENTION_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_ATTENTION_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"
#include "kernels/portable/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// One head of one run, and where its packed parts lie in a thread's scratch. Scores are in powers of two (q is
// scaled by `scale * log2(e)`): exp2 is what the vector code computes anyway.
struct EncodeHead {
  const EncodeAttentionArgs* args;
  int64_t first;   // token
  int64_t tokens;
  int64_t head;
  float* keys;     // [tokens / 32][head_dim][32]
  float* values;   // [head_dim / 32][tokens][32]
  float* key_add;  // [tokens rounded up to 32]: the key's bias, -infinity where there is no key
  float* queries;  // [kEncodePanels][head_dim / 16][rows][16]
  float* scores;   // [kEncodePanels][tokens / 16][rows][16]

  int64_t padded_tokens() const { return RoundUp(tokens, kPanelColumns); }
  const float* Q(int64_t token) const { return args->qkv.Row<float>(first + token) + head * args->head_dim; }
  const float* K(int64_t token) const { return Q(token) + args->heads * args->head_dim; }
  const float* V(int64_t token) const { return K(token) + args->heads * args->head_dim; }
  float* panel_queries(int64_t panel) const { return queries + panel * kMaxRows * RoundUp(args->head_dim, kGroup); }
  float* panel_scores(int64_t panel) const { return scores + panel * kMaxRows * padded_tokens(); }
};

// Rows [begin, end) of a register tile.
struct RowRange {
  int64_t begin;
  int64_t end;
  int64_t count() const { return end - begin; }
};

inline EncodeHead LayOut(const EncodePlan& plan, int64_t run, int64_t head, float* scratch) {
  const EncodeAttentionArgs& args = *plan.args;
  const int64_t first = args.cu_tokens.data[run];
  EncodeHead h = {&args,   first,  args.cu_tokens.data[run + 1] - first, head, scratch, nullptr, nullptr,
                  nullptr, nullptr};
  h.values = h.keys + h.padded_tokens() * args.head_dim;
  h.key_add = h.values + h.tokens * RoundUp(args.head_dim, kPanelColumns);
  h.queries = h.key_add + h.padded_tokens();
  h.scores = h.queries + kEncodePanels * kMaxRows * RoundUp(args.head_dim, kGroup);
  return h;
}

// Rows of qkv are 9 KB apart (3 x 768 floats): each is asked for this many rows ahead.
inline constexpr int64_t kRowsAhead = 8;

inline void PackHead(const EncodeHead& h) {
  const Floats d;
  const int64_t dim = h.args->head_dim;
  for (int64_t token = 0; token < h.tokens; ++token) {
    const int64_t ahead = std::min(token + kRowsAhead, h.tokens - 1);
    PrefetchRead(h.K(ahead), dim);
    PrefetchRead(h.V(ahead), dim);
    const float* k = h.K(token);
    float* column = h.keys + token / kPanelColumns * dim * kPanelColumns + token % kPanelColumns;
    for (int64_t i = 0; i < dim; ++i) column[i * kPanelColumns] = k[i];
    const float* v = h.V(token);
    float* row = h.values + token * kPanelColumns;
    int64_t i = 0;
    for (; i + kGroup <= dim; i += kGroup) {
      float* part = row + i / kPanelColumns * h.tokens * kPanelColumns + i % kPanelColumns;
      for (int64_t j = 0; j < kGroup; j += kLanes) hn::StoreU(hn::LoadU(d, v + i + j), d, part + j);
    }
    float* part = row + i / kPanelColumns * h.tokens * kPanelColumns + i % kPanelColumns;
    for (; i < dim; ++i) *part++ = v[i];
    h.key_add[token] = h.args->key_bias.empty() ? 0.0f : h.args->key_bias.data[h.first + token] * kLog2E;
  }
  for (int64_t token = h.tokens; token < h.padded_tokens(); ++token) {
    float* column = h.keys + token / kPanelColumns * dim * kPanelColumns + token % kPanelColumns;
    for (int64_t i = 0; i < dim; ++i) column[i * kPanelColumns] = 0.0f;
    h.key_add[token] = kMinusInfinity;
  }
}

// scores <- q k^T for one panel of 32 keys; highest[r] <- the lane-wise maximum of it and row r's scores.
inline void ScorePanel(const EncodeHead& h, int64_t panel, int64_t rows, int64_t key_begin, Vec* highest) {
  const Floats d;
  const int64_t dim = h.args->head_dim;
  const auto tile = TileOf<FloatColumns<2>>(rows);
  float* scores = h.panel_scores(panel) + key_begin * rows;
  for (int64_t i = 0; i < kPanelColumns; i += 2 * kLanes) {
    float* c = scores + i / kGroup * rows * kGroup + i % kGroup;
    tile(h.panel_queries(panel), h.keys + key_begin * dim + i, kPanelColumns, dim, {c, kGroup, rows * kGroup, false},
         {});
  }
  const bool add = !h.args->key_bias.empty() || key_begin + kPanelColumns > h.tokens;
  for (int64_t i = 0; i < kPanelColumns; i += kLanes) {
    const Vec key_add = hn::LoadU(d, h.key_add + key_begin + i);
    float* column = scores + i / kGroup * rows * kGroup + i % kGroup;
    for (int64_t r = 0; r < rows; ++r, column += kGroup) {
      Vec score = hn::LoadU(d, column);
      if (add) {
        score = hn::Add(score, key_add);
        hn::StoreU(score, d, column);
      }
      highest[r] = hn::Max(highest[r], score);
    }
  }
}

// The scores of all rows of a panel -> powers of two of their distance to the row's highest, read as they lie;
// factors[r] <- 1 / the sum of row r.
inline void Softmax(const EncodeHead& h, int64_t panel, int64_t rows, Vec* highest, float* factors) {
  const Floats d;
  Vec sums[kMaxRows];
  for (int64_t r = 0; r < rows; ++r) {
    highest[r] = hn::MaxOfLanes(d, highest[r]);
    sums[r] = hn::Zero(d);
  }
  float* scores = h.panel_scores(panel);
  for (int64_t key = 0; key < h.padded_tokens(); key += kGroup) {
    for (int64_t r = 0; r < rows; ++r, scores += kGroup) {
      for (int64_t i = 0; i < kGroup; i += kLanes) {
        const Vec power = Exp2(hn::Sub(hn::LoadU(d, scores + i), highest[r]));
        hn::StoreU(power, d, scores + i);
        sums[r] = hn::Add(sums[r], power);
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) factors[r] = 1.0f / hn::GetLane(hn::SumOfLanes(d, sums[r]));
}

// received[key] += probabilities of one row; `factor` makes probabilities of its powers.
HWY_INLINE void AddReceived(const EncodeHead& h, const float* row, int64_t rows, float factor, float* received) {
  const Floats d;
  const Vec factors = hn::Set(d, factor);
  int64_t key = 0;
  for (; key + kGroup <= h.tokens; key += kGroup) {
    for (int64_t i = 0; i < kGroup; i += kLanes) {
      const Vec old = hn::LoadU(d, received + key + i);
      hn::StoreU(hn::MulAdd(factors, hn::LoadU(d, row + key * rows + i), old), d, received + key + i);
    }
  }
  for (int64_t i = 0; key + i < h.tokens; ++i) received[key + i] += factor * row[key * rows + i];
}

// y <- probabilities times values, for the rows of one panel.
inline void MixValues(const EncodeHead& h, int64_t panel, RowRange queries, const float* factors) {
  const Floats d;
  const int64_t dim = h.args->head_dim;
  const int64_t rows = queries.count();
  HWY_ALIGN float mixed[kMaxRows * kPanelColumns];
  Ahead none;
  for (int64_t begin = 0; begin < dim; begin += kPanelColumns) {
    const int64_t columns = std::min(kPanelColumns, dim - begin);
    for (int64_t r = 0; r < rows; ++r) {
      PrefetchWrite(h.args->y.Row<float>(h.first + queries.begin + r) + h.head * dim + begin, columns);
    }
    for (int64_t i = 0; i < columns;) {
      const float* b = h.values + begin * h.tokens + i;
      i += kLanes * MultiplyColumns<FloatColumns>(rows, DivideUp(columns - i, kLanes), h.panel_scores(panel), b,
                                                  kPanelColumns, h.tokens, {mixed + i, kPanelColumns, kGroup, false},
                                                  none);
    }
    for (int64_t r = 0; r < rows; ++r) {
      float* y = h.args->y.Row<float>(h.first + queries.begin + r) + h.head * dim + begin;
      const float* row = mixed + r * kPanelColumns;
      const Vec factor = hn::Set(d, factors[r]);
      int64_t i = 0;
      for (; i + kLanes <= columns; i += kLanes) hn::StoreU(hn::Mul(factor, hn::LoadU(d, row + i)), d, y + i);
      for (; i < columns; ++i) y[i] = factors[r] * row[i];
    }
  }
}

// Queries of up to kEncodePanels register tiles.
inline void EncodeGroup(const EncodeHead& h, const RowRange* panels, int64_t count, float* received) {
  const int64_t dim = h.args->head_dim;
  for (int64_t p = 0; p < count; ++p) {
    for (int64_t r = 0; r < panels[p].count(); ++r) {
      PackRow(h.Q(panels[p].begin + r), dim, h.args->scale * kLog2E, panels[p].count(), r, h.panel_queries(p));
    }
  }
  Vec highest[kEncodePanels][kMaxRows];
  for (auto& panel : highest) std::fill(panel, panel + kMaxRows, hn::Set(Floats(), kMinusInfinity));
  for (int64_t key = 0; key < h.tokens; key += kPanelColumns) {
    for (int64_t p = 0; p < count; ++p) ScorePanel(h, p, panels[p].count(), key, highest[p]);
  }
  for (int64_t p = 0; p < count; ++p) {
    const int64_t rows = panels[p].count();
    float factors[kMaxRows];
    Softmax(h, p, rows, highest[p], factors);
    for (int64_t r = 0; received != nullptr && r < rows; ++r) {
      AddReceived(h, h.panel_scores(p) + r * kGroup, rows, factors[r], received);
    }
    MixValues(h, p, panels[p], factors);
  }
}

inline void EncodeAttentionTask(const EncodePlan& plan, int64_t task, ThreadScratch& scratch) {
  const EncodeAttentionArgs& args = *plan.args;
  const int64_t run_head = task / plan.parts;
  const EncodeHead h = LayOut(plan, run_head / args.heads, run_head % args.heads, scratch.data);
  float* received = plan.received == nullptr ? nullptr : plan.received + task * args.max_tokens;
  if (received != nullptr) std::fill_n(received, h.tokens, 0.0f);
  if (h.tokens == 0) return;
  if (scratch.packed != run_head) {
    PackHead(h);
    scratch.packed = run_head;
  }
  const int64_t row_panels = DivideUp(h.tokens, kMaxRows);
  const int64_t end = PartBegin(row_panels, plan.parts, task % plan.parts + 1);
  for (int64_t begin = PartBegin(row_panels, plan.parts, task % plan.parts); begin < end; begin += kEncodePanels) {
    RowRange panels[kEncodePanels];
    const int64_t count = std::min(kEncodePanels, end - begin);
    for (int64_t p = 0; p < count; ++p) {
      panels[p] = {PartBegin(h.tokens, row_panels, begin + p), PartBegin(h.tokens, row_panels, begin + p + 1)};
    }
    EncodeGroup(h, panels, count, received);
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_ATTENTION_INL_H_
