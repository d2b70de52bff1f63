#include "kernels/portable/paged_planner.h"

#include <algorithm>

namespace eyeshot::portable {
namespace {

// Query rows (queries x heads of a kv head) of a prompt's task: keys and values are widened from bfloat16 once for
// each register tile of rows, their cache lines are fetched once for all 192.
constexpr int64_t kPromptRows = 192;

// Keys whose scores a thread holds at a time: 14 rows of 512 floats are 28 KB, which fits L1 beside a block.
constexpr int64_t kKeysPerStep = 512;

// Fewer keys than this (32 KB of cache at head_dim 64) aren't worth a task of their own.
constexpr int64_t kLeastSplitKeys = 128;

constexpr int64_t kTasksPerThread = 3;

}  // namespace

void PagedPlanner::AddSequence(const PagedAttentionArgs& args, int64_t sequence, int64_t wanted_splits) {
  const PagedBatch& batch = *args.batch;
  const KvCacheShape& shape = args.cache->shape;
  const int64_t group = shape.layer_group[static_cast<size_t>(args.layer)];
  const int64_t queries = batch.query_start.data[sequence + 1] - batch.query_start.data[sequence];
  const int64_t context = batch.context_length.data[group * batch.sequences + sequence];
  const int64_t heads_per_kv = args.heads / shape.kv_heads;
  const bool prompt = queries > split_queries_;
  const int64_t per_task = prompt ? std::max<int64_t>(1, kPromptRows / heads_per_kv) : queries;
  const int64_t splits = prompt ? 1 : std::clamp<int64_t>(context / kLeastSplitKeys, 1, wanted_splits);
  // The last queries see the most keys: they go first, so that the end is made of small tasks.
  for (int64_t end = queries; end > 0; end -= per_task) {
    const int64_t begin = std::max<int64_t>(0, end - per_task);
    const int64_t keys = context - queries + end;
    for (int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      if (splits > 1) merges_.push_back({static_cast<int64_t>(tasks_.size()), splits});
      const int64_t blocks = DivideUp(keys, shape.block_size);
      for (int64_t s = 0; s < splits; ++s) {
        tasks_.push_back({sequence, kv_head, begin, end, PartBegin(blocks, splits, s) * shape.block_size,
                          std::min(keys, PartBegin(blocks, splits, s + 1) * shape.block_size),
                          splits > 1 ? used_splits_++ : -1, prompt});
      }
    }
  }
}

PagedPlan PagedPlanner::Plan(int max_rows, const DotKernel* dot, int threads, const PagedAttentionArgs& args) {
  const KvCacheShape& shape = args.cache->shape;
  const int64_t heads_per_kv = args.heads / shape.kv_heads;
  split_queries_ = std::max<int64_t>(1, max_rows / heads_per_kv);
  const int64_t heads = args.batch->sequences * shape.kv_heads;
  // As for a sequence alone: its sums must not depend on how many are beside it.
  const int64_t wanted_splits = threads == 1 ? 1 : DivideUp(kTasksPerThread * threads, shape.kv_heads);
  most_splits_ = heads * wanted_splits;
  used_splits_ = 0;
  tasks_.clear();
  merges_.clear();
  const int64_t prompt_tasks = DivideUp(args.batch->tokens * heads_per_kv, kPromptRows) + args.batch->sequences;
  tasks_.reserve(static_cast<size_t>(most_splits_ + prompt_tasks * shape.kv_heads * 2));
  merges_.reserve(static_cast<size_t>(heads));
  for (int64_t s = 0; s < args.batch->sequences; ++s) AddSequence(args, s, wanted_splits);

  PagedPlan plan;
  plan.args = &args;
  plan.tasks = tasks_.data();
  plan.split_rows = split_queries_ * heads_per_kv;
  plan.max_rows = std::max({plan.split_rows, kPromptRows, heads_per_kv});
  const int64_t padded_block = RoundUp(shape.block_size, kGroup);
  plan.blocks_per_step = std::max<int64_t>(1, kKeysPerStep / padded_block);
  plan.padded_dim = RoundUp(shape.head_dim, kPanelColumns);
  plan.scratch_floats = plan.max_rows * (2 * plan.padded_dim + 2) + max_rows * plan.blocks_per_step * padded_block;
  // The panels of weights.h are as wide as a block is long, and as deep as whole aligned groups.
  if (dot == nullptr || shape.block_size != kPanelColumns || shape.head_dim % kPanelColumns != 0) return plan;
  plan.dot = *dot;
  const int64_t step_keys = plan.blocks_per_step * kPanelColumns;
  // The parts of PagedDotHead in paged_attention_dot-inl.h, behind the results of the rows.
  const int64_t dot_floats = (plan.max_rows + kMostDotRows) * shape.head_dim / 2 + step_keys * shape.head_dim +
                             kMostDotRows * (step_keys + step_keys / 2);
  plan.scratch_floats = std::max(plan.scratch_floats, plan.max_rows * (plan.padded_dim + 2) + dot_floats);
  return plan;
}

}  // namespace eyeshot::portable
