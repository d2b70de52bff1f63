// How the portable backend keeps matrices of weights: always in bfloat16.
#ifndef EYESHOT_KERNELS_PORTABLE_WEIGHTS_H_
#define EYESHOT_KERNELS_PORTABLE_WEIGHTS_H_

#include <cstdint>

#include "base/threads.h"
#include "kernels/backend.h"

namespace eyeshot::portable {

// A linear weight is cut into panels of 32 outputs, [outputs / 32][inputs][16] words: word i of an input holds
// output i of the panel in its low half and output i + 16 in its high half, so that one load, one shift and one
// mask widen 32 weights to float32 on every instruction set, without moving lanes. Missing outputs are zero.
//
// In a gated weight a panel holds 16 outputs: the gates in the low halves, the ups in the high ones.
inline constexpr int64_t kPanelColumns = 32;
inline constexpr int64_t kPanelWords = 16;

// A matrix in panels, or (`rows`) as it was stored, [outputs, inputs].
struct Bf16Weight : PackedWeight {
  Buffer buffer;
  bool rows = false;

  const uint32_t* panels() const { return static_cast<const uint32_t*>(buffer.data()); }
  const uint16_t* row(int64_t r) const { return static_cast<const uint16_t*>(buffer.data()) + r * inputs; }
};

// Bytes of panels for `outputs` outputs (both halves of a gated weight counted).
size_t PanelBytes(int64_t outputs, int64_t inputs);

Result<PackedWeightPtr> PackPanels(const LinearSource& source, ThreadPool& pool);
Result<PackedWeightPtr> PackRows(const HostTensor& source, ThreadPool& pool);

// y[0..inputs) = output `row` of the matrix, zeros if there is no such output. REQUIRES: not gated.
void ReadWeightRow(const Bf16Weight& weight, int64_t row, float* y);

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_WEIGHTS_H_
