// Causal attention over the paged cache, for prompts and for single tokens alike.
//
// The query heads that share a kv head become rows of one left operand, so that keys and values are read once for
// all of them. Cache blocks are right operands as they lie (keys transposed, see kv_cache.h). A few blocks at a
// time are scored and mixed with a running maximum and sum (Milakov and Gimelshein, arXiv 1805.02867), so scratch
// doesn't depend on the context.
#if defined(EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "kernels/portable/attention-inl.h"
#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"
#include "kernels/portable/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// How a cache's parts are read as right operands. Keys and values of scaled ones are integers times Scales() of their
// token.
struct HalfParts {
  using Element = uint16_t;
  static constexpr bool kScaled = false;
  template <int kVectors>
  using Columns = F16Columns<kVectors>;
};
struct Int8Parts {
  using Element = int8_t;
  static constexpr bool kScaled = true;
  template <int kVectors>
  using Columns = I8Columns<kVectors>;
};

// One task's constants and its scratch. Row t * group + g is query t's head g of the kv head.
struct PagedHead {
  const PagedPlan* plan;
  const PagedTask* task;
  const PagedKvCache* cache;
  const int32_t* block_table;
  int64_t first_token;  // of the sequence, in the step
  int64_t visible;      // keys that query 0 of the sequence sees
  int64_t group;        // query heads of a kv head
  int64_t rows;
  float* sums;     // [rows] of powers so far
  float* highest;  // [rows] score so far
  float* mixed;    // [rows][padded_dim] powers times values so far
  float* queries;  // [rows / kMaxRows][head_dim / 16][tile rows][16]
  float* scores;   // [blocks_per_step][block_size / 16][tile rows][16]

  int64_t dim() const { return cache->shape.head_dim; }
  int64_t padded_block() const { return RoundUp(cache->shape.block_size, kGroup); }
  const uint8_t* Keys(int64_t block) const { return cache->Keys(plan->args->layer, block_table[block], task->kv_head); }
  const uint8_t* Values(int64_t block) const {
    return cache->Values(plan->args->layer, block_table[block], task->kv_head);
  }
  int64_t RowKeys(int64_t row) const { return std::min(task->key_end, visible + task->query_begin + row / group); }
};

inline PagedHead LayOut(const PagedPlan& plan, const PagedTask& task, float* scratch) {
  const PagedAttentionArgs& args = *plan.args;
  const PagedBatch& batch = *args.batch;
  const auto& cache = static_cast<const PagedKvCache&>(*args.cache);
  const int64_t layer_group = cache.shape.layer_group[static_cast<size_t>(args.layer)];
  const int64_t row = layer_group * batch.sequences + task.sequence;
  const int64_t first = batch.query_start.data[task.sequence];
  const int64_t queries = batch.query_start.data[task.sequence + 1] - first;
  PagedHead h = {};
  h.plan = &plan;
  h.task = &task;
  h.cache = &cache;
  h.block_table = batch.block_table.data + row * batch.max_blocks;
  h.first_token = first;
  h.visible = batch.context_length.data[row] - queries + 1;
  h.group = args.heads / cache.shape.kv_heads;
  h.rows = (task.query_end - task.query_begin) * h.group;
  float* results = task.split < 0 ? scratch : plan.partial + task.split * plan.PartialFloats();
  const int64_t result_rows = task.split < 0 ? plan.max_rows : plan.split_rows;
  h.sums = results;
  h.highest = h.sums + result_rows;
  h.mixed = h.highest + result_rows;
  h.queries = scratch + plan.max_rows * (plan.padded_dim + 2);
  h.scores = h.queries + plan.max_rows * RoundUp(h.dim(), kGroup);
  return h;
}

