// From tensors of a checkpoint to 8-bit weights.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cpu_backend.h"
#include "kernels/portable/int8.h"

namespace eyeshot::portable {
namespace {

constexpr int kZero = 128;
constexpr float kLargest = 127.0f;

int64_t Panels(int64_t outputs) { return (outputs + kPanelColumns - 1) / kPanelColumns; }

// Row `row` of the parts stacked on each other, as float32.
void ReadRow(const LinearSource& source, int64_t inputs, int64_t row, float* out) {
  for (const HostTensor& part : source.parts) {
    const int64_t rows = part.elements() / inputs;
    if (row < rows) {
      const size_t begin = static_cast<size_t>(row * inputs) * DTypeBytes(part.dtype);
      ConvertToF32(part.dtype, part.data + begin, static_cast<size_t>(inputs), out);
      return;
    }
    row -= rows;
  }
}

// One output into column `column` of a panel. Returns its scale.
float PackColumn(const float* row, int64_t inputs, int64_t column, uint8_t* panel) {
  float largest = 0;
  for (int64_t i = 0; i < inputs; ++i) largest = std::max(largest, std::abs(row[i]));
  if (largest == 0 || !std::isfinite(largest)) return 0;
  const float inverse = kLargest / largest;
  for (int64_t i = 0; i < inputs; ++i) {
    const auto rounded = static_cast<int>(std::lrintf(row[i] * inverse));
    const int64_t group = i / kInt8Group;
    panel[(group * kPanelColumns + column) * kInt8Group + i % kInt8Group] = static_cast<uint8_t>(rounded + kZero);
  }
  return largest / kLargest;
}

}  // namespace

size_t Int8PanelBytes(int64_t outputs, int64_t inputs) {
  const int64_t groups = (inputs + kInt8Group - 1) / kInt8Group;
  const int64_t columns = Panels(outputs) * kPanelColumns;
  return static_cast<size_t>(columns * groups * kInt8Group) + static_cast<size_t>(columns) * sizeof(float);
}

Result<PackedWeightPtr> PackInt8Panels(const LinearSource& source, ThreadPool& pool) {
  const HostTensor& first = source.parts[0];
  auto weight = std::make_unique<Int8Weight>();
  weight->inputs = first.shape.empty() ? 1 : first.elements() / first.shape[0];
  for (const HostTensor& part : source.parts) {
    EYESHOT_RETURN_IF_ERROR(CheckPackable(part));
    weight->outputs += part.elements() / weight->inputs;
  }
  weight->bytes = Int8PanelBytes(weight->outputs, weight->inputs);
  weight->gated = source.gated;
  if (source.gated) {
    EYESHOT_CHECK(source.parts.size() == 2 && first.shape == source.parts[1].shape);
    weight->outputs /= 2;
  }
  const int64_t panel_outputs = source.gated ? kPanelWords : kPanelColumns;
  const int64_t panels = (weight->outputs + panel_outputs - 1) / panel_outputs;
  const size_t scale_bytes = static_cast<size_t>(panels * kPanelColumns) * sizeof(float);
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer,
                           AllocateHost(static_cast<size_t>(panels * weight->panel_bytes()), first.name));
  EYESHOT_ASSIGN_OR_RETURN(weight->scale_buffer, AllocateHost(scale_bytes, first.name));

  auto* bytes = static_cast<uint8_t*>(weight->buffer.data());
  auto* scales = static_cast<float*>(weight->scale_buffer.data());
  pool.Run(static_cast<size_t>(panels), [&](size_t task, size_t) {
    const auto panel = static_cast<int64_t>(task);
    uint8_t* out = bytes + panel * weight->panel_bytes();
    std::memset(out, kZero, static_cast<size_t>(weight->panel_bytes()));
    std::vector<float> row(static_cast<size_t>(weight->inputs));
    for (int64_t i = 0; i < kPanelColumns; ++i) {
      // The ups of a gated weight follow all gates.
      const bool up = source.gated && i >= kPanelWords;
      const int64_t output = panel * panel_outputs + (up ? i - kPanelWords : i);
      if (output >= weight->outputs) continue;
      ReadRow(source, weight->inputs, up ? weight->outputs + output : output, row.data());
      scales[panel * kPanelColumns + i] = PackColumn(row.data(), weight->inputs, i, out);
    }
  });
  return PackedWeightPtr(std::move(weight));
}

void ReadInt8Row(const Int8Weight& weight, int64_t row, float* y) {
  if (row < 0 || row >= weight.outputs) {
    std::fill_n(y, weight.inputs, 0.0f);
    return;
  }
  const int64_t column = row % kPanelColumns;
  const uint8_t* panel = weight.panel(row / kPanelColumns);
  const float scale = weight.scales(row / kPanelColumns)[column];
  for (int64_t i = 0; i < weight.inputs; ++i) {
    const int byte = panel[(i / kInt8Group * kPanelColumns + column) * kInt8Group + i % kInt8Group];
    y[i] = scale * static_cast<float>(byte - kZero);
  }
}

}  // namespace eyeshot::portable
