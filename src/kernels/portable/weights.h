// How the portable backend keeps matrices of weights.
//
// A linear weight is cut into panels of 32 outputs. Inside a panel 4 bytes of an output's inputs lie together (a
// "group": two bfloat16 or four 8-bit integers), the groups of the 32 outputs follow one another, then come the next
// inputs: [outputs / 32][groups][32][4 bytes]. It is what dot-product instructions (VNNI, AVX512-BF16, NEON's dot
// product, AMX tiles) take as their right operand; float32 arithmetic reads it with a shift and a mask. Groups are
// padded to whole cache lines of one output (16 groups), the depth of an AMX tile; padding and missing outputs are
// zero. In a gated weight a panel holds 16 outputs: 16 gates, then 16 ups.
//
// Formats:
//   kExact, kBf16  bfloat16, rounded to nearest even; kExact only where nothing is lost by that.
//   kFloat32       float32: a group is one input. What kExact becomes for values that bfloat16 hasn't.
//   kInt8          8-bit integers, each output by its own scale (its largest magnitude is 127). Inputs whose weights
//                  are all far smaller than those of other inputs would keep two or three bits, and have often grown
//                  small because the values that they meet are large: such "weak" inputs are kept times a power of
//                  two, by which rows are divided before they are rounded.
//   kQ8, kQ4       GGUF's Q8_0 and Q4_0: blocks of 32 inputs with a float16 scale each; 8 bits, or 4 bits from -8 to 7.
//   kInt4          4 bits that index kInt4Levels (closer together near zero, where weights are), otherwise as kQ4.
// 8-bit integers are stored plus 128, as the unsigned operand that the x86 instructions want: the signed one can be
// broadcast from memory, and activations are what must be broadcast. In blocks of 4 bits, byte q of the first four
// groups holds that of group q in its low half and that of group q + 4 in its high half.
//
// After the panels come 32 float32 scales for each panel of integers: of the outputs (kInt8), or those by which blocks
// are rounded to kInt8 for products with many rows (UnpackPanel). Then, for kInt8, a float32 factor of rows for each
// input: 1, or less for weak ones.
#ifndef EYESHOT_KERNELS_PORTABLE_WEIGHTS_H_
#define EYESHOT_KERNELS_PORTABLE_WEIGHTS_H_

#include <array>
#include <cstdint>
#include <span>

#include "base/threads.h"
#include "kernels/backend.h"

namespace eyeshot::portable {

// The name of this layout in files. A change of anything below needs another.
inline constexpr const char* kPackedLayout = "panels-2";

inline constexpr int64_t kPanelColumns = 32;
inline constexpr int64_t kGatedColumns = 16;
inline constexpr int64_t kGroupBytes = 4;
inline constexpr int64_t kGroupRowBytes = kPanelColumns * kGroupBytes;  // a group of every output
inline constexpr int64_t kAlignedGroups = 16;
inline constexpr int64_t kBlockInputs = 32;
inline constexpr int64_t kBlockGroups = kBlockInputs / kGroupBytes;  // of 8 bits
inline constexpr int64_t kBlockScaleBytes = kPanelColumns * 2;

// The levels of kInt4. Found by Lloyd's algorithm on normally distributed blocks of 32, where each block takes the sign
// and scale that fit it best: a mean squared error of 0.55 % of the weights', beside 0.76 % of kQ4.
inline constexpr std::array<int8_t, 16> kInt4Levels = {-127, -98, -79, -63, -48, -34, -21, -9,
                                                       4,    17,  31,  44,  60,  79,  99,  127};

struct PanelWeight : PackedWeight {
  WeightFormat format = WeightFormat::kExact;
  bool rows = false;  // a table: [outputs, inputs] bfloat16 or float32
  int64_t panels = 0;
  int64_t groups = 0;  // of the panel as the dot products see it (8 bits for 4-bit formats), aligned
  int64_t blocks = 0;  // of 32 inputs; block formats only
  int64_t panel_bytes = 0;
  Buffer buffer;

  bool IsFloat32() const { return format == WeightFormat::kFloat32; }
  bool IsFloat() const { return format == WeightFormat::kExact || format == WeightFormat::kBf16 || IsFloat32(); }
  bool IsBlocks() const { return blocks > 0; }
  int64_t columns() const { return gated ? kGatedColumns : kPanelColumns; }  // outputs of a panel
  const uint8_t* data() const { return static_cast<const uint8_t*>(buffer.data()); }
  const uint8_t* panel(int64_t i) const { return data() + i * panel_bytes; }
  // Of the columns of panel i: [32].
  const float* scales(int64_t i) const {
    return reinterpret_cast<const float*>(data() + panels * panel_bytes) + i * kPanelColumns;
  }
  // What rows are multiplied by before they are rounded to 8 bits: [inputs], kInt8 only.
  const float* input_factors() const { return scales(panels); }
};

// Everything but the buffer. `outputs` counts gates and ups of a gated weight; bytes is what the buffer must have.
PanelWeight PanelLayout(WeightFormat format, int64_t outputs, int64_t inputs, bool gated);
// format: kExact (bfloat16) or kFloat32.
PanelWeight TableLayout(WeightFormat format, int64_t outputs, int64_t inputs);

// Errors: kUnsupported (dtype), kOutOfMemory. Rounds to nearest; an output or block of zeros has scale 0. kExact, and
// tables, become kFloat32 if bfloat16 would round any value; blocks of Q8_0 and Q4_0 are taken over into kQ8 and kQ4.
Result<PackedWeightPtr> PackPanels(const LinearSource& source, ThreadPool& pool);
Result<PackedWeightPtr> PackTable(const HostTensor& source, ThreadPool& pool);

// y[0..inputs) = output `row` of the matrix, zeros if there is no such output; the ups of a gated one follow its gates.
void ReadWeightRow(const PanelWeight& weight, int64_t row, float* y);

// y[j] = input `input` of column j of a panel of integers, [32]. Of kInt8 without the input's factor.
void ReadPanelInput(const PanelWeight& weight, int64_t panel, int64_t input, float* y);

// The bytes that 4-bit codes stand for: level + 128. REQUIRES: a 4-bit format.
const std::array<uint8_t, 16>& CodeBytes(WeightFormat format);

// Rounds 32 weights to a block of 4-bit or 8-bit codes. Returns the scale, which is a float16.
float QuantizeBlock(WeightFormat format, std::span<const float, kBlockInputs> x,
                    std::span<uint8_t, kBlockInputs> codes);

}  // namespace eyeshot::portable

#endif  // EYESHOT_KERNELS_PORTABLE_WEIGHTS_H_
