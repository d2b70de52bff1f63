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
  constexpr int kColumns = kGated ? kPanelWords : kPanelColumns;
  const Floats d;
  for (int j = 0; j < kColumns; j += kLanes) {
    Vec value = hn::LoadU(d, row.sums + j);
    if (kGated) value = hn::Mul(Silu(value), hn::LoadU(d, row.sums + kPanelWords + j));
    if (row.bias != nullptr) value = hn::Add(value, hn::LoadU(d, row.bias + j));
    if (activation == Activation::kGeluTanh) value = GeluTanh(value);
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
void FinishTile(const LinearPlan& plan, const float* sums, int64_t row_begin, int64_t rows, int64_t panel) {
  constexpr int64_t kColumns = kGated ? kPanelWords : kPanelColumns;
  const int64_t column = panel * kColumns;
  const int64_t columns = std::min(kColumns, plan.weight->outputs - column);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = row_begin + r;
    const EpilogueRow epilogue = {sums + r * kPanelColumns, plan.bias == nullptr ? nullptr : plan.bias + column,
                                  plan.residual.empty() ? nullptr : plan.residual.Row<float>(row) + column,
                                  plan.y.Row<float>(row) + column};
    if (columns == kColumns) {
      FinishRow<kGated>(epilogue, plan.activation);
    } else {
      FinishPartialRow<kGated>(epilogue, plan.activation, columns);
    }
  }
}

// Packs the rows of row panels [begin, end), each as a left operand of its own.
inline void PackBlock(const LinearPlan& plan, int64_t begin, int64_t end, ThreadScratch& scratch) {
  const int64_t depth = plan.weight->inputs;
  float* temp = scratch.data;
  float* out = scratch.data + RoundUp(depth, kGroup);
  for (int64_t panel = begin; panel < end; ++panel) {
    const int64_t first = PartBegin(plan.rows, plan.row_panels, panel);
    const int64_t rows = PartBegin(plan.rows, plan.row_panels, panel + 1) - first;
    for (int64_t r = 0; r < rows; ++r) {
      PackRow(plan.x.read(plan.x.context, first + r, temp), depth, 1.0f, rows, r, out);
    }
    out += rows * RoundUp(depth, kGroup);
  }
}

template <bool kGated>
void MultiplyBlock(const LinearPlan& plan, int64_t block, int64_t chunk, const ThreadScratch& scratch) {
  const int64_t depth = plan.weight->inputs;
  const int64_t row_panel_begin = PartBegin(plan.row_panels, plan.blocks, block);
  const int64_t row_panel_end = PartBegin(plan.row_panels, plan.blocks, block + 1);
  const int64_t panel_end = PartBegin(plan.weight_panels, plan.chunks, chunk + 1);
  HWY_ALIGN float sums[kMaxRows * kPanelColumns];
  for (int64_t panel = PartBegin(plan.weight_panels, plan.chunks, chunk); panel < panel_end; ++panel) {
    const uint32_t* words = plan.weight->panels() + panel * depth * kPanelWords;
    const float* packed = scratch.data + RoundUp(depth, kGroup);
    for (int64_t row_panel = row_panel_begin; row_panel < row_panel_end; ++row_panel) {
      const int64_t first = PartBegin(plan.rows, plan.row_panels, row_panel);
      const int64_t rows = PartBegin(plan.rows, plan.row_panels, row_panel + 1) - first;
      const auto tile = TileOf<PanelColumns>(rows);
      for (int64_t i = 0; i < kPanelWords; i += kLanes) {
        tile(packed, words + i, kPanelWords, depth, {sums + i, kPanelColumns, kGroup, false});
      }
      FinishTile<kGated>(plan, sums, first, rows, panel);
      packed += rows * RoundUp(depth, kGroup);
    }
  }
}

inline void LinearTask(const LinearPlan& plan, int64_t task, ThreadScratch& scratch) {
  const int64_t block = task / plan.chunks;
  if (scratch.packed != block) {
    PackBlock(plan, PartBegin(plan.row_panels, plan.blocks, block), PartBegin(plan.row_panels, plan.blocks, block + 1),
              scratch);
    scratch.packed = block;
  }
  if (plan.weight->gated) {
    MultiplyBlock<true>(plan, block, task % plan.chunks, scratch);
  } else {
    MultiplyBlock<false>(plan, block, task % plan.chunks, scratch);
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_LINEAR_INL_H_
