// What the portable backend asks of its vector code: a table of functions for each instruction set. A plan says
// what an operation is and how it's cut into tasks; each function does one task of it on one thread.
#ifndef EYESHOT_KERNELS_PORTABLE_KERNELS_H_
#define EYESHOT_KERNELS_PORTABLE_KERNELS_H_

#include <cstdint>

#include "base/cpu.h"
#include "kernels/backend.h"
#include "kernels/portable/dot.h"
#include "kernels/portable/kv_cache.h"
#include "kernels/portable/weights.h"

namespace eyeshot::portable {

// Depth steps that lie together for each row of a packed left operand: one cache line. See tile-inl.h.
inline constexpr int64_t kGroup = 16;

// Register tiles of queries that attention scores together: each panel of keys is read once for all of them.
inline constexpr int64_t kEncodePanels = 2;

inline constexpr float kLog2E = 1.4426950408889634f;

constexpr int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t RoundUp(int64_t a, int64_t b) { return DivideUp(a, b) * b; }

// Part `i` of `parts` nearly equal parts of [0, total) begins here; part `parts` is the end.
constexpr int64_t PartBegin(int64_t total, int64_t parts, int64_t i) { return total * i / parts; }

// Memory of one thread, grown by the backend before an operation runs.
struct ThreadScratch {
  float* data = nullptr;
  int64_t packed = -1;  // what of the current operation `data` holds packed: a row block, a head; -1: nothing
};

// The rows of a left operand, which may have to be made first.
struct RowSource {
  // Row `row` as `depth` floats: where it lies, or made in temp[0..depth).
  const float* (*read)(const void* context, int64_t row, float* temp);
  const void* context;
};

// What a linear operation is: y = epilogue(x weight^T).
struct LinearJob {
  RowSource x;
  int64_t rows = 0;
  const PanelWeight* weight = nullptr;
  const float* bias = nullptr;  // [outputs] or null
  Activation activation = Activation::kNone;
  ConstMatrixView residual;     // may be empty
  MatrixView y;
};

// In float32 arithmetic. Task t: row block t / chunks, chunk t % chunks of the weight's panels.
struct LinearPlan {
  LinearJob job;
  int64_t row_panels = 0;     // register tiles' worth of rows
  int64_t blocks = 0;         // of row panels that are packed together
  int64_t block_panels = 0;   // row panels of the largest block
  int64_t block_rows = 0;     // rows that these have at most
  int64_t slabs = 0;          // parts of the depth, such that a block's part stays in L2
  int64_t slab_depth = 0;     // a multiple of kGroup; the last slab has what is left
  int64_t chunks = 0;
  int threads = 0;
  int64_t strip_panels = 0;   // weight panels whose sums are kept between slabs
  int64_t scratch_floats = 0;  // of each thread
};
LinearPlan PlanLinear(int max_rows, int threads, const LinearJob& job);

// In rounded arithmetic. First every row is rounded, then task t is row block t / chunks times chunk t % chunks of the
// weight's panels.
//
// bfloat16: rows are rounded to it. Integers: each row gets its own scale. Where rows are many they have 8 bits, and
// columns in which some rows are far larger than elsewhere ("outliers", as real models have) are taken out of them and
// multiplied in float32 (the decomposition of LLM.int8(), arXiv 2208.07339, with the columns found anew each time).
// Where they are few, time goes into reading the weights, and rows have 15 bits: two rows of 8-bit digits each.
struct DotPlan {
  LinearJob job;
  DotType type = DotType::kInt8;
  DotKernel kernel;
  int64_t digits = 1;  // rows of `a` for each row of x: 1, or 2 (the low digit first; the high one counts 128)
  bool unpack = false;  // panels of blocks are rounded to kInt8 in the thread's scratch
  uint8_t* a = nullptr;  // [digits * rows][a_stride] zeros behind the last input
  int64_t a_stride = 0;
  float* scales = nullptr;  // [rows]
  float* crests = nullptr;  // [rows] largest magnitude over root of the mean square
  int32_t* corrections = nullptr;  // kernel.offset times the sum of a row: [digits * rows], or of its blocks:
                                   // [digits * rows][blocks]
  const int32_t* outliers = nullptr;  // columns
  int64_t outlier_count = 0;
  float* outlier_values = nullptr;  // [outlier_count / 16][rows][16], as packed left operands (tile-inl.h)

  int64_t block_rows = 0;  // a multiple of the tile's rows; the last block may have fewer
  int64_t blocks = 0;
  int64_t chunks = 0;
  int threads = 0;
  int64_t scratch_floats = 0;  // of each thread

