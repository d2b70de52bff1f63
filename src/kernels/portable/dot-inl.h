// Products in rounded arithmetic: rounding of rows, and from a tile's sums to outputs.
#if defined(EYESHOT_KERNELS_PORTABLE_DOT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EYESHOT_KERNELS_PORTABLE_DOT_INL_H_
#undef EYESHOT_KERNELS_PORTABLE_DOT_INL_H_
#else
#define EYESHOT_KERNELS_PORTABLE_DOT_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/portable/kernels.h"
#include "kernels/portable/linear-inl.h"
#include "kernels/portable/math-inl.h"
#include "kernels/portable/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eyeshot::portable::HWY_NAMESPACE {

// Of a row's 8-bit digits.
inline constexpr float kLargestDigit = 127.0f;
inline constexpr float kHighDigit = 128.0f;

struct RowSize {
  float largest;  // magnitude
  float crest;    // largest over root of the mean square
};

HWY_INLINE RowSize MeasureRow(const float* HWY_RESTRICT x, int64_t n) {
  const Floats d;
  Vec largest_lanes = hn::Zero(d);
  Vec square_lanes = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Vec v = hn::LoadU(d, x + i);
    largest_lanes = hn::Max(largest_lanes, hn::Abs(v));
    square_lanes = hn::MulAdd(v, v, square_lanes);
  }
  float largest = hn::GetLane(hn::MaxOfLanes(d, largest_lanes));
  float squares = hn::GetLane(hn::SumOfLanes(d, square_lanes));
  for (; i < n; ++i) {
    largest = std::max(largest, std::abs(x[i]));
    squares += x[i] * x[i];
  }
  // A maximum passes over NaN, a sum doesn't. A square that overflows says nothing of x.
  if (!(squares <= 3.4028235e38f)) {
    for (int64_t k = 0; k < n; ++k) {
      if (!(std::abs(x[k]) <= 3.4028235e38f)) return {NAN, NAN};
    }
  }
  return {largest, largest > 0 ? largest / std::sqrt(squares / static_cast<float>(n)) : 0.0f};
}

// x times the factors of a weight's inputs, in temp: [inputs]. x may be temp.
HWY_INLINE const float* ApplyInputFactors(const PanelWeight& weight, const float* x, float* temp) {
  const Floats d;
  const float* factors = weight.input_factors();
  int64_t i = 0;
  for (; i + kLanes <= weight.inputs; i += kLanes) {
    hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, factors + i)), d, temp + i);
  }
  for (; i < weight.inputs; ++i) temp[i] = x[i] * factors[i];
  return temp;
}

// The row without its outliers, which go to plan.outlier_values. temp: [inputs].
inline const float* TakeOutliers(const DotPlan& plan, int64_t row, const float* x, float* temp) {
  std::memcpy(temp, x, static_cast<size_t>(plan.job.weight->inputs) * sizeof(float));
  for (int64_t i = 0; i < RoundUp(plan.outlier_count, kGroup); ++i) {
    float& out = plan.outlier_values[(i / kGroup * plan.job.rows + row) * kGroup + i % kGroup];
    out = i < plan.outlier_count ? x[plan.outliers[i]] : 0.0f;
    if (i < plan.outlier_count) temp[plan.outliers[i]] = 0.0f;
  }
  return temp;
}

// x times `factor` as one 8-bit integer each.
HWY_INLINE void StoreDigit(const float* HWY_RESTRICT x, int64_t n, float factor, int8_t* HWY_RESTRICT out) {
  const Floats d;
  const hn::Rebind<int8_t, Floats> bytes;
  const Vec factors = hn::Set(d, factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(bytes, hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), factors))), bytes, out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<int8_t>(std::lrintf(x[i] * factor));
}