// Scores of a tile's rows and the keys [0, keys) of a block, at `scores` as a left operand. next: the part that is
// wanted after this one.
template <class Parts>
void ScoreBlock(const PagedHead& h, const float* queries, int64_t rows, const uint8_t* part, int64_t keys,
                const uint8_t* next, float* scores) {
  const auto* block_keys = reinterpret_cast<const typename Parts::Element*>(part);
  const int64_t block_size = h.cache->shape.block_size;
  Ahead ahead = {next, PagedKvCache::KvPartBytes(h.cache->shape)};
  for (int64_t key = 0; key < keys;) {
    const TileTarget target = {scores + key / kGroup * rows * kGroup + key % kGroup, kGroup, rows * kGroup, false};
    const int64_t vectors = std::min(DivideUp(keys - key, kLanes), (block_size - key) / kLanes);
    key += kLanes * MultiplyColumns<Parts::template Columns>(rows, vectors, queries, block_keys + key, block_size,
                                                             h.dim(), target, ahead);
  }
}

// highest[r] <- the lane-wise maximum of it and row r's scores of one block; keys that a row doesn't see, and what
// pads the block, become -infinity. keys[r]: how many keys row r sees, from this block on. scales: of the keys, or
// null.
inline void MaskBlock(const PagedHead& h, float* scores, int64_t rows, const int64_t* keys, const float* scales,
                      Vec* highest) {
  const Floats d;
  const int64_t block_size = h.cache->shape.block_size;
  // The first row sees the fewest keys.
  const bool all_seen = keys[0] >= block_size && block_size == h.padded_block();
  const Vec lane = hn::Iota(d, 0.0f);
  for (int64_t key = 0; key < h.padded_block(); key += kGroup) {
    for (int64_t r = 0; r < rows; ++r, scores += kGroup) {
      for (int64_t i = 0; i < kGroup; i += kLanes) {
        Vec score = hn::LoadU(d, scores + i);
        if (scales != nullptr) score = hn::Mul(score, hn::LoadU(d, scales + key + i));
        if (!all_seen) {
          const auto seen = static_cast<float>(std::clamp<int64_t>(keys[r], 0, block_size) - key - i);
          score = hn::IfThenElse(hn::Lt(lane, hn::Set(d, seen)), score, hn::Set(d, kMinusInfinity));
        }
        if (!all_seen || scales != nullptr) hn::StoreU(score, d, scores + i);
        highest[r] = hn::Max(highest[r], score);
      }
    }
  }
}

// A tile's scores of some blocks -> powers of two of their distance to their row's highest so far. Moves the rows'
// maxima, sums and mixes. Powers that meet scaled values are multiplied by their scales.
template <class Parts>
void UpdateRows(const PagedHead& h, int64_t row, int64_t rows, RowRange blocks) {
  const Floats d;
  const int64_t block_size = h.cache->shape.block_size;
  Vec highest[kMaxRows];
  Vec sums[kMaxRows];
  int64_t keys[kMaxRows];
  for (int64_t r = 0; r < rows; ++r) {
    highest[r] = hn::Set(d, h.highest[row + r]);
    sums[r] = hn::Zero(d);
    keys[r] = h.RowKeys(row + r) - blocks.begin * block_size;
  }
  float* scores = h.scores;
  for (int64_t block = blocks.begin; block < blocks.end; ++block, scores += h.padded_block() * rows) {
    MaskBlock(h, scores, rows, keys, Parts::kScaled ? h.cache->Scales(h.Keys(block)) : nullptr, highest);
    for (int64_t r = 0; r < rows; ++r) keys[r] -= block_size;
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float top = hn::GetLane(hn::MaxOfLanes(d, highest[r]));
    // A row that has seen no key yet (of this split) keeps a sum of nearly 0.
    highest[r] = hn::Set(d, top == kMinusInfinity ? 0.0f : top);
    const Vec rescale = Exp2(hn::Sub(hn::Set(d, h.highest[row + r]), highest[r]));
    h.sums[row + r] *= hn::GetLane(rescale);
    h.highest[row + r] = top;
    float* mixed = h.mixed + (row + r) * h.plan->padded_dim;
    for (int64_t i = 0; i < h.plan->padded_dim; i += kLanes) {
      hn::StoreU(hn::Mul(rescale, hn::LoadU(d, mixed + i)), d, mixed + i);
    }
  }
  scores = h.scores;
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    const float* scales = Parts::kScaled ? h.cache->Scales(h.Values(block)) : nullptr;
    for (int64_t key = 0; key < h.padded_block(); key += kGroup) {
      for (int64_t r = 0; r < rows; ++r, scores += kGroup) {
        for (int64_t i = 0; i < kGroup; i += kLanes) {
          const Vec power = Exp2(hn::Sub(hn::LoadU(d, scores + i), highest[r]));
          sums[r] = hn::Add(sums[r], power);
          hn::StoreU(Parts::kScaled ? hn::Mul(power, hn::LoadU(d, scales + key + i)) : power, d, scores + i);
        }
      }
    }
  }
  for (int64_t r = 0; r < rows; ++r) h.sums[row + r] += hn::GetLane(hn::SumOfLanes(d, sums[r]));
}

