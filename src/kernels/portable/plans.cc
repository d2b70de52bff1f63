// How operations are cut into tasks. Two aims: what a task packs stays in its core's L2, and there are enough
// tasks that a core which others use too holds back only its own share.
#include <algorithm>

#include "kernels/portable/kernels.h"

namespace eyeshot::portable {
namespace {

// A block of packed rows, of the 1 MB of L2 that current server cores have: panels of weights and of sums stream
// through what is left.
constexpr int64_t kPackedBlockBytes = 512 << 10;

// Deeper rows are cut into slabs: of whole ones, not even two row panels of 14 would share a block, and a weight panel
// would be read from afar for each. So are those of weights that the last cache won't keep: with slabs of 512 inputs
// a block has 256 rows, and a core at its peak of 270 GFLOP/s reads 1 GB/s of weights, not 4.
constexpr int64_t kDeepest = 4608;
constexpr size_t kLargeWeightBytes = 16 << 20;
constexpr int64_t kSlabDepth = 512;

// Weight panels whose sums stay in L2 between slabs: 256 columns of 256 rows are 256 KB.
constexpr int64_t kStripPanels = 8;

// With T tasks a thread, all equal, the last to finish is up to 1 / T late: 6 %, and half of that on average.
constexpr int64_t kTasksPerThread = 16;

// Less weight than this is not worth a task: 64 KB take about 3 us from memory, handing out a task 0.1 us, and each
// begins with a wait for memory.
constexpr int64_t kLeastChunkBytes = 64 << 10;

// A chunk repacks its row block (about 1 cycle for 8 elements); with at least 4 panels of 32 outputs (4 cycles an
// element) that stays below 4 %.
constexpr int64_t kLeastChunkPanels = 4;

// Attention packs a head's keys and values for each task (about 1 cycle an element, 2 x tokens x head_dim), as
// much as scoring and mixing 32 queries takes; so few tasks are wanted.
constexpr int64_t kAttentionTasksPerThread = 4;

// Chunks of a weight's panels for each row block: enough tasks for the threads, none with less than `least` panels, and
// equally many for each.
int64_t Chunks(int threads, int64_t blocks, int64_t panels, int64_t least) {
  const int64_t wanted = threads == 1 ? 1 : DivideUp(kTasksPerThread * threads, blocks);
  const int64_t chunks = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, panels / least));
  return chunks > threads ? chunks - chunks % threads : chunks;
}

}  // namespace

LinearPlan PlanLinear(int max_rows, int threads, const LinearJob& job) {
  const PanelWeight& weight = *job.weight;
  const int64_t rows = job.rows;
  LinearPlan plan;
  plan.job = job;
  plan.threads = threads;
  plan.row_panels = DivideUp(rows, max_rows);
  const int64_t panel_rows = DivideUp(rows, plan.row_panels);
  const int64_t padded_depth = RoundUp(weight.inputs, kGroup);
  const auto panel_bytes_of = [&](int64_t depth) { return panel_rows * depth * static_cast<int64_t>(sizeof(float)); };
  const bool one_block = plan.row_panels * panel_bytes_of(padded_depth) <= kPackedBlockBytes;
  const bool whole = one_block || (weight.inputs <= kDeepest && weight.bytes <= kLargeWeightBytes);
  plan.slabs = whole ? 1 : DivideUp(weight.inputs, kSlabDepth);
  plan.slab_depth = RoundUp(DivideUp(weight.inputs, plan.slabs), kGroup);
  plan.slabs = DivideUp(weight.inputs, plan.slab_depth);
  const int64_t fitting = std::max<int64_t>(1, kPackedBlockBytes / panel_bytes_of(plan.slab_depth));
  plan.blocks = DivideUp(plan.row_panels, fitting);
  plan.block_panels = DivideUp(plan.row_panels, plan.blocks);
  plan.block_rows = plan.block_panels * panel_rows;

  const int64_t least = plan.row_panels > 1 ? kLeastChunkPanels : DivideUp(kLeastChunkBytes, weight.panel_bytes);
  plan.chunks = Chunks(threads, plan.blocks, weight.panels, least);
  plan.strip_panels = plan.slabs == 1 ? 1 : std::min(kStripPanels, DivideUp(weight.panels, plan.chunks));
  plan.scratch_floats = padded_depth + plan.block_rows * (padded_depth + plan.strip_panels * kPanelColumns);
  return plan;
}

DotPlan PlanDot(DotType type, const DotKernel& many, const DotKernel& few, int threads, const LinearJob& job) {
  const PanelWeight& weight = *job.weight;
  const bool is_few = type == DotType::kInt8 && job.rows <= (weight.IsBlocks() ? few.few_block_rows : few.few_rows);
  DotPlan plan;
  plan.job = job;
  plan.type = type;
  plan.threads = threads;
  plan.kernel = is_few ? few : many;
  plan.digits = is_few ? 2 : 1;
  plan.unpack = weight.IsBlocks() && !is_few;
  plan.a_stride = (plan.UsesBlocks() ? weight.blocks * kBlockGroups : weight.groups) * plan.kernel.row_group_bytes;
  const int64_t tile_rows = plan.kernel.max_rows;
  const int64_t tiles = DivideUp(plan.a_rows(), tile_rows);
  const int64_t fitting = std::max<int64_t>(1, kPackedBlockBytes / (plan.a_stride * tile_rows));
  plan.blocks = is_few ? 1 : DivideUp(tiles, fitting);
  plan.block_rows = DivideUp(tiles, plan.blocks) * tile_rows;
  plan.blocks = DivideUp(plan.a_rows(), plan.block_rows);
  plan.chunks = Chunks(threads, plan.blocks, weight.panels, DivideUp(kLeastChunkBytes, weight.panel_bytes));
  const int64_t unpacked = plan.unpack ? weight.groups * kPanelColumns : 0;
  plan.scratch_floats = std::max(2 * weight.inputs, unpacked + kMostOutliers * kPanelColumns);
  return plan;
}

EncodePlan PlanEncode(int max_rows, const DotKernel* dot, int threads, const EncodeAttentionArgs& args) {
  EncodePlan plan;
  plan.args = &args;
  if (dot != nullptr) plan.dot = *dot;
  const int64_t heads = (args.cu_tokens.size - 1) * args.heads;
  const int64_t wanted = threads == 1 ? 1 : DivideUp(kAttentionTasksPerThread * threads, heads);
  plan.parts = std::min(wanted, DivideUp(args.max_tokens, dot != nullptr ? dot->max_rows : max_rows));
  plan.tasks = heads * plan.parts;
  const int64_t tokens = RoundUp(args.max_tokens, kPanelColumns);
  const int64_t dim = RoundUp(args.head_dim, kPanelColumns);
  if (dot != nullptr) {
    // The parts of DotHead in attention_dot-inl.h.
    plan.scratch_floats = tokens * (dim + 1) + kMostDotRows * (dim / 2 + tokens + tokens / 2);
  } else {
    // The parts of EncodeHead in attention-inl.h.
    plan.scratch_floats = tokens * (2 * dim + 1) + kEncodePanels * max_rows * (dim + tokens);
  }
  return plan;
}

}  // namespace eyeshot::portable