// As two: high times 128 plus low, low in [-64, 63].
HWY_INLINE void StoreTwoDigits(const float* HWY_RESTRICT x, int64_t n, float factor, int8_t* HWY_RESTRICT low,
                               int8_t* HWY_RESTRICT high) {
  const Floats d;
  const Ints di;
  const hn::Rebind<int8_t, Floats> bytes;
  const Vec factors = hn::Set(d, factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto value = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), factors));
    const auto upper = hn::ShiftRight<7>(hn::Add(value, hn::Set(di, 64)));
    hn::StoreU(hn::DemoteTo(bytes, upper), bytes, high + i);
    hn::StoreU(hn::DemoteTo(bytes, hn::Sub(value, hn::ShiftLeft<7>(upper))), bytes, low + i);
  }
  for (; i < n; ++i) {
    const auto value = static_cast<int32_t>(std::lrintf(x[i] * factor));
    const int32_t upper = (value + 64) >> 7;
    high[i] = static_cast<int8_t>(upper);
    low[i] = static_cast<int8_t>(value - upper * 128);
  }
}

// The corrections of one row of plan.a: `bytes` before they were widened.
HWY_INLINE void StoreCorrections(const DotPlan& plan, int64_t a_row, const int8_t* bytes) {
  const int64_t parts = plan.corrections_of_row();
  const int64_t length = plan.UsesBlocks() ? kBlockInputs : plan.row_bytes();
  for (int64_t part = 0; part < parts; ++part, bytes += length) {
    int32_t sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += bytes[i];
    plan.corrections[a_row * parts + part] = plan.kernel.offset * sum;
  }
}

// A row's groups as DotKernel::row_group_bytes of 8 wants them: 2 * count bytes, of which `bytes` may be the second
// half.
HWY_INLINE void WidenGroups(const int8_t* bytes, int64_t count, uint8_t* out) {
  const hn::ScalableTag<int16_t> d;
  const hn::Rebind<int8_t, decltype(d)> narrow;
  const hn::Repartition<uint8_t, decltype(d)> d8;
  alignas(16) static constexpr uint8_t kOrder[16] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
  const auto order = hn::LoadDup128(d8, kOrder);
  for (int64_t i = 0; i < count; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto wide = hn::BitCast(d8, hn::PromoteTo(d, hn::LoadU(narrow, bytes + i)));
    hn::StoreU(hn::TableLookupBytes(wide, order), d8, out + 2 * i);
  }
}

// A row with a NaN or an infinity gets the scale NaN, and so do all its outputs.
inline void RoundInt8Row(const DotPlan& plan, int64_t row, float* temp) {
  const int64_t n = plan.job.weight->inputs;
  const float* x = plan.job.x.read(plan.job.x.context, row, temp);
  if (plan.job.weight->format == WeightFormat::kInt8) x = ApplyInputFactors(*plan.job.weight, x, temp);
  if (plan.outlier_count > 0) x = TakeOutliers(plan, row, x, temp + n);
  const RowSize size = MeasureRow(x, n);
  const float largest_integer = plan.digits == 2 ? kLargestDigit * kHighDigit : kLargestDigit;
  const float factor = size.largest > 0 ? largest_integer / size.largest : 0.0f;  // 0 also for NaN
  plan.scales[row] = size.largest / largest_integer;
  plan.crests[row] = size.crest;
  uint8_t* out = plan.a + row * plan.digits * plan.a_stride;
  const bool wide = plan.row_bytes() < plan.a_stride;
  auto* first = reinterpret_cast<int8_t*>(out + plan.a_stride - plan.row_bytes());
  if (!(size.largest > 0) || !std::isfinite(factor)) {
    std::memset(out, 0, static_cast<size_t>(plan.digits * plan.a_stride));
  } else if (plan.digits == 2) {
    StoreTwoDigits(x, n, factor, first, first + plan.a_stride);
  } else {
    StoreDigit(x, n, factor, first);
  }
  for (int64_t digit = 0; digit < plan.digits; ++digit) {
    int8_t* bytes = first + digit * plan.a_stride;
    std::memset(bytes + n, 0, static_cast<size_t>(plan.row_bytes() - n));
    StoreCorrections(plan, row * plan.digits + digit, bytes);
    if (wide) WidenGroups(bytes, plan.row_bytes(), out + digit * plan.a_stride);
  }
}

