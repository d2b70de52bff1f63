// Matrix products with their epilogues.
#if defined(EYESHOT_KERNELS_PORTABLE_LINEAR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_LINEAR_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_LINEAR_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_LINEAR_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/portable/kernels.h"
#include "kernels/portable/math-inl.h"
#include "kernels/portable/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// What the epilogue does with one row of a tile: `columns` outputs from `column` on.
struct EpilogueRow {
  const float* sums;      // [32]
  const float* bias;      // [columns] or null
  const float* residual;  // [columns] or null
  float* y;               // [columns]
};

// Whole panels: all pointers may be read and written for kColumns columns.
template <bool kGated>
HWY_INLINE void FinishRow(const EpilogueRow& row, Activation activation) {
  constexpr int kColumns = kGated ? kGatedColumns : kPanelColumns;
  const Floats d;
  for (int j = 0; j < kColumns; j += kLanes) {
    Vec value = hn::LoadU(d, row.sums + j);
    if (kGated) value = hn::Mul(Silu(value), hn::LoadU(d, row.sums + kGatedColumns + j));
    if (row.bias != nullptr) value = hn::Add(value, hn::LoadU(d, row.bias + j));
    if (activation == Activation::kGeluTanh) value = GeluTanh(value);
    if (activation == Activation::kGelu) value = Gelu(value);
    if (row.residual != nullptr) value = hn::Add(value, hn::LoadU(d, row.residual + j));
    hn::StoreU(value, d, row.y + j);
  }
}

// The last panel, of which only `columns` outputs exist: the same through padded copies.
template <bool kGated>
void FinishPartialRow(EpilogueRow row, Activation activation, int64_t columns) {
  const auto bytes = static_cast<size_t>(columns) * sizeof(float);
  float bias[kPanelColumns] = {};
  float residual[kPanelColumns] = {};
  float y[kPanelColumns];
  if (row.bias != nullptr) std::memcpy(bias, row.bias, bytes);
  if (row.residual != nullptr) std::memcpy(residual, row.residual, bytes);
  FinishRow<kGated>({row.sums, bias, residual, y}, activation);
  std::memcpy(row.y, y, bytes);
}

template <bool kGated>
void FinishTile(const LinearJob& job, const float* sums, int64_t row_begin, int64_t rows, int64_t panel) {
  constexpr int64_t kColumns = kGated ? kGatedColumns : kPanelColumns;
  const int64_t column = panel * kColumns;
  const int64_t columns = std::min(kColumns, job.weight->outputs - column);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = row_begin + r;
    const EpilogueRow epilogue = {sums + r * kPanelColumns, job.bias == nullptr ? nullptr : job.bias + column,
                                  job.residual.empty() ? nullptr : job.residual.Row<float>(row) + column,
                                  job.y.Row<float>(row) + column};
    if (columns == kColumns) {
      FinishRow<kGated>(epilogue, job.activation);
    } else {
      FinishPartialRow<kGated>(epilogue, job.activation, columns);
    }
  }
}

// A tile's rows of the residual lie far apart, where no hardware prefetcher finds them. Asked for before the tile is
// computed (2.5 us at 768 inputs), they are there when it's done.
template <bool kGated>
HWY_INLINE void PrefetchResidual(const LinearJob& job, int64_t row_begin, int64_t rows, int64_t panel) {
  constexpr int64_t kColumns = kGated ? kGatedColumns : kPanelColumns;
  if (job.residual.empty()) return;
  for (int64_t row = row_begin; row < row_begin + rows; ++row) {
    PrefetchRead(job.residual.Row<float>(row) + panel * kColumns, kColumns);
  }
}

// A block's part of a thread's scratch.
struct LinearBlock {
  LinearBlock(const LinearPlan& plan_in, int64_t block, const ThreadScratch& scratch)
      : plan(plan_in),
        panel_begin(PartBegin(plan.row_panels, plan.blocks, block)),
        panel_end(PartBegin(plan.row_panels, plan.blocks, block + 1)),
        row_begin(PanelRow(panel_begin)),
        temp(scratch.data),
        packed(temp + RoundUp(plan.job.weight->inputs, kGroup)),
        sums(packed + plan.block_rows * RoundUp(plan.job.weight->inputs, kGroup)) {}

  int64_t PanelRow(int64_t panel) const { return PartBegin(plan.job.rows, plan.row_panels, panel); }
  // The rows of a row panel, packed: slab by slab, panel by panel.
  float* Packed(int64_t slab, int64_t row) const {
    return packed + slab * plan.slab_depth * plan.block_rows + (row - row_begin) * SlabDepth(slab);
  }
  // Of the packed layout, so a multiple of kGroup.
  int64_t SlabDepth(int64_t slab) const {
    return std::min(plan.slab_depth, RoundUp(plan.job.weight->inputs, kGroup) - slab * plan.slab_depth);
  }

