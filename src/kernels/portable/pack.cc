// From tensors of a checkpoint to packed weights, and back for a single row.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cpu_backend.h"
#include "kernels/portable/kernels.h"
#include "kernels/portable/weights.h"
#include "tensor/dtype.h"

namespace eyeshot::portable {
namespace {

// Inputs that are packed at a time: 32 rows of 256 bytes (8 KB) and their 8 KB of words stay in L1, and each row
// gives four whole cache lines to the prefetcher.
constexpr int64_t kChunk = 128;
// Of sources with blocks, whose largest that is.
constexpr int64_t kBlockChunk = 256;

constexpr int kZero = 128;  // of 8-bit integers as they are stored
constexpr float kLargest = 127.0f;

int64_t InputsOfGroup(WeightFormat format) {
  switch (format) {
    case WeightFormat::kFloat32: return 1;
    case WeightFormat::kExact:
    case WeightFormat::kBf16: return 2;
    default: return kGroupBytes;
  }
}

int64_t BlockBytes(WeightFormat format) {
  const int64_t codes = format == WeightFormat::kQ8 ? kBlockInputs : kBlockInputs / 2;
  return codes * kPanelColumns + kBlockScaleBytes;
}

// A row of a source tensor; data == nullptr is a row of zeros.
struct SourceRow {
  const uint8_t* data = nullptr;
  DType dtype = DType::kBF16;
};
using PanelRows = std::array<SourceRow, kPanelColumns>;

// The element that lies `elements` behind the row's first. REQUIRES: a whole number of blocks.
const uint8_t* At(const SourceRow& row, int64_t elements) {
  return row.data + BytesOf(row.dtype, static_cast<size_t>(elements));
}

// `count` elements of a row from element `begin` on.
void ReadFloats(const SourceRow& row, int64_t begin, int64_t count, float* out) {
  if (row.data == nullptr) {
    std::fill_n(out, count, 0.0f);
  } else {
    ConvertToF32(row.dtype, At(row, begin), static_cast<size_t>(count), out);
  }
}

// The same as bfloat16; at most kBlockChunk.
void ReadBf16(const SourceRow& row, int64_t begin, int64_t count, uint16_t* out) {
  if (row.data != nullptr && row.dtype == DType::kBF16) {
    std::memcpy(out, At(row, begin), static_cast<size_t>(count) * sizeof(uint16_t));
    return;
  }
  std::array<float, kBlockChunk> floats;
  ReadFloats(row, begin, count, floats.data());
  std::transform(floats.begin(), floats.begin() + count, out, Bf16FromF32);
}

// Output `row` of the parts stacked on each other.
SourceRow FindRow(const LinearSource& source, int64_t inputs, int64_t row) {
  for (const HostTensor& part : source.parts) {
    const int64_t rows = part.elements() / inputs;
    if (row < rows) {
      return {At({part.data, part.dtype}, row * inputs), part.dtype};
    }
    row -= rows;
  }
  return {};
}

// The rows of a panel; missing ones are zero.
PanelRows RowsOfPanel(const LinearSource& source, const PanelWeight& weight, int64_t panel) {
  PanelRows rows;
  for (int64_t i = 0; i < kPanelColumns; ++i) {
    // The ups of a gated weight follow all gates.
    const bool up = weight.gated && i >= kGatedColumns;
    const int64_t output = panel * weight.columns() + (up ? i - kGatedColumns : i);
    if (output >= weight.outputs) continue;
    rows[static_cast<size_t>(i)] = FindRow(source, weight.inputs, up ? weight.outputs + output : output);
  }
  return rows;
}

// Whether bfloat16 holds all values of a tensor.
bool FitsBf16(const HostTensor& tensor, ThreadPool& pool) {
  if (tensor.dtype == DType::kBF16) return true;
  constexpr int64_t kPiece = 1 << 14;  // of whole blocks
  std::atomic<bool> fits = true;
  pool.Run(static_cast<size_t>(DivideUp(tensor.elements(), kPiece)), [&](size_t task, size_t) {
    if (!fits.load(std::memory_order_relaxed)) return;
    const int64_t begin = static_cast<int64_t>(task) * kPiece;
    const int64_t end = std::min(tensor.elements(), begin + kPiece);
    std::array<float, kBlockChunk> floats;
    for (int64_t i = begin; i < end; i += kBlockChunk) {
      const int64_t count = std::min(kBlockChunk, end - i);
      ReadFloats({tensor.data, tensor.dtype}, i, count, floats.data());
      // A float32 whose lower half is zero. NaN with a payload counts as one that doesn't fit, and stays what it is.
      uint32_t lower = 0;
      for (int64_t k = 0; k < count; ++k) lower |= std::bit_cast<uint32_t>(floats[static_cast<size_t>(k)]);
      if ((lower & 0xffffu) != 0) fits.store(false, std::memory_order_relaxed);
    }
  });
  return fits;
}

// The rows of a panel in chunks, inputs outermost: write(begin, count, chunk) with chunk [32][kBlockChunk + 1], the
// element behind the last one of a row being zero.
template <typename T, typename Read, typename Write>
void ForChunks(const PanelRows& rows, int64_t inputs, const Read& read, const Write& write) {
  T chunk[kPanelColumns][kBlockChunk + 1];
  const bool blocks = DTypeBlock(rows[0].dtype) > 1;
  const int64_t step = blocks ? kBlockChunk : kChunk;
  for (int64_t begin = 0; begin < inputs; begin += step) {
    const int64_t count = std::min(step, inputs - begin);
    for (size_t r = 0; r < rows.size(); ++r) {
      read(rows[r], begin, count, chunk[r]);
      chunk[r][count] = 0;
    }
    write(count, chunk);
  }
}

void PackBf16Panel(const PanelRows& rows, int64_t inputs, uint8_t* panel) {
  auto* words = reinterpret_cast<uint32_t*>(panel);
  ForChunks<uint16_t>(rows, inputs, ReadBf16, [&](int64_t count, const auto& chunk) {
    for (int64_t k = 0; k < count; k += 2) {
      for (const auto& column : chunk) *words++ = column[k] | static_cast<uint32_t>(column[k + 1]) << 16;
    }
  });
}

void PackFloat32Panel(const PanelRows& rows, int64_t inputs, uint8_t* panel) {
  auto* floats = reinterpret_cast<float*>(panel);
  ForChunks<float>(rows, inputs, ReadFloats, [&](int64_t count, const auto& chunk) {
    for (int64_t k = 0; k < count; ++k) {
      for (const auto& column : chunk) *floats++ = column[k];
    }
  });
}

// Largest magnitude; 0 if it isn't finite: such an output has no meaning to keep.
float Largest(const float* x, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  return std::isfinite(largest) ? largest : 0.0f;
}

// An input is weak if its largest weight is so many times smaller than the median of all inputs'. Below that, its
// rounding error matters no more than that of others.
constexpr float kWeakRatio = 4;
// Factors stay so far from overflow and from subnormal numbers.
constexpr float kMostWeak = 1024;
// Of fewer outputs chance makes some inputs weak.
constexpr int64_t kLeastOutputs = 32;

// largest[i] = the largest magnitude of input i in any output.
void LargestOfInputs(const LinearSource& source, const PanelWeight& weight, ThreadPool& pool, float* largest) {
  const auto n = static_cast<size_t>(weight.inputs);
  std::vector<float> maxima(static_cast<size_t>(pool.threads()) * n);
  std::vector<float> rows(maxima.size());
  pool.Run(static_cast<size_t>(weight.panels), [&](size_t task, size_t thread) {
    float* row = rows.data() + thread * n;
    float* maximum = maxima.data() + thread * n;
    for (const SourceRow& from : RowsOfPanel(source, weight, static_cast<int64_t>(task))) {
      if (from.data == nullptr) continue;
      ConvertToF32(from.dtype, from.data, n, row);
      for (size_t i = 0; i < n; ++i) maximum[i] = std::max(maximum[i], std::abs(row[i]));
    }
  });
  for (size_t i = 0; i < maxima.size(); ++i) largest[i % n] = std::max(largest[i % n], maxima[i]);
}

// 1, or of weak inputs the power of two that makes them about as strong as others, inverted: [inputs].
void FindInputFactors(const LinearSource& source, const PanelWeight& weight, ThreadPool& pool, float* factors) {
  const auto n = static_cast<size_t>(weight.inputs);
  std::fill_n(factors, n, 1.0f);
  if (weight.outputs < kLeastOutputs) return;
  std::vector<float> largest(n);
  LargestOfInputs(source, weight, pool, largest.data());
  std::vector<float> sorted = largest;
  const auto middle = sorted.begin() + static_cast<int64_t>(n / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  for (size_t i = 0; i < n; ++i) {
    if (!(largest[i] * kWeakRatio <= *middle) || !std::isfinite(*middle)) continue;
    const float ratio = largest[i] * kMostWeak <= *middle ? kMostWeak : *middle / largest[i];
    factors[i] = std::exp2(-std::floor(std::log2(ratio)));
  }
}

// One output into column `column` of a panel. Returns its scale.
float PackInt8Column(const float* row, int64_t inputs, int64_t column, uint8_t* panel) {
  const float largest = Largest(row, inputs);
  if (largest == 0) return 0;
  const float inverse = kLargest / largest;
  uint8_t* out = panel + column * kGroupBytes;
  for (int64_t i = 0; i < inputs; ++i) {
    const auto rounded = static_cast<int>(std::lrintf(row[i] * inverse));
    out[i / kGroupBytes * kGroupRowBytes + i % kGroupBytes] = static_cast<uint8_t>(rounded + kZero);
  }
  return largest / kLargest;
}

// A block as it is kept: 32 codes, and the bits of its float16 scale.
struct Block {
  std::array<uint8_t, kBlockInputs> codes;
  uint16_t scale;
};

// Whether a source's blocks are those of the format.
bool SameBlocks(const SourceRow& source, WeightFormat format) {
  return source.data != nullptr && ((source.dtype == DType::kQ8_0 && format == WeightFormat::kQ8) ||
                                    (source.dtype == DType::kQ4_0 && format == WeightFormat::kQ4));
}

// Block `b` of a source whose blocks are those of the format.
Block TakeBlock(const SourceRow& source, int64_t b) {
  const uint8_t* bytes = At(source, b * kBlockInputs);
  Block block;
  std::memcpy(&block.scale, bytes, sizeof(block.scale));
  bytes += sizeof(block.scale);
  for (size_t i = 0; i < kBlockInputs; ++i) {
    if (source.dtype == DType::kQ8_0) {
      block.codes[i] = static_cast<uint8_t>(bytes[i] + kZero);
    } else {
      block.codes[i] = static_cast<uint8_t>(i < kBlockInputs / 2 ? bytes[i] & 15 : bytes[i - kBlockInputs / 2] >> 4);
    }
  }
  return block;
}

Block RoundBlock(WeightFormat format, const float* row, int64_t b) {
  Block block;
  const std::span<const float, kBlockInputs> x(row + b * kBlockInputs, kBlockInputs);
  block.scale = F16FromF32(QuantizeBlock(format, x, block.codes));
  return block;
}

// The same for blocks, which are the source's own, or those of `row`, padded with zeros to whole blocks.
float PackBlockColumn(const PanelWeight& weight, const SourceRow& source, const float* row, int64_t column,
                      uint8_t* panel) {
  const bool bytes = weight.format == WeightFormat::kQ8;
  const std::array<uint8_t, 16>* levels = bytes ? nullptr : &CodeBytes(weight.format);
  float largest = 0;
  for (int64_t b = 0; b < weight.blocks; ++b, panel += BlockBytes(weight.format)) {
    const Block block = row == nullptr ? TakeBlock(source, b) : RoundBlock(weight.format, row, b);
    const float scale = F32FromF16(block.scale);
    std::memcpy(panel + BlockBytes(weight.format) - kBlockScaleBytes + column * 2, &block.scale, sizeof(block.scale));
    for (int64_t i = 0; i < kBlockInputs; ++i) {
      const auto code = block.codes[static_cast<size_t>(i)];
      const int level = (bytes ? code : (*levels)[code]) - kZero;
      largest = std::max(largest, std::abs(scale * static_cast<float>(level)));
      if (bytes) {
        panel[(i / kGroupBytes * kPanelColumns + column) * kGroupBytes + i % kGroupBytes] = code;
        continue;
      }
      const int64_t half_groups = kBlockGroups / 2;
      const int64_t group = i / kGroupBytes % half_groups;
      uint8_t& pair = panel[(group * kPanelColumns + column) * kGroupBytes + i % kGroupBytes];
      pair = static_cast<uint8_t>(i < kBlockInputs / 2 ? code : pair | code << 4);
    }
  }
  return largest / kLargest;
}

// factors: of inputs, or null.
void PackIntegerPanel(const PanelRows& rows, const PanelWeight& weight, const float* factors, uint8_t* panel,
                      float* scales) {
  std::vector<float> row(static_cast<size_t>(std::max(weight.inputs, weight.blocks * kBlockInputs)));
  std::memset(panel, weight.IsBlocks() ? 0 : kZero, static_cast<size_t>(weight.panel_bytes));
  for (int64_t i = 0; i < kPanelColumns; ++i) {
    const SourceRow& source = rows[static_cast<size_t>(i)];
    if (source.data == nullptr && !weight.IsBlocks()) continue;
    if (SameBlocks(source, weight.format)) {
      scales[i] = PackBlockColumn(weight, source, nullptr, i, panel);
      continue;
    }
    ReadFloats(source, 0, weight.inputs, row.data());
    if (factors != nullptr) {
      for (int64_t k = 0; k < weight.inputs; ++k) row[static_cast<size_t>(k)] /= factors[k];
    }
    scales[i] = weight.IsBlocks() ? PackBlockColumn(weight, source, row.data(), i, panel)
                                  : PackInt8Column(row.data(), weight.inputs, i, panel);
  }
}

// Nearest codes of x / scale, for each of some scales; keeps the best, each scale moved to where it fits its codes
// best.
float QuantizeInt4(std::span<const float, kBlockInputs> x, float largest, std::span<uint8_t, kBlockInputs> codes) {
  static const std::array<uint8_t, 256> nearest_codes = [] {
    std::array<uint8_t, 256> nearest;
    for (size_t i = 0; i < nearest.size(); ++i) {
      const int t = static_cast<int>(i) - kZero;
      const auto distance = [t](int8_t level) { return std::abs(level - t); };
      const auto best = std::min_element(kInt4Levels.begin(), kInt4Levels.end(),
                                         [&](int8_t a, int8_t b) { return distance(a) < distance(b); });
      nearest[i] = static_cast<uint8_t>(best - kInt4Levels.begin());
    }
    return nearest;
  }();
  float best_gain = -1;
  float best_scale = 0;
  for (const float full : {127.0f, -127.0f, 149.0f, -149.0f}) {
    std::array<uint8_t, kBlockInputs> trial;
    const float inverse = full / largest;
    float cross = 0;
    float square = 0;
    for (size_t i = 0; i < kBlockInputs; ++i) {
      const float t = std::clamp(x[i] * inverse, -128.0f, 127.0f);
      trial[i] = nearest_codes[static_cast<size_t>(static_cast<int>(t + 128.5f)) & 255];
      const auto level = static_cast<float>(kInt4Levels[trial[i]]);
      cross += x[i] * level;
      square += level * level;
    }
    // With scale s the squared error is |x|^2 - 2 s cross + s^2 square: least at s = cross / square, by cross^2 /
    // square.
    const float gain = cross * cross / square;
    if (gain > best_gain) {
      best_gain = gain;
      best_scale = cross / square;
      std::copy(trial.begin(), trial.end(), codes.begin());
    }
  }
  return best_scale;
}

// As GGUF's Q4_0: the element of largest magnitude becomes -8.
float QuantizeQ4(std::span<const float, kBlockInputs> x, std::span<uint8_t, kBlockInputs> codes) {
  const float extreme =
      *std::max_element(x.begin(), x.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
  const float scale = extreme / -8.0f;
  for (size_t i = 0; i < kBlockInputs; ++i) {
    codes[i] = static_cast<uint8_t>(std::clamp(static_cast<int>(x[i] / scale + 8.5f), 0, 15));
  }
  return scale;
}

float QuantizeQ8(std::span<const float, kBlockInputs> x, float largest, std::span<uint8_t, kBlockInputs> codes) {
  const float scale = F32FromF16(F16FromF32(largest / kLargest));
  const float inverse = scale == 0 ? 0.0f : 1.0f / scale;
  for (size_t i = 0; i < kBlockInputs; ++i) {
    codes[i] = static_cast<uint8_t>(std::clamp(static_cast<int>(std::lrintf(x[i] * inverse)), -127, 127) + kZero);
  }
  return scale;
}

}  // namespace

const std::array<uint8_t, 16>& CodeBytes(WeightFormat format) {
  static const std::array<uint8_t, 16> int4_bytes = [] {
    std::array<uint8_t, 16> bytes;
    std::transform(kInt4Levels.begin(), kInt4Levels.end(), bytes.begin(),
                   [](int8_t level) { return static_cast<uint8_t>(level + kZero); });
    return bytes;
  }();
  static const std::array<uint8_t, 16> q4_bytes = [] {
    std::array<uint8_t, 16> bytes;
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(kZero - 8 + static_cast<int>(i));
    return bytes;
  }();
  return format == WeightFormat::kInt4 ? int4_bytes : q4_bytes;
}

float QuantizeBlock(WeightFormat format, std::span<const float, kBlockInputs> x,
                    std::span<uint8_t, kBlockInputs> codes) {
  const float largest = Largest(x.data(), kBlockInputs);
  if (largest == 0) {
    // Scale 0; the codes of zero, so that unpacked bytes are small.
    std::fill(codes.begin(), codes.end(), static_cast<uint8_t>(format == WeightFormat::kQ8 ? kZero : 8));
    return 0;
  }
  switch (format) {
    case WeightFormat::kQ8: return QuantizeQ8(x, largest, codes);
    case WeightFormat::kQ4: return QuantizeQ4(x, codes);
    default: return QuantizeInt4(x, largest, codes);
  }
}

PanelWeight PanelLayout(WeightFormat format, int64_t outputs, int64_t inputs, bool gated) {
  PanelWeight w;
  w.format = format;
  w.gated = gated;
  w.inputs = inputs;
  w.outputs = gated ? outputs / 2 : outputs;
  w.panels = DivideUp(w.outputs, w.columns());
  w.groups = RoundUp(DivideUp(inputs, InputsOfGroup(format)), kAlignedGroups);
  const bool blocks = format == WeightFormat::kQ8 || format == WeightFormat::kQ4 || format == WeightFormat::kInt4;
  w.blocks = blocks ? DivideUp(inputs, kBlockInputs) : 0;
  w.panel_bytes = blocks ? w.blocks * BlockBytes(format) : w.groups * kGroupRowBytes;
  const size_t scale_bytes = w.IsFloat() ? 0 : static_cast<size_t>(kPanelColumns) * sizeof(float);
  const size_t factor_bytes = format == WeightFormat::kInt8 ? static_cast<size_t>(inputs) * sizeof(float) : 0;
  w.bytes = static_cast<size_t>(w.panels) * (static_cast<size_t>(w.panel_bytes) + scale_bytes) + factor_bytes;
  return w;
}

PanelWeight TableLayout(WeightFormat format, int64_t outputs, int64_t inputs) {
  PanelWeight w;
  w.format = format;
  w.rows = true;
  w.outputs = outputs;
  w.inputs = inputs;
  w.bytes = static_cast<size_t>(outputs * inputs) * (w.IsFloat32() ? sizeof(float) : sizeof(uint16_t));
  return w;
}

Result<PackedWeightPtr> PackPanels(const LinearSource& source, ThreadPool& pool) {
  const HostTensor& first = source.parts[0];
  const int64_t inputs = first.shape.empty() ? 1 : first.elements() / first.shape[0];
  int64_t outputs = 0;
  for (const HostTensor& part : source.parts) {
    EYESHOT_RETURN_IF_ERROR(CheckPackable(part));
    outputs += part.elements() / inputs;
  }
  EYESHOT_CHECK(!source.gated || (source.parts.size() == 2 && first.shape == source.parts[1].shape));
  const auto fits = [&](const HostTensor& part) { return FitsBf16(part, pool); };
  const bool wide =
      source.format == WeightFormat::kExact && !std::all_of(source.parts.begin(), source.parts.end(), fits);
  const WeightFormat format = wide ? WeightFormat::kFloat32 : source.format;
  auto weight = std::make_unique<PanelWeight>(PanelLayout(format, outputs, inputs, source.gated));
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, AllocateHost(weight->bytes, first.name));

  auto* bytes = static_cast<uint8_t*>(weight->buffer.data());
  auto* scales = reinterpret_cast<float*>(bytes + weight->panels * weight->panel_bytes);
  float* factors = source.format == WeightFormat::kInt8 ? scales + weight->panels * kPanelColumns : nullptr;
  if (factors != nullptr) FindInputFactors(source, *weight, pool, factors);
  pool.Run(static_cast<size_t>(weight->panels), [&](size_t task, size_t) {
    const auto panel = static_cast<int64_t>(task);
    const PanelRows rows = RowsOfPanel(source, *weight, panel);
    uint8_t* out = bytes + panel * weight->panel_bytes;
    if (weight->IsFloat32()) {
      PackFloat32Panel(rows, inputs, out);
    } else if (weight->IsFloat()) {
      PackBf16Panel(rows, inputs, out);
    } else {
      PackIntegerPanel(rows, *weight, factors, out, scales + panel * kPanelColumns);
    }
  });
  return PackedWeightPtr(std::move(weight));
}

Result<PackedWeightPtr> PackTable(const HostTensor& source, ThreadPool& pool) {
  EYESHOT_RETURN_IF_ERROR(CheckPackable(source));
  const int64_t outputs = source.shape.empty() ? 1 : source.shape[0];
  const WeightFormat format = FitsBf16(source, pool) ? WeightFormat::kExact : WeightFormat::kFloat32;
  auto weight =
      std::make_unique<PanelWeight>(TableLayout(format, outputs, outputs == 0 ? 0 : source.elements() / outputs));
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, AllocateHost(weight->bytes, source.name));
  auto* out = static_cast<uint8_t*>(weight->buffer.data());
  const int64_t inputs = weight->inputs;
  pool.Run(static_cast<size_t>(outputs), [&](size_t task, size_t) {
    const auto r = static_cast<int64_t>(task);
    const SourceRow row = {At({source.data, source.dtype}, r * inputs), source.dtype};
    if (weight->IsFloat32()) {
      ReadFloats(row, 0, inputs, reinterpret_cast<float*>(out) + r * inputs);
      return;
    }
    auto* halves = reinterpret_cast<uint16_t*>(out) + r * inputs;
    for (int64_t begin = 0; begin < inputs; begin += kBlockChunk) {
      ReadBf16(row, begin, std::min(kBlockChunk, inputs - begin), halves + begin);
    }
  });
  return PackedWeightPtr(std::move(weight));
}

namespace {

// Input `i` of column `column` of a block, as the float that it stands for.
float BlockValue(const PanelWeight& weight, const uint8_t* block, int64_t i, int64_t column) {
  uint16_t half;
  std::memcpy(&half, block + BlockBytes(weight.format) - kBlockScaleBytes + column * 2, sizeof(half));
  int byte = 0;
  if (weight.format == WeightFormat::kQ8) {
    byte = block[(i / kGroupBytes * kPanelColumns + column) * kGroupBytes + i % kGroupBytes];
  } else {
    const int64_t group = i / kGroupBytes % (kBlockGroups / 2);
    const int pair = block[(group * kPanelColumns + column) * kGroupBytes + i % kGroupBytes];
    byte = CodeBytes(weight.format)[static_cast<size_t>(i < kBlockInputs / 2 ? pair & 15 : pair >> 4)];
  }
  return F32FromF16(half) * static_cast<float>(byte - kZero);
}

float IntegerValue(const PanelWeight& weight, int64_t panel, int64_t input, int64_t column) {
  const uint8_t* bytes = weight.panel(panel);
  if (weight.IsBlocks()) {
    return BlockValue(weight, bytes + input / kBlockInputs * BlockBytes(weight.format), input % kBlockInputs, column);
  }
  const int byte = bytes[(input / kGroupBytes * kPanelColumns + column) * kGroupBytes + input % kGroupBytes];
  return weight.scales(panel)[column] * static_cast<float>(byte - kZero);
}

}  // namespace

void ReadPanelInput(const PanelWeight& weight, int64_t panel, int64_t input, float* y) {
  for (int64_t j = 0; j < kPanelColumns; ++j) y[j] = IntegerValue(weight, panel, input, j);
}

void ReadWeightRow(const PanelWeight& weight, int64_t row, float* y) {
  if (row < 0 || row >= weight.outputs * (weight.gated ? 2 : 1)) {
    std::fill_n(y, weight.inputs, 0.0f);
    return;
  }
  if (weight.rows) {
    const DType dtype = weight.IsFloat32() ? DType::kF32 : DType::kBF16;
    ReadFloats({weight.data(), dtype}, row * weight.inputs, weight.inputs, y);
    return;
  }
  const bool up = row >= weight.outputs;
  const int64_t output = up ? row - weight.outputs : row;
  const int64_t panel = output / weight.columns();
  const int64_t column = output % weight.columns() + (up ? kGatedColumns : 0);
  for (int64_t i = 0; i < weight.inputs; ++i) {
    if (weight.IsFloat32()) {
      std::memcpy(y + i, weight.panel(panel) + i * kGroupRowBytes + column * kGroupBytes, sizeof(float));
    } else if (weight.IsFloat()) {
      bf16_bits bits;
      std::memcpy(&bits, weight.panel(panel) + i / 2 * kGroupRowBytes + column * kGroupBytes + i % 2 * 2, sizeof(bits));
      y[i] = F32FromBf16(bits);
    } else {
      y[i] = IntegerValue(weight, panel, i, column);
      if (weight.format == WeightFormat::kInt8) y[i] *= weight.input_factors()[i];
    }
  }
}

}  // namespace eyeshot::portable