// mixed += powers times the first `keys` values of a block. next: as for ScoreBlock.
template <class Parts>
void MixBlock(const PagedHead& h, const float* powers, int64_t row, int64_t rows, const uint8_t* part, int64_t keys,
              const uint8_t* next) {
  const auto* values = reinterpret_cast<const typename Parts::Element*>(part);
  const int64_t dim = h.dim();
  const int64_t stride = h.plan->padded_dim;
  Ahead ahead = {next, PagedKvCache::KvPartBytes(h.cache->shape)};
  for (int64_t i = 0; i < dim;) {
    const TileTarget target = {h.mixed + row * stride + i, stride, kGroup, true};
    i += kLanes * MultiplyColumns<Parts::template Columns>(rows, DivideUp(dim - i, kLanes), powers, values + i, dim,
                                                           keys, target, ahead);
  }
}

// The rows of one register tile against the cache blocks `blocks`.
template <class Parts>
void PagedTile(const PagedHead& h, int64_t row, int64_t rows, const float* queries, RowRange blocks) {
  const int64_t block_size = h.cache->shape.block_size;
  const int64_t keys = h.RowKeys(row + rows - 1);
  blocks.end = std::min(blocks.end, DivideUp(keys, block_size));
  if (blocks.count() <= 0) return;
  const auto keys_of = [&](int64_t block) { return std::min(block_size, keys - block * block_size); };
  const auto scores_of = [&](int64_t block) { return h.scores + (block - blocks.begin) * h.padded_block() * rows; };
  // Parts are as long as pages, over whose ends no hardware prefetcher goes: each would begin with a wait for memory.
  const bool last_step = blocks.end >= DivideUp(keys, block_size);
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    const uint8_t* next = block + 1 < blocks.end ? h.Keys(block + 1) : h.Values(blocks.begin);
    ScoreBlock<Parts>(h, queries, rows, h.Keys(block), keys_of(block), next, scores_of(block));
  }
  UpdateRows<Parts>(h, row, rows, blocks);
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    const uint8_t* values = h.Values(block);
    const uint8_t* after = last_step ? values : h.Keys(blocks.end);
    MixBlock<Parts>(h, scores_of(block), row, rows, values, keys_of(block),
                    block + 1 < blocks.end ? h.Values(block + 1) : after);
  }
}

inline float* PagedOutput(const PagedPlan& plan, const PagedTask& task, int64_t row) {
  const PagedAttentionArgs& args = *plan.args;
  const int64_t group = args.heads / args.cache->shape.kv_heads;
  const int64_t token = args.batch->query_start.data[task.sequence] + task.query_begin + row / group;
  return args.y.Row<float>(token) + (task.kv_head * group + row % group) * args.cache->shape.head_dim;
}