inline void RoundRow(const DotPlan& plan, int64_t row, float* temp) {
  if (plan.type == DotType::kInt8) {
    RoundInt8Row(plan, row, temp);
    return;
  }
  const int64_t n = plan.job.weight->inputs;
  auto* out = reinterpret_cast<uint16_t*>(plan.a + row * plan.a_stride);
  StoreBf16(plan.job.x.read(plan.job.x.context, row, temp), n, 1.0f, out);
  std::fill(out + n, out + plan.a_stride / 2, uint16_t{0});
}

inline void MaxMagnitudes(const float* HWY_RESTRICT x, int64_t n, float* HWY_RESTRICT largest) {
  const Floats d;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Max(hn::LoadU(d, largest + i), hn::Abs(hn::LoadU(d, x + i))), d, largest + i);
  }
  for (; i < n; ++i) largest[i] = std::max(largest[i], std::abs(x[i]));
}

// 8-bit integers plus 128 of a row of groups -> rounded to the scales that the factors lead to.
HWY_INLINE void RescaleGroups(const uint8_t* HWY_RESTRICT bytes, const float* HWY_RESTRICT factors,
                              uint8_t* HWY_RESTRICT out) {
  const Floats d;
  const Ints di;
  const hn::Rebind<uint8_t, Ints> d8;
  const Vec zero = hn::Set(d, 128.0f);
  for (int64_t i = 0; i < kGroupRowBytes; i += kLanes) {
    const Vec value = hn::Sub(hn::ConvertTo(d, hn::PromoteTo(di, hn::LoadU(d8, bytes + i))), zero);
    const Vec scaled = hn::MulAdd(value, hn::LoadU(d, factors + i), zero);
    hn::StoreU(hn::DemoteTo(d8, hn::NearestInt(scaled)), d8, out + i);
  }
}

// The two halves of each byte of a row of groups -> the bytes that they stand for.
HWY_INLINE void LookUpHalves(const uint8_t* HWY_RESTRICT pairs, const uint8_t* code_bytes, uint8_t* HWY_RESTRICT low,
                             uint8_t* HWY_RESTRICT high) {
  const hn::ScalableTag<uint8_t> d;
  const auto table = hn::LoadDup128(d, code_bytes);
  for (int64_t i = 0; i < kGroupRowBytes; i += static_cast<int64_t>(hn::Lanes(d))) {
    const auto pair = hn::LoadU(d, pairs + i);
    hn::StoreU(hn::TableLookupBytes(table, hn::And(pair, hn::Set(d, uint8_t{15}))), d, low + i);
    hn::StoreU(hn::TableLookupBytes(table, hn::ShiftRight<4>(pair)), d, high + i);
  }
}

// A panel of blocks -> one of kInt8, whose scales it has beside it: [groups][32][4].
inline void UnpackPanel(const PanelWeight& weight, int64_t panel, uint8_t* HWY_RESTRICT out) {
  const bool nibbles = weight.format != WeightFormat::kQ8;
  const int64_t code_rows = nibbles ? kBlockGroups / 2 : kBlockGroups;
  const uint8_t* codes = weight.panel(panel);
  const float* scales = weight.scales(panel);
  HWY_ALIGN uint8_t code_bytes[16];
  std::memcpy(code_bytes, CodeBytes(weight.format).data(), sizeof(code_bytes));
  for (int64_t b = 0; b < weight.blocks; ++b, out += kBlockGroups * kGroupRowBytes) {
    const uint8_t* halves = codes + code_rows * kGroupRowBytes;
    HWY_ALIGN float factors[kGroupRowBytes];
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      uint16_t half;
      std::memcpy(&half, halves + j * 2, sizeof(half));
      const float factor = scales[j] == 0 ? 0.0f : F32FromF16(half) / scales[j];
      std::fill_n(factors + j * kGroupBytes, kGroupBytes, factor);
    }
    for (int64_t g = 0; g < code_rows; ++g) {
      const uint8_t* row = codes + g * kGroupRowBytes;
      uint8_t* low = out + g * kGroupRowBytes;
      if (!nibbles) {
        RescaleGroups(row, factors, low);
        continue;
      }
      HWY_ALIGN uint8_t bytes[2][kGroupRowBytes];
      LookUpHalves(row, code_bytes, bytes[0], bytes[1]);
      RescaleGroups(bytes[0], factors, low);
      RescaleGroups(bytes[1], factors, low + code_rows * kGroupRowBytes);
    }
    codes = halves + kBlockScaleBytes;
  }
  const int64_t rest = weight.groups - weight.blocks * kBlockGroups;
  std::memset(out, 128, static_cast<size_t>(rest * kGroupRowBytes));
}

