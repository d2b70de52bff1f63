// Causal attention of prompts with operands rounded to bfloat16. As paged_attention-inl.h, but the keys and values of
// some blocks at a time become panels of dot.h first, once for all rows of a task.
#if defined(EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_DOT_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_DOT_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_DOT_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"
#include "kernels/portable/paged_attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// Blocks are kPanelColumns tokens long, heads whole panels wide.
struct PagedDotHead {
  PagedHead head;
  int64_t step_keys;   // keys of a step
  uint16_t* queries;   // [rows][head_dim]
  uint32_t* keys;      // [blocks of a step][head_dim / 2][32] pairs along the dimensions of a head
  uint32_t* values;    // [head_dim / 32][step_keys / 2][32] pairs along the tokens
  float* scores;       // [blocks of a step][tile rows][32]
  uint16_t* powers;    // [tile rows][step_keys]

  int64_t dim() const { return head.dim(); }
  const DotKernel& kernel() const { return head.plan->dot; }
};

inline PagedDotHead LayOutDot(const PagedPlan& plan, const PagedTask& task, float* scratch) {
  PagedDotHead h = {};
  h.head = LayOut(plan, task, scratch);
  h.step_keys = plan.blocks_per_step * kPanelColumns;
  const int64_t operand = h.step_keys * h.dim() / 2;
  float* next = scratch + plan.max_rows * (plan.padded_dim + 2);
  h.keys = reinterpret_cast<uint32_t*>(next);
  h.values = h.keys + operand;
  h.scores = next + 2 * operand;
  h.powers = reinterpret_cast<uint16_t*>(h.scores + kMostDotRows * h.step_keys);
  h.queries = h.powers + kMostDotRows * h.step_keys;
  return h;
}

HWY_INLINE void StorePairs(Vec first, Vec second, uint32_t* out) {
  const Words d;
  const auto low = hn::BitCast(d, Bf16Bits(first));
  hn::StoreU(hn::Or(low, hn::ShiftLeft<16>(hn::BitCast(d, Bf16Bits(second)))), d, out);
}

template <class Parts>
HWY_INLINE Vec LoadElements(const typename Parts::Element* p) {
  Vec columns[1];
  Parts::template Columns<1>::template Load<0>(p, columns);
  return columns[0];
}

// Block `block`, the `index`-th of its step.
template <class Parts>
void PackKeys(const PagedDotHead& h, int64_t block, int64_t index) {
  const Floats d;
  const uint8_t* part = h.head.Keys(block);
  const auto* elements = reinterpret_cast<const typename Parts::Element*>(part);
  uint32_t* out = h.keys + index * h.dim() / 2 * kPanelColumns;
  for (int64_t i = 0; i < h.dim(); i += 2, elements += 2 * kPanelColumns, out += kPanelColumns) {
    for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
      Vec first = LoadElements<Parts>(elements + j);
      Vec second = LoadElements<Parts>(elements + kPanelColumns + j);
      if constexpr (Parts::kScaled) {
        const Vec scales = hn::LoadU(d, h.head.cache->Scales(part) + j);
        first = hn::Mul(first, scales);
        second = hn::Mul(second, scales);
      }
      StorePairs(first, second, out + j);
    }
  }
}

template <class Parts>
void PackValues(const PagedDotHead& h, int64_t block, int64_t index) {
  const Floats d;
  const uint8_t* part = h.head.Values(block);
  const auto* elements = reinterpret_cast<const typename Parts::Element*>(part);
  const float* scales = Parts::kScaled ? h.head.cache->Scales(part) : nullptr;
  for (int64_t token = 0; token < kPanelColumns; token += 2, elements += 2 * h.dim()) {
    uint32_t* out = h.values + (index * kPanelColumns + token) / 2 * kPanelColumns;
    for (int64_t i = 0; i < h.dim(); i += kLanes) {
      Vec first = LoadElements<Parts>(elements + i);
      Vec second = LoadElements<Parts>(elements + h.dim() + i);
      if constexpr (Parts::kScaled) {
        first = hn::Mul(first, hn::Set(d, scales[token]));
        second = hn::Mul(second, hn::Set(d, scales[token + 1]));
      }
      StorePairs(first, second, out + i / kPanelColumns * (h.step_keys / 2) * kPanelColumns + i % kPanelColumns);
    }
  }
}

