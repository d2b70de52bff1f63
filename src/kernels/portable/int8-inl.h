// 8-bit matrix products: rounding of activations, and from integer sums to outputs.
#if defined(EYESHOT_KERNELS_PORTABLE_INT8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_INT8_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_INT8_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_INT8_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/portable/kernels.h"
#include "kernels/portable/linear-inl.h"
#include "kernels/portable/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// Row `row` of the left operand: its largest magnitude becomes 127. A row with a NaN or an infinity gets the scale NaN,
// and so do all its outputs.
inline void QuantizeRow(const Int8Plan& plan, int64_t row, float* temp) {
  const Floats d;
  const hn::Rebind<int32_t, Floats> ints;
  const hn::Rebind<int8_t, Floats> bytes;
  const int64_t n = plan.weight->inputs;
  const float* x = plan.linear.x.read(plan.linear.x.context, row, temp);
  int8_t* out = plan.a + row * plan.a_stride;

  Vec largest_lanes = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) largest_lanes = hn::Max(largest_lanes, hn::Abs(hn::LoadU(d, x + i)));
  float largest = hn::GetLane(hn::MaxOfLanes(d, largest_lanes));
  bool finite = true;
  for (int64_t k = i; k < n; ++k) largest = std::max(largest, std::abs(x[k]));
  for (int64_t k = 0; k < n; ++k) finite &= std::abs(x[k]) <= 3.4028235e38f;
  const float scale = largest / 127.0f;
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  plan.scales[row] = finite ? scale : NAN;

  auto sums = hn::Zero(ints);
  const Vec factor = hn::Set(d, finite ? inverse : 0.0f);
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), factor));
    sums = hn::Add(sums, rounded);
    hn::StoreU(hn::DemoteTo(bytes, rounded), bytes, out + i);
  }
  int32_t sum = hn::GetLane(hn::SumOfLanes(ints, sums));
  for (; i < n; ++i) {
    const auto rounded = static_cast<int32_t>(std::lrintf(finite ? x[i] * inverse : 0.0f));
    sum += rounded;
    out[i] = static_cast<int8_t>(rounded);
  }
  for (; i < plan.a_stride; ++i) out[i] = 0;
  plan.corrections[row] = 128 * sum;
}

// Integer sums of a tile's rows and a panel -> float32.
HWY_INLINE void ScaleTile(const Int8Plan& plan, const int32_t* sums, int64_t first, int64_t rows, const float* scales,
                          float* out) {
  const Floats d;
  const hn::Rebind<int32_t, Floats> ints;
  for (int64_t r = 0; r < rows; ++r) {
    const Vec row_scale = hn::Set(d, plan.scales[first + r]);
    const auto correction = hn::Set(ints, plan.corrections[first + r]);
    for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
      const auto sum = hn::Sub(hn::LoadU(ints, sums + r * kPanelColumns + j), correction);
      const Vec scale = hn::Mul(row_scale, hn::LoadU(d, scales + j));
      hn::StoreU(hn::Mul(hn::ConvertTo(d, sum), scale), d, out + r * kPanelColumns + j);
    }
  }
}

inline void Int8Task(const Int8Plan& plan, int64_t task) {
  constexpr int64_t kMostRows = 16;
  HWY_ALIGN int32_t sums[kMostRows * kPanelColumns];
  HWY_ALIGN float scaled[kMostRows * kPanelColumns];
  const int64_t block = task / plan.chunks;
  const int64_t chunk = task % plan.chunks;
  const int64_t row_begin = block * plan.block_rows;
  const int64_t row_end = std::min(plan.linear.rows, row_begin + plan.block_rows);
  const int64_t panel_end = PartBegin(plan.weight_panels, plan.chunks, chunk + 1);
  for (int64_t panel = PartBegin(plan.weight_panels, plan.chunks, chunk); panel < panel_end; ++panel) {
    for (int64_t first = row_begin; first < row_end; first += plan.kernels.max_rows) {
      const int64_t rows = std::min<int64_t>(plan.kernels.max_rows, row_end - first);
      plan.kernels.tile(plan.a + first * plan.a_stride, plan.a_stride, plan.weight->panel(panel), plan.weight->groups(),
                        rows, sums);
      ScaleTile(plan, sums, first, rows, plan.weight->scales(panel), scaled);
      if (plan.weight->gated) {
        FinishTile<true>(plan.linear, scaled, first, rows, panel);
      } else {
        FinishTile<false>(plan.linear, scaled, first, rows, panel);
      }
    }
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_INT8_INL_H_