inline void StartRows(const PagedHead& h) {
  std::fill_n(h.sums, h.rows, 0.0f);
  std::fill_n(h.highest, h.rows, kMinusInfinity);
  std::fill_n(h.mixed, h.rows * h.plan->padded_dim, 0.0f);
}

// The query of a row.
inline const float* PagedQuery(const PagedHead& h, int64_t row) {
  const int64_t token = h.first_token + h.task->query_begin + row / h.group;
  const int64_t head = h.task->kv_head * h.group + row % h.group;
  return h.plan->args->q.Row<float>(token) + head * h.dim();
}

// y <- mixes over sums, unless the task is a part of a split.
inline void FinishRows(const PagedHead& h) {
  if (h.task->split >= 0) return;
  for (int64_t row = 0; row < h.rows; ++row) {
    const float* mixed = h.mixed + row * h.plan->padded_dim;
    float* y = PagedOutput(*h.plan, *h.task, row);
    const float factor = 1.0f / h.sums[row];
    for (int64_t i = 0; i < h.dim(); ++i) y[i] = factor * mixed[i];
  }
}

template <class Parts>
void PagedAttentionOf(const PagedHead& h) {
  const PagedPlan& plan = *h.plan;
  const PagedTask& task = *h.task;
  const int64_t packed_dim = RoundUp(h.dim(), kGroup);
  const int64_t panels = DivideUp(h.rows, kMaxRows);
  StartRows(h);
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t begin = PartBegin(h.rows, panels, panel);
    const int64_t rows = PartBegin(h.rows, panels, panel + 1) - begin;
    for (int64_t r = 0; r < rows; ++r) {
      PackRow(PagedQuery(h, begin + r), h.dim(), plan.args->scale * kLog2E, rows, r, h.queries + begin * packed_dim);
    }
  }
  const int64_t block_end = DivideUp(task.key_end, h.cache->shape.block_size);
  for (int64_t block = task.key_begin / h.cache->shape.block_size; block < block_end; block += plan.blocks_per_step) {
    for (int64_t panel = 0; panel < panels; ++panel) {
      const int64_t begin = PartBegin(h.rows, panels, panel);
      PagedTile<Parts>(h, begin, PartBegin(h.rows, panels, panel + 1) - begin, h.queries + begin * packed_dim,
                       {block, std::min(block_end, block + plan.blocks_per_step)});
    }
  }
  FinishRows(h);
}

inline void PagedAttentionTask(const PagedPlan& plan, int64_t index, ThreadScratch& scratch) {
  const PagedHead h = LayOut(plan, plan.tasks[index], scratch.data);
  if (h.cache->shape.format == KvFormat::kInt8) {
    PagedAttentionOf<Int8Parts>(h);
  } else {
    PagedAttentionOf<HalfParts>(h);
  }
}

inline void MergeAttention(const PagedPlan& plan, const PagedMerge& merge) {
  const PagedTask& task = plan.tasks[merge.task];
  const PagedHead first = LayOut(plan, task, nullptr);
  const int64_t next = plan.PartialFloats();
  for (int64_t row = 0; row < first.rows; ++row) {
    float highest = kMinusInfinity;
    for (int64_t s = 0; s < merge.splits; ++s) highest = std::max(highest, first.highest[s * next + row]);
    float* y = PagedOutput(plan, task, row);
    std::fill_n(y, first.dim(), 0.0f);
    float sum = 0;
    for (int64_t s = 0; s < merge.splits; ++s) {
      const Vec distance = hn::Set(Floats(), first.highest[s * next + row] - highest);
      const float weight = hn::GetLane(Exp2(distance));
      sum += weight * first.sums[s * next + row];
      const float* mixed = first.mixed + s * next + row * plan.padded_dim;
      for (int64_t i = 0; i < first.dim(); ++i) y[i] += weight * mixed[i];
    }
    for (int64_t i = 0; i < first.dim(); ++i) y[i] /= sum;
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_PAGED_ATTENTION_INL_H_