// Row `row` of the task, `r` of its tile: its scores of `blocks` -> powers of two of their distance to its highest so
// far. Moves its maximum and sum. Returns what the row's mix so far is to be multiplied by.
HWY_INLINE float SoftmaxPagedRow(const PagedDotHead& h, int64_t row, int64_t r, RowRange blocks) {
  const Floats d;
  const hn::Rebind<uint16_t, Ints> half;
  const int64_t tile_rows = h.kernel().max_rows;
  const int64_t keys = h.head.RowKeys(row) - blocks.begin * kPanelColumns;  // that it sees, of this step
  const Vec lane = hn::Iota(d, 0.0f);
  Vec highest = hn::Set(d, h.head.highest[row]);
  for (int64_t key = 0; key < blocks.count() * kPanelColumns; key += kPanelColumns) {
    float* scores = h.scores + key * tile_rows + r * kPanelColumns;
    for (int64_t i = 0; i < kPanelColumns; i += kLanes) {
      Vec score = hn::LoadU(d, scores + i);
      if (key + kPanelColumns > keys) {
        const auto seen = static_cast<float>(keys - key - i);
        score = hn::IfThenElse(hn::Lt(lane, hn::Set(d, seen)), score, hn::Set(d, kMinusInfinity));
        hn::StoreU(score, d, scores + i);
      }
      highest = hn::Max(highest, score);
    }
  }
  const float top = hn::GetLane(hn::MaxOfLanes(d, highest));
  const Vec tops = hn::Set(d, top == kMinusInfinity ? 0.0f : top);
  Vec sums = hn::Zero(d);
  uint16_t* powers = h.powers + r * h.step_keys;
  for (int64_t key = 0; key < blocks.count() * kPanelColumns; key += kPanelColumns) {
    const float* scores = h.scores + key * tile_rows + r * kPanelColumns;
    for (int64_t i = 0; i < kPanelColumns; i += kLanes) {
      const Vec power = Exp2Short(hn::Sub(hn::LoadU(d, scores + i), tops));
      hn::StoreU(hn::DemoteTo(half, Bf16Bits(power)), half, powers + key + i);
      sums = hn::Add(sums, power);
    }
  }
  const float rescale = hn::GetLane(Exp2(hn::Sub(hn::Set(d, h.head.highest[row]), tops)));
  h.head.sums[row] = h.head.sums[row] * rescale + hn::GetLane(hn::SumOfLanes(d, sums));
  h.head.highest[row] = top;
  return rescale;
}

// Rows [row, row + rows) of the task against the packed blocks of a step.
inline void PagedDotTile(const PagedDotHead& h, int64_t row, int64_t rows, RowRange blocks) {
  const Floats d;
  const int64_t dim = h.dim();
  const int64_t keys = h.head.RowKeys(row + rows - 1);
  blocks.end = std::min(blocks.end, DivideUp(keys, kPanelColumns));
  if (blocks.count() <= 0) return;
  for (int64_t b = 0; b < blocks.count(); ++b) {
    h.kernel().tile({h.queries + row * dim, dim * 2, h.keys + b * dim / 2 * kPanelColumns, dim / 2, rows,
                     h.scores + b * h.kernel().max_rows * kPanelColumns});
  }
  float rescale[kMostDotRows];
  for (int64_t r = 0; r < rows; ++r) rescale[r] = SoftmaxPagedRow(h, row + r, r, blocks);
  alignas(64) float sums[kMostDotRows * kPanelColumns];
  for (int64_t i = 0; i < dim; i += kPanelColumns) {
    h.kernel().tile(
        {h.powers, h.step_keys * 2, h.values + i * (h.step_keys / 2), blocks.count() * kPanelColumns / 2, rows, sums});
    for (int64_t r = 0; r < rows; ++r) {
      float* mixed = h.head.mixed + (row + r) * h.head.plan->padded_dim + i;
      for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
        const Vec sum = hn::LoadU(d, sums + r * kPanelColumns + j);
        hn::StoreU(hn::MulAdd(hn::LoadU(d, mixed + j), hn::Set(d, rescale[r]), sum), d, mixed + j);
      }
    }
  }
}

template <class Parts>
void PagedAttentionDotOf(const PagedDotHead& h) {
  const PagedHead& head = h.head;
  StartRows(head);
  for (int64_t row = 0; row < head.rows; ++row) {
    StoreBf16(PagedQuery(head, row), h.dim(), head.plan->args->scale * kLog2E, h.queries + row * h.dim());
  }
  const int64_t end = DivideUp(head.task->key_end, kPanelColumns);
  for (int64_t begin = head.task->key_begin / kPanelColumns; begin < end; begin += head.plan->blocks_per_step) {
    const RowRange blocks = {begin, std::min(end, begin + head.plan->blocks_per_step)};
    for (int64_t block = blocks.begin; block < blocks.end; ++block) {
      PackKeys<Parts>(h, block, block - begin);
      PackValues<Parts>(h, block, block - begin);
    }
    const int64_t tiles = DivideUp(head.rows, h.kernel().max_rows);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t row = PartBegin(head.rows, tiles, tile);
      PagedDotTile(h, row, PartBegin(head.rows, tiles, tile + 1) - row, blocks);
    }
  }
  FinishRows(head);
}

inline void PagedAttentionDotTask(const PagedPlan& plan, int64_t index, ThreadScratch& scratch) {
  const DotScope scope(plan.dot);
  const PagedDotHead h = LayOutDot(plan, plan.tasks[index], scratch.data);
  if (h.head.cache->shape.format == KvFormat::kInt8) {
    PagedAttentionDotOf<Int8Parts>(h);
  } else {
    PagedAttentionDotOf<HalfParts>(h);
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_DOT_INL_H_