// Integer sums of a tile's rows (of plan.a, from row `first` on) and a panel -> float32 rows of x. Returns their
// number.
HWY_INLINE int64_t ScaleTile(const DotPlan& plan, const int32_t* sums, int64_t first, int64_t rows, const float* scales,
                             float* out) {
  const Floats d;
  const Ints di;
  const auto load = [&](int64_t r, int64_t j) HWY_ATTR {
    const auto correction = hn::Set(di, plan.corrections[first + r]);
    return hn::ConvertTo(d, hn::Sub(hn::LoadU(di, sums + r * kPanelColumns + j), correction));
  };
  for (int64_t r = 0; r < rows; r += plan.digits, out += kPanelColumns) {
    const Vec row_scale = hn::Set(d, plan.scales[(first + r) / plan.digits]);
    for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
      Vec sum = load(r, j);
      if (plan.digits == 2) sum = hn::MulAdd(hn::Set(d, kHighDigit), load(r + 1, j), sum);
      hn::StoreU(hn::Mul(sum, hn::Mul(row_scale, hn::LoadU(d, scales + j))), d, out + j);
    }
  }
  return rows / plan.digits;
}

// The same for sums of block tiles, whose scales are applied already: two digits for each row.
HWY_INLINE int64_t JoinDigits(const DotPlan& plan, const float* sums, int64_t first, int64_t rows, float* out) {
  const Floats d;
  for (int64_t r = 0; r < rows; r += 2, sums += 2 * kPanelColumns, out += kPanelColumns) {
    const Vec row_scale = hn::Set(d, plan.scales[(first + r) / 2]);
    for (int64_t j = 0; j < kPanelColumns; j += kLanes) {
      const Vec high = hn::LoadU(d, sums + kPanelColumns + j);
      const Vec sum = hn::MulAdd(hn::Set(d, kHighDigit), high, hn::LoadU(d, sums + j));
      hn::StoreU(hn::Mul(sum, row_scale), d, out + j);
    }
  }
  return rows / 2;
}

// The weights of the outlier columns, in float32: [outlier_count rounded up to 16][32].
inline void OutlierWeights(const DotPlan& plan, int64_t panel, float* out) {
  for (int64_t i = 0; i < RoundUp(plan.outlier_count, kGroup); ++i, out += kPanelColumns) {
    if (i < plan.outlier_count) {
      ReadPanelInput(*plan.job.weight, panel, plan.outliers[i], out);
    } else {
      std::fill_n(out, kPanelColumns, 0.0f);
    }
  }
}

// values += outliers of rows times their weights.
inline void AddOutliers(const DotPlan& plan, const float* weights, int64_t first, int64_t rows, float* values) {
  for (int64_t i = 0; i < plan.outlier_count; i += kGroup, weights += kGroup * kPanelColumns) {
    const float* left = plan.outlier_values + (i / kGroup * plan.job.rows + first) * kGroup;
    for (int64_t r = 0; r < rows; r += kMaxRows) {
      const int64_t count = std::min<int64_t>(kMaxRows, rows - r);
      const auto tile = TileOf<FloatColumns<2>>(count);
      for (int64_t j = 0; j < kPanelColumns; j += 2 * kLanes) {
        tile(left + r * kGroup, weights + j, kPanelColumns, kGroup,
             {values + r * kPanelColumns + j, kPanelColumns, kGroup, true}, {});
      }
    }
  }
}

// A panel as the tiles want it, and what goes with it.
struct DotPanel {
  int64_t index;
  const uint8_t* bytes;
  const float* scales;           // of integers
  const float* outlier_weights;
  const uint8_t* next;  // the weights after it, or null
};