  bool UsesBlocks() const { return job.weight->IsBlocks() && !unpack; }
  int64_t a_rows() const { return digits * job.rows; }
  // Of a row before its groups are widened for the kernel.
  int64_t row_bytes() const { return a_stride * kGroupBytes / kernel.row_group_bytes; }
  int64_t corrections_of_row() const { return UsesBlocks() ? job.weight->blocks : 1; }
};
DotPlan PlanDot(DotType type, const DotKernel& many, const DotKernel& few, int threads, const LinearJob& job);

// Tiles of a panel's rows beyond which its arithmetic takes far longer than reading the next one.
inline constexpr int64_t kMostAheadTiles = 8;

// What a thread reads after panel `panel` of a chunk (threads take chunks in turns), or null.
inline const uint8_t* NextPanel(const PanelWeight& weight, int64_t panel, int64_t chunk, int64_t chunks, int threads) {
  if (panel + 1 < PartBegin(weight.panels, chunks, chunk + 1)) return weight.panel(panel + 1);
  return chunk + threads < chunks ? weight.panel(PartBegin(weight.panels, chunks, chunk + threads)) : nullptr;
}

// Rows up to which reading weights takes longer than multiplying in float32.
inline constexpr int64_t kFewRows = 4;
// The same where there are products of bfloat16, by counting (docs/performance.md): rows aren't rounded up to there, so
// that as many answers side by side are those of each alone.
inline constexpr int64_t kFewRowsBesideBf16 = 8;
// Outlier columns that are taken out at most.
inline constexpr int64_t kMostOutliers = 64;

// Task t: part t % parts of the queries of head t / parts % heads of run t / parts / heads.
struct EncodePlan {
  const EncodeAttentionArgs* args = nullptr;
  int64_t parts = 0;
  float* received = nullptr;  // [tasks, max_tokens]: each task's share of the column sums, or null
  int64_t tasks = 0;
  int64_t scratch_floats = 0;
  DotKernel dot;  // of bfloat16; without a tile: float32 arithmetic
};
EncodePlan PlanEncode(int max_rows, const DotKernel* dot, int threads, const EncodeAttentionArgs& args);

// Queries [query_begin, query_end) of a sequence, all heads of one kv head, keys [key_begin, key_end).
struct PagedTask {
  int64_t sequence = 0;
  int64_t kv_head = 0;
  int64_t query_begin = 0;  // within the sequence
  int64_t query_end = 0;
  int64_t key_begin = 0;
  int64_t key_end = 0;
  int64_t split = -1;  // index of its partial result, -1: it writes y
  bool prompt = false;  // of a sequence with many queries
};

// Partial results [split, split + splits) of the same queries, to be merged into y.
struct PagedMerge {
  int64_t task = 0;  // one of them, for its queries
  int64_t splits = 0;
};

struct PagedPlan {
  const PagedAttentionArgs* args = nullptr;
  const PagedTask* tasks = nullptr;
  float* partial = nullptr;  // [splits][PartialFloats()]
  int64_t max_rows = 0;  // query rows of the largest task
  int64_t blocks_per_step = 0;  // cache blocks whose scores are held at a time
  int64_t padded_dim = 0;  // head_dim rounded up to whole vectors
  int64_t split_rows = 0;  // most query rows of a task that's split
  int64_t scratch_floats = 0;
  DotKernel dot;  // of bfloat16, for tasks that aren't split; without a tile: float32 arithmetic

  // Each row: its sum of probabilities, its maximum, padded_dim sums of values.
  int64_t PartialFloats() const { return split_rows * (padded_dim + 2); }
};

struct RotaryPlan {
  const RotaryStoreArgs* args = nullptr;
  const float* cosines = nullptr;  // [tokens, head_dim / 2]
  const float* sines = nullptr;
};

struct Kernels {
  int max_rows;  // of a register tile
  void (*linear)(const LinearPlan& plan, int64_t task, ThreadScratch& scratch);
  // Row `row` of x into plan.a; temp: [2 * inputs].
  void (*round_row)(const DotPlan& plan, int64_t row, float* temp);
  void (*dot_linear)(const DotPlan& plan, int64_t task, ThreadScratch& scratch);
  // largest[i] = max(largest[i], |x[i]|), i < n.
  void (*max_magnitudes)(const float* x, int64_t n, float* largest);
  void (*encode_attention)(const EncodePlan& plan, int64_t task, ThreadScratch& scratch);
  void (*encode_attention_dot)(const EncodePlan& plan, int64_t task, ThreadScratch& scratch);
  void (*paged_attention)(const PagedPlan& plan, int64_t task, ThreadScratch& scratch);
  void (*paged_attention_dot)(const PagedPlan& plan, int64_t task, ThreadScratch& scratch);
  void (*merge_attention)(const PagedPlan& plan, const PagedMerge& merge);
  void (*rotary_store)(const RotaryPlan& plan, int64_t token);
  // One row each; bias may be null (RMS norm otherwise uses the first).
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float epsilon, int64_t n, float* y);
  void (*rms_norm)(const float* x, const float* gain, float epsilon, int64_t n, float* y);
};

// nullptr if the kernels of this instruction set need more than the CPU has.
const Kernels* KernelsFor(Isa isa);

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_KERNELS_H_
