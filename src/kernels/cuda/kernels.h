// The kernels of the CUDA backend, as functions of the host that enqueue them. None waits, allocates, or reads device
// memory on the host. Shapes are those of kernels/backend.h; matrices are bfloat16 unless said.
//
// Defined twice from the same sources (*-inl.h): kernels.cu for GPUs, kernels_emulated.cc for tests (gpu.h).
#ifndef EYESHOT_KERNELS_CUDA_KERNELS_H_
#define EYESHOT_KERNELS_CUDA_KERNELS_H_

#include <cstdint>

#include "kernels/backend.h"

namespace eyeshot::cuda {

using StreamHandle = void*;  // cudaStream_t

// --- Rows (rows-inl.h). gain, bias: [cols] float32; bias null: RMS norm.
void Norm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias);
// The same into E4M3 instead of args.y: values [rows, cols], one row after the other, and what each row was divided by,
// so that its largest number becomes 448. REQUIRES: TakesRoundedNorm(args).
void RoundedNorm(StreamHandle stream, const NormArgs& args, const float* gain, const float* bias, uint8_t* values,
                 float* scales);
bool TakesRoundedNorm(const NormArgs& norm);
void CopyRows(StreamHandle stream, const CopyRowsArgs& args);
// weight: [cols, taps], bias: [cols] float32.
void ConvolveRows(StreamHandle stream, const ConvolveRowsArgs& args, const float* weight, const float* bias);
// Activation::kGelu in place, of bfloat16 or float32.
void Gelu(StreamHandle stream, MatrixView y);
// patches: [tiles * grid^2, depth] for PatchEmbedArgs, depth = 3 patch^2 rounded up to `stride`, which is 0 behind it.
void ExtractPatches(StreamHandle stream, const PatchEmbedArgs& args, uint16_t* patches, int64_t stride);
// y += positions[position_ids] (table of bfloat16, [., width]).
void AddPositions(StreamHandle stream, const uint16_t* positions, DeviceSpan<const int32_t> position_ids, MatrixView y);
// shuffled: [tiles * (grid / scale)^2, cols * scale^2].
void PixelShuffle(StreamHandle stream, ConstMatrixView x, int64_t grid, int64_t scale, uint16_t* shuffled);
// y = silu(x[:, :n]) * x[:, n:], x: [rows, 2 n].
void SiluGate(StreamHandle stream, ConstMatrixView x, MatrixView y);
void MarkSeen(StreamHandle stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen);

// --- Matrices (linear-inl.h). How a weight [outputs, inputs] lies in device memory. Rows follow each other; a gated
// weight has 2 * outputs of them, gates first. `inputs` is a multiple of 8.
struct WeightMatrix {
  enum class Format {
    kBf16,  // values: bfloat16
    kQ8,  // values: int8; scales: float16 [rows, ceil(inputs / 32)]
    k4Bit,  // values: nibbles, element i of a row in bits 4 (i % 8) of its word i / 8; scales as kQ8; levels: 16
            // float32, the value of each nibble before its scale
    kFp8,  // values: E4M3; scales: float32 [rows]
  };
  Format format = Format::kBf16;
  const void* values = nullptr;
  const void* scales = nullptr;
  const float* levels = nullptr;
  int64_t outputs = 0;
  int64_t inputs = 0;
  bool gated = false;
};

// The most rows of x that MatrixVector takes.
inline constexpr int64_t kMaxVectorRows = 8;
// LinearArgs by products of few rows (x: [1 to kMaxVectorRows, inputs]): each weight is read once, in its format. y is
// bfloat16 or float32. bias: [outputs] float32 or null. args.weight and args.bias are not looked at. With `norm`, an
// RMS norm whose y is args.x and for which TakesNorm() is true, it does that norm first; gain: as in Norm().
void MatrixVector(StreamHandle stream, const WeightMatrix& weight, const float* bias, const LinearArgs& args,
                  const NormArgs* norm = nullptr, const float* gain = nullptr);
bool TakesNorm(const WeightMatrix& weight, const NormArgs& norm);
// The same of bfloat16 weights by tensor cores, for up to kMaxSkinnyRows rows; norm->passing must be true, and its x
// float32. weight.inputs is a multiple of 32.
inline constexpr int64_t kMaxSkinnyRows = 64;
void SkinnyProduct(StreamHandle stream, const WeightMatrix& weight, const float* bias, const LinearArgs& args,
                   const NormArgs* norm = nullptr, const float* gain = nullptr);
// Whether it takes rows like these, of x or of what a norm is of, and is quicker at it than a dense product.
bool TakesSkinny(const WeightMatrix& weight, const ConstMatrixView& x);
// Rows `ids` of a weight that isn't gated, zeros for ids that it doesn't have. y.cols: at most its inputs.
void GatherRows(StreamHandle stream, const WeightMatrix& table, DeviceSpan<const int32_t> ids, MatrixView y);
// x of bfloat16 into E4M3 as RoundedNorm() has it. x.cols: a multiple of 8, as its stride is.
void RoundRows(StreamHandle stream, ConstMatrixView x, uint8_t* values, float* scales);
// rows [first, first + count) of a weight as bfloat16, [count, inputs].
void Dequantize(StreamHandle stream, const WeightMatrix& weight, int64_t first, int64_t count, uint16_t* out);

// --- Attention (attention-inl.h, decode-inl.h, rotary-inl.h).
// EncodeAttentionArgs. `log_sums`: scratch of [heads, tokens] float32, needed where args.column_mean isn't empty.
void EncodeAttention(StreamHandle stream, const EncodeAttentionArgs& args, float* log_sums);

// One layer of the key/value cache: [slots, kv_heads, head_dim] bfloat16 each.
struct CacheLayer {
  uint16_t* keys = nullptr;
  uint16_t* values = nullptr;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t block_size = 0;
  int64_t group = 0;  // whose slots, lengths and block tables of the batch it has
};
void RotaryStore(StreamHandle stream, const RotaryStoreArgs& args, const CacheLayer& layer);
// Steps with any number of queries a sequence.
void PrefillAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer);
// Steps with one query for each sequence. Longer contexts than kUnsplitKeys may be split into parts, each for a block
// of threads; how many there are depends on the batch and its max_context. `partial` holds what they give, `counters`
// how many have: both of the sizes that DecodeScratchOf() says, counters zero before and after. With `newest`, whose
// qkv begins with args.q, it does RotaryStore(newest) too, but leaves qkv as it is.
inline constexpr int64_t kUnsplitKeys = 256;
struct DecodeScratch {
  int64_t floats = 0;  // float32
  int64_t counters = 0;  // uint32
};
DecodeScratch DecodeScratchOf(int64_t sequences, int64_t heads, const CacheLayer& layer, int64_t max_context);
void DecodeAttention(StreamHandle stream, const PagedAttentionArgs& args, const CacheLayer& layer, float* partial,
                     uint32_t* counters, const RotaryStoreArgs* newest);

// --- Sampling (sampling-inl.h): SampleArgs. Greedy choices are those of SampleToken() to the bit; draws come from the
// same distribution, by another order of candidates. scratch is not looked at.
void Sample(StreamHandle stream, const SampleArgs& args);

}  // namespace eyeshot::cuda

#endif  // EYESHOT_KERNELS_CUDA_KERNELS_H_