  const LinearPlan& plan;
  int64_t panel_begin;  // of row panels
  int64_t panel_end;
  int64_t row_begin;
  float* temp;    // a row being made
  float* packed;  // [slabs][row panels][slab_depth / 16][rows][16]
  float* sums;    // [strip_panels][rows][32]
};

inline void PackBlock(const LinearBlock& block) {
  const LinearPlan& plan = block.plan;
  const int64_t depth = plan.job.weight->inputs;
  for (int64_t panel = block.panel_begin; panel < block.panel_end; ++panel) {
    const int64_t first = block.PanelRow(panel);
    const int64_t rows = block.PanelRow(panel + 1) - first;
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = plan.job.x.read(plan.job.x.context, first + r, block.temp);
      for (int64_t slab = 0; slab < plan.slabs; ++slab) {
        const int64_t begin = slab * plan.slab_depth;
        PackRow(row + begin, std::min(plan.slab_depth, depth - begin), 1.0f, rows, r, block.Packed(slab, first));
      }
    }
  }
}

// One slab of a block's rows times one weight panel; after the last slab, the epilogue. next: the weights after the
// panel's, or null.
template <bool kGated, template <int> class ColumnsOf>
void MultiplyPanel(const LinearBlock& block, int64_t slab, int64_t panel, const uint8_t* next, float* sums) {
  using Columns = ColumnsOf<1>;
  const LinearPlan& plan = block.plan;
  const int64_t begin = slab * plan.slab_depth;
  const int64_t depth = std::min(plan.slab_depth, plan.job.weight->inputs - begin);
  const uint8_t* words = plan.job.weight->panel(panel) + begin / Columns::kDepth * kGroupRowBytes;
  const bool last = slab + 1 == plan.slabs;
  Ahead ahead = {words, 0};
  if (next != nullptr) ahead = {next, plan.job.weight->panel_bytes};
  for (int64_t row_panel = block.panel_begin; row_panel < block.panel_end; ++row_panel) {
    const int64_t first = block.PanelRow(row_panel);
    const int64_t rows = block.PanelRow(row_panel + 1) - first;
    float* tile_sums = sums + (plan.slabs == 1 ? 0 : (first - block.row_begin) * kPanelColumns);
    if (last) PrefetchResidual<kGated>(plan.job, first, rows, panel);
    Ahead tile_ahead = ahead.Take(1, block.panel_end - row_panel);
    for (int64_t i = 0; i < kPanelColumns;) {
      i += kLanes * MultiplyColumns<ColumnsOf>(rows, (kPanelColumns - i) / kLanes, block.Packed(slab, first),
                                               reinterpret_cast<const typename Columns::Element*>(words) + i,
                                               kPanelColumns, depth, {tile_sums + i, kPanelColumns, kGroup, slab > 0},
                                               tile_ahead);
    }
    if (last) FinishTile<kGated>(plan.job, tile_sums, first, rows, panel);
  }
}

template <bool kGated, template <int> class ColumnsOf>
void MultiplyBlock(const LinearBlock& block, int64_t chunk) {
  const LinearPlan& plan = block.plan;
  const int64_t end = PartBegin(plan.job.weight->panels, plan.chunks, chunk + 1);
  for (int64_t strip = PartBegin(plan.job.weight->panels, plan.chunks, chunk); strip < end;
       strip += plan.strip_panels) {
    const int64_t strip_end = std::min(end, strip + plan.strip_panels);
    for (int64_t slab = 0; slab < plan.slabs; ++slab) {
      for (int64_t panel = strip; panel < strip_end; ++panel) {
        const uint8_t* next = NextPanel(*plan.job.weight, panel, chunk, plan.chunks, plan.threads);
        MultiplyPanel<kGated, ColumnsOf>(block, slab, panel, next,
                                         block.sums + (panel - strip) * plan.block_rows * kPanelColumns);
      }
    }
  }
}

template <template <int> class ColumnsOf>
void MultiplyChunk(const LinearBlock& block, int64_t chunk) {
  if (block.plan.job.weight->gated) {
    MultiplyBlock<true, ColumnsOf>(block, chunk);
  } else {
    MultiplyBlock<false, ColumnsOf>(block, chunk);
  }
}

inline void LinearTask(const LinearPlan& plan, int64_t task, ThreadScratch& scratch) {
  const int64_t index = task / plan.chunks;
  const LinearBlock block(plan, index, scratch);
  if (scratch.packed != index) {
    PackBlock(block);
    scratch.packed = index;
  }
  if (plan.job.weight->IsFloat32()) {
    MultiplyChunk<FloatColumns>(block, task % plan.chunks);
  } else if (plan.slabs == 1 && plan.row_panels > 1 && plan.row_panels <= kMostAheadTiles) {
    // A panel that is passed once is read evenly anyway, and hardware prefetchers do it as well.
    MultiplyChunk<StreamedPanelColumns>(block, task % plan.chunks);
  } else {
    MultiplyChunk<PanelColumns>(block, task % plan.chunks);
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_LINEAR_INL_H_
