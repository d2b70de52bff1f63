// From tensors of a checkpoint to bfloat16 weights, and back for a single row.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cpu_backend.h"
#include "kernels/portable/weights.h"

namespace eyeshot::portable {
namespace {

// Inputs that are packed at a time: 32 rows of 256 bytes (8 KB) and their 8 KB of words stay in L1, and each row
// gives four whole cache lines to the prefetcher.
constexpr int64_t kBlock = 128;

// A row of a source tensor; data == nullptr is a row of zeros.
struct SourceRow {
  const uint8_t* data = nullptr;
  DType dtype = DType::kBF16;
};

// `count` elements of a row from element `begin` on, as bfloat16.
void ReadBf16(const SourceRow& row, int64_t begin, int64_t count, uint16_t* out) {
  const auto n = static_cast<size_t>(count);
  if (row.data == nullptr) {
    std::memset(out, 0, n * sizeof(uint16_t));
    return;
  }
  const uint8_t* src = row.data + static_cast<size_t>(begin) * DTypeBytes(row.dtype);
  if (row.dtype == DType::kBF16) {
    std::memcpy(out, src, n * sizeof(uint16_t));
    return;
  }
  std::array<float, kBlock> floats;
  ConvertToF32(row.dtype, src, n, floats.data());
  std::transform(floats.begin(), floats.begin() + count, out, Bf16FromF32);
}

// Output `row` of the parts stacked on each other.
SourceRow FindRow(const LinearSource& source, int64_t inputs, int64_t row) {
  for (const HostTensor& part : source.parts) {
    const int64_t rows = part.elements() / inputs;
    if (row < rows) {
      return {part.data + static_cast<size_t>(row * inputs) * DTypeBytes(part.dtype), part.dtype};
    }
    row -= rows;
  }
  return {};
}

void PackPanel(const std::array<SourceRow, kPanelColumns>& rows, int64_t inputs, uint32_t* panel) {
  uint16_t block[kPanelColumns][kBlock];
  for (int64_t begin = 0; begin < inputs; begin += kBlock) {
    const int64_t count = std::min(kBlock, inputs - begin);
    for (size_t r = 0; r < rows.size(); ++r) ReadBf16(rows[r], begin, count, block[r]);
    for (int64_t k = 0; k < count; ++k) {
      for (int64_t i = 0; i < kPanelWords; ++i) {
        *panel++ = block[i][k] | static_cast<uint32_t>(block[i + kPanelWords][k]) << 16;
      }
    }
  }
}

}  // namespace

size_t PanelBytes(int64_t outputs, int64_t inputs) {
  const int64_t panels = (outputs + kPanelColumns - 1) / kPanelColumns;
  return static_cast<size_t>(panels * inputs * kPanelWords) * sizeof(uint32_t);
}

Result<PackedWeightPtr> PackPanels(const LinearSource& source, ThreadPool& pool) {
  const HostTensor& first = source.parts[0];
  auto weight = std::make_unique<Bf16Weight>();
  weight->inputs = first.shape.empty() ? 1 : first.elements() / first.shape[0];
  for (const HostTensor& part : source.parts) {
    EYESHOT_RETURN_IF_ERROR(CheckPackable(part));
    weight->outputs += part.elements() / weight->inputs;
  }
  weight->bytes = PanelBytes(weight->outputs, weight->inputs);
  weight->gated = source.gated;
  if (source.gated) {
    EYESHOT_CHECK(source.parts.size() == 2 && first.shape == source.parts[1].shape);
    weight->outputs /= 2;
  }
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, AllocateHost(weight->bytes, first.name));

  const int64_t panel_outputs = source.gated ? kPanelWords : kPanelColumns;
  const int64_t panels = (weight->outputs + panel_outputs - 1) / panel_outputs;
  auto* words = static_cast<uint32_t*>(weight->buffer.data());
  pool.Run(static_cast<size_t>(panels), [&](size_t panel, size_t) {
    std::array<SourceRow, kPanelColumns> rows;
    for (int64_t i = 0; i < kPanelColumns; ++i) {
      // The ups of a gated weight follow all gates.
      const bool up = source.gated && i >= kPanelWords;
      const int64_t output = static_cast<int64_t>(panel) * panel_outputs + (up ? i - kPanelWords : i);
      if (output >= weight->outputs) continue;
      rows[static_cast<size_t>(i)] = FindRow(source, weight->inputs, up ? weight->outputs + output : output);
    }
    PackPanel(rows, weight->inputs, words + static_cast<int64_t>(panel) * weight->inputs * kPanelWords);
  });
  return PackedWeightPtr(std::move(weight));
}

Result<PackedWeightPtr> PackRows(const HostTensor& source, ThreadPool& pool) {
  EYESHOT_RETURN_IF_ERROR(CheckPackable(source));
  auto weight = std::make_unique<Bf16Weight>();
  weight->rows = true;
  weight->outputs = source.shape.empty() ? 1 : source.shape[0];
  weight->inputs = weight->outputs == 0 ? 0 : source.elements() / weight->outputs;
  weight->bytes = static_cast<size_t>(source.elements()) * sizeof(uint16_t);
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, AllocateHost(weight->bytes, source.name));
  auto* out = static_cast<uint16_t*>(weight->buffer.data());
  pool.Run(static_cast<size_t>(weight->outputs), [&](size_t r, size_t) {
    const auto first = static_cast<int64_t>(r) * weight->inputs;
    for (int64_t begin = 0; begin < weight->inputs; begin += kBlock) {
      const int64_t count = std::min(kBlock, weight->inputs - begin);
      ReadBf16({source.data, source.dtype}, first + begin, count, out + first + begin);
    }
  });
  return PackedWeightPtr(std::move(weight));
}

void ReadWeightRow(const Bf16Weight& weight, int64_t row, float* y) {
  if (row < 0 || row >= weight.outputs) {
    std::fill_n(y, weight.inputs, 0.0f);
  } else if (weight.rows) {
    std::transform(weight.row(row), weight.row(row) + weight.inputs, y, F32FromBf16);
  } else {
    const int64_t column = row % kPanelColumns;
    const int shift = column < kPanelWords ? 0 : 16;
    const uint32_t* word = weight.panels() + row / kPanelColumns * weight.inputs * kPanelWords + column % kPanelWords;
    for (int64_t k = 0; k < weight.inputs; ++k, word += kPanelWords) {
      y[k] = F32FromBf16(static_cast<bf16_bits>(*word >> shift));
    }
  }
}

}  // namespace eyeshot::portable