// Rows [first, first + rows) of plan.a times a panel, as float32 rows of x in `values`. Returns their number.
HWY_INLINE int64_t MultiplyTile(const DotPlan& plan, const DotPanel& panel, int64_t first, int64_t rows, Ahead ahead,
                                void* sums, float* values) {
  const uint8_t* a = plan.a + first * plan.a_stride;
  const PanelWeight& weight = *plan.job.weight;
  if (plan.UsesBlocks()) {
    auto* float_sums = static_cast<float*>(sums);
    for (int64_t r = 0; r < rows; r += kBlockTileRows) {
      const int64_t count = std::min(kBlockTileRows, rows - r);
      plan.kernel.block_tile({a + r * plan.a_stride, plan.a_stride, plan.corrections + (first + r) * weight.blocks,
                              panel.bytes, weight.blocks,
                              weight.format == WeightFormat::kQ8 ? nullptr : CodeBytes(weight.format).data(), count,
                              float_sums + r * kPanelColumns, ahead.Take(count, rows - r)});
    }
    return JoinDigits(plan, float_sums, first, rows, values);
  }
  plan.kernel.tile(
      {a, plan.a_stride, panel.bytes, weight.groups, rows, plan.type == DotType::kBf16 ? values : sums, ahead});
  if (plan.type == DotType::kBf16) return rows;
  const int64_t count = ScaleTile(plan, static_cast<const int32_t*>(sums), first, rows, panel.scales, values);
  if (plan.outlier_count > 0) AddOutliers(plan, panel.outlier_weights, first, rows, values);
  return count;
}

template <bool kGated>
void MultiplyDotPanel(const DotPlan& plan, const DotPanel& panel, int64_t row_begin, int64_t row_end) {
  alignas(64) int32_t sums[kMostDotRows * kPanelColumns];
  alignas(64) float values[kMostDotRows * kPanelColumns];
  // Few rows wait for memory. All of their tiles ask for a share of the next panel, so that it's read at an even pace,
  // not while the first rows meet a panel and then no more.
  const int64_t tiles = DivideUp(row_end - row_begin, plan.kernel.max_rows);
  Ahead ahead;
  if (tiles <= kMostAheadTiles && panel.next != nullptr) ahead = {panel.next, plan.job.weight->panel_bytes};
  for (int64_t first = row_begin; first < row_end; first += plan.kernel.max_rows) {
    const int64_t rows = std::min<int64_t>(plan.kernel.max_rows, row_end - first);
    const int64_t x_row = first / plan.digits;
    PrefetchResidual<kGated>(plan.job, x_row, rows / plan.digits, panel.index);
    const int64_t count = MultiplyTile(plan, panel, first, rows, ahead.Take(rows, row_end - first), sums, values);
    FinishTile<kGated>(plan.job, values, x_row, count, panel.index);
  }
}

inline void DotTask(const DotPlan& plan, int64_t task, ThreadScratch& scratch) {
  const PanelWeight& weight = *plan.job.weight;
  const DotScope scope(plan.kernel);
  const int64_t row_begin = task / plan.chunks * plan.block_rows;
  const int64_t row_end = std::min(plan.a_rows(), row_begin + plan.block_rows);
  const int64_t chunk = task % plan.chunks;
  const int64_t end = PartBegin(weight.panels, plan.chunks, chunk + 1);
  auto* unpacked = reinterpret_cast<uint8_t*>(scratch.data);
  float* outlier_weights = scratch.data + (plan.unpack ? weight.groups * kPanelColumns : 0);
  for (int64_t i = PartBegin(weight.panels, plan.chunks, chunk); i < end; ++i) {
    DotPanel panel = {i, weight.panel(i), weight.IsFloat() ? nullptr : weight.scales(i), outlier_weights,
                      NextPanel(weight, i, chunk, plan.chunks, plan.threads)};
    if (plan.unpack) {
      UnpackPanel(weight, i, unpacked);
      panel.bytes = unpacked;
    }
    if (plan.outlier_count > 0) OutlierWeights(plan, i, outlier_weights);
    if (weight.gated) {
      MultiplyDotPanel<true>(plan, panel, row_begin, row_end);
    } else {
      MultiplyDotPanel<false>(plan, panel, row_begin, row_end);
    }
  }
}

}  // namespace eyeshot::portable::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // EYESHOT_KERNELS_PORTABLE_DOT_INL_H_
