// Linear operations with 8-bit weights and 8-bit activations.
//
// Weights are rounded once, each output by its own scale (its largest magnitude is 127); activations are rounded when
// they arrive, each row by its own scale. The products are sums of integers, exact in 32 bits; scales, bias,
// activation and residual are applied in float32. (The scheme of dynamic quantization, e.g. arXiv 2206.01861.)
#ifndef EYESHOT_KERNELS_PORTABLE_INT8_H_
#define EYESHOT_KERNELS_PORTABLE_INT8_H_

#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/backend.h"
#include "kernels/portable/weights.h"

namespace eyeshot::portable {

// Inputs that lie together for each output: the depth of one 8-bit dot-product instruction.
inline constexpr int64_t kInt8Group = 4;

// Panels of 32 outputs, [outputs / 32][inputs / 4][32][4] bytes. Each byte is the weight plus 128: the x86
// instructions take one unsigned and one signed operand, and only the signed one can be broadcast from memory, which
// is what activations need. Missing inputs and outputs are 128 (zero). A gated weight has 16 gates, then 16 ups in
// each panel.
struct Int8Weight : PackedWeight {
  Buffer buffer;
  Buffer scale_buffer;

  int64_t groups() const { return (inputs + kInt8Group - 1) / kInt8Group; }
  int64_t panel_bytes() const { return groups() * kInt8Group * kPanelColumns; }
  const uint8_t* panel(int64_t i) const { return static_cast<const uint8_t*>(buffer.data()) + i * panel_bytes(); }
  // Of the outputs of panel i: [32].
  const float* scales(int64_t i) const { return static_cast<const float*>(scale_buffer.data()) + i * kPanelColumns; }
};

size_t Int8PanelBytes(int64_t outputs, int64_t inputs);

// Errors: kUnsupported (dtype), kOutOfMemory. Rounds to nearest; an output of zeros has scale 0.
Result<PackedWeightPtr> PackInt8Panels(const LinearSource& source, ThreadPool& pool);

// y[0..inputs) = output `row`, zeros if there is no such output. REQUIRES: not gated.
void ReadInt8Row(const Int8Weight& weight, int64_t row, float* y);

// sums[r][j] = sum over i of panel byte (i, j) times a[r * a_stride + i], for rows r < `rows` and all 32 columns.
// a is padded with zeros to whole groups. The panel's bytes hold weight + 128: the caller subtracts 128 times the sum
// of a's row.
using Int8Tile = void (*)(const int8_t* a, int64_t a_stride, const uint8_t* panel, int64_t groups, int64_t rows,
                          int32_t* sums);

struct Int8Kernels {
  int max_rows = 0;
  Int8Tile tile = nullptr;
  const char* name = nullptr;  // of the instructions: "avx512-vnni"
};

// What an instruction set and this CPU have, the fastest first; never empty.
std::vector<Int8Kernels> Int8KernelsFor(Isa isa);

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_INT8_H_
