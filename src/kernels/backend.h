// Backend: where the arithmetic happens. A short list of coarse operations, so that a CPU can fuse them,
// a GPU can capture them in a graph, and a new one is one folder of files.
//
// Rules that make graphs possible: operations are enqueued on a Stream and errors surface at Sync();
// everything that changes from step to step (positions, lengths, slots, block tables, sampler state) is read
// from device memory, never from scalar arguments; scalars are shapes and constants of the model.
//
// The public operations check shapes (a wrong one is our own bug: abort) and count FLOPs and bytes, the same
// for every backend; the protected Do... functions are what a backend writes.
#ifndef EYESHOT_KERNELS_BACKEND_H_
#define EYESHOT_KERNELS_BACKEND_H_

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"
#include "ledger/stage.h"
#include "tensor/host_tensor.h"
#include "tensor/view.h"

namespace eyeshot {

struct BackendInfo {
  std::string name;       // "reference", "portable", "cuda"
  std::string device;     // "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)"
  std::string isa;        // "avx512", "sm_90", ...
  std::string precision;  // the name of exact weights: "float32", or "exact" (bfloat16, float32 arithmetic)
  int threads = 1;
  DType activation = DType::kF32;  // of the matrices between operations, but for the decoder's residual stream
  int tower_group = 1;             // tiles that one pass of the vision tower takes best
  // Tokens of a prompt that one decoder step takes at most. On a CPU: enough for full speed (a weight panel is used by
  // 512 rows), few enough that the workspace of the 2.2B model stays below 50 MB and that a run can be cancelled.
  int64_t prefill_tokens = 512;
  std::string pci_bus_id;  // of a GPU: what its meters know it by
  bool asynchronous = false;  // what is enqueued runs while the host goes on
};

// Device memory. Freed on destruction.
class Buffer {
 public:
  using Deleter = void (*)(void* data, size_t bytes);

  Buffer() = default;
  Buffer(void* data, size_t bytes, Deleter deleter) : data_(data), bytes_(bytes), deleter_(deleter) {}
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(deleter_, other.deleter_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) deleter_(data_, bytes_);
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Deleter deleter_ = nullptr;
};

// An ordered queue of operations, and what they did.
class Stream : public StageQueue {
 public:
  bool count_only = false;  // operations are counted and not run: Backend::Repeat
  bool yields = false;  // large operations leave a part of the device to other streams
};

// A weight in the layout that its backend's kernels want.
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  int64_t outputs = 0;  // rows of the stored matrix: [outputs, inputs]
  int64_t inputs = 0;
  size_t bytes = 0;  // resident
  bool gated = false;  // see LinearSource
};
using PackedWeightPtr = std::unique_ptr<PackedWeight>;

// How a backend keeps the matrix of a linear operation.
enum class WeightFormat {
  kExact,  // the checkpoint's values, in float32 or bfloat16; activations aren't rounded
  kBf16,  // bfloat16, and activations too where that's faster
  kInt8,  // 8 bits with a scale for each output; activations are rounded to 8 bits by row
  kQ8,  // 8 bits with a scale for each 32 inputs (GGUF's Q8_0)
  kQ4,  // 4 bits with a scale for each 32 inputs (GGUF's Q4_0)
  kInt4,  // the same with 16 levels that are chosen for weights
  kFloat32,  // what kExact becomes for values that bfloat16 hasn't; nothing else asks for it
  // 8-bit floating point (E4M3) with a scale for each output; activations too, with a scale for each row, where rows
  // are many and the device multiplies such numbers.
  kFp8,
};

// "exact", "bf16", "int8", "q8_0", "q4_0", "int4", "fp8", "float32".
std::string_view WeightFormatName(WeightFormat format);
// nullopt: no format has that name.
std::optional<WeightFormat> WeightFormatFromName(std::string_view name);

// What a packed weight is, without its bytes.
struct PackedShape {
  enum class Kind { kLinear, kTable, kVector };
  Kind kind = Kind::kLinear;
  WeightFormat format = WeightFormat::kExact;  // kLinear
  int64_t outputs = 0;  // of a gated weight: gates and ups together; of a vector: its elements
  int64_t inputs = 1;
  bool gated = false;
};

// The matrices [n_i, k] of one linear operation, stacked along their outputs (q, k and v as one).
struct LinearSource {
  std::vector<HostTensor> parts;
  // Exactly two parts of one shape, gate and up: the operation gives silu(x gate^T) * (x up^T), [m, n].
  bool gated = false;
  WeightFormat format = WeightFormat::kExact;
};

enum class Activation {
  kNone,
  kGeluTanh,  // the tanh form
  kGelu,  // x times the normal distribution's share below x; without a residual
};

struct LinearArgs {
  ConstMatrixView x;  // [m, k]
  const PackedWeight* weight = nullptr;
  const PackedWeight* bias = nullptr;  // [n], may be null
  Activation activation = Activation::kNone;
  ConstMatrixView residual;  // [m, n] added after the activation; may be empty, may be y
  MatrixView y;  // [m, n]
};

struct NormArgs {
  ConstMatrixView x;  // [m, n]
  const PackedWeight* gain = nullptr;  // [n]
  const PackedWeight* bias = nullptr;  // [n]; null for RMS norm
  float epsilon = 0;
  MatrixView y;  // [m, n], may be x
  // Only the next operation reads y, a linear one of all its rows: a backend may do both at once and leave y as it is.
  bool passing = false;
};

struct PatchEmbedArgs {
  DeviceSpan<const uint8_t> tiles;  // [tiles, side, side, 3], before normalization
  int64_t side = 0;
  int64_t patch = 0;  // side % patch pixels at the right and bottom are not seen
  DeviceSpan<const float> normalization;  // [3, 256]: the model's input for each byte of each channel
  const PackedWeight* weight = nullptr;  // [width, 3 * patch * patch], channel slowest
  const PackedWeight* bias = nullptr;  // [width]
  const PackedWeight* positions = nullptr;  // table [(side / patch)^2, width]
  DeviceSpan<const int32_t> position_ids;  // [tiles * patches]: rows of `positions`
  MatrixView y;  // [tiles * patches, width]
};

// Full attention inside each of several independent runs of tokens (tiles of unequal token counts).
struct EncodeAttentionArgs {
  ConstMatrixView qkv;  // [tokens, 3 * heads * head_dim]: all q, all k, all v
  DeviceSpan<const int32_t> cu_tokens;  // [runs + 1]: run r holds tokens [cu_tokens[r], cu_tokens[r + 1])
  int64_t max_tokens = 0;  // an upper bound on one run's tokens, for planning
  int64_t heads = 0;
  int64_t head_dim = 0;
  float scale = 0;  // of q k^T
  bool reduced = false;  // operands may be rounded to bfloat16
  DeviceSpan<const float> key_bias;  // [tokens] added to every score of that key (log size); may be empty
  DeviceSpan<float> column_mean;  // [tokens] mean probability that a key received, over the run's
                                  // queries and all heads; may be empty
  MatrixView y;  // [tokens, heads * head_dim]
};

struct PixelShuffleLinearArgs {
  ConstMatrixView x;  // [tiles * grid * grid, width], patches row-major
  int64_t grid = 0;  // patches along a side
  int64_t scale = 0;  // s: s x s patches become one token
  const PackedWeight* weight = nullptr;  // [n, width * s * s]
  MatrixView y;  // [tiles * (grid / s)^2, n]
};

struct GatherArgs {
  const PackedWeight* table = nullptr;  // packed by PackTable or PackLinear, not gated
  DeviceSpan<const int32_t> ids;  // [m]; an id outside the table gives a row of zeros
  MatrixView y;  // [m, width]
};

struct CopyRowsArgs {
  ConstMatrixView x;  // [m, n]
  DeviceSpan<const int32_t> from;  // [count] rows of x; empty: 0, 1, 2, ...
  DeviceSpan<const int32_t> to;  // [count] rows of y; empty: 0, 1, 2, ...
  int64_t count = 0;
  MatrixView y;  // of any type that the backend computes with
  bool add = false;  // to what y has, which is of x's type; `to` names no row twice
};

// A depth-wise convolution whose windows follow each other: y[r, c] = bias[c] + sum of weight[c, t] x[r taps + t, c].
struct ConvolveRowsArgs {
  ConstMatrixView x;  // [m * taps, n]
  int64_t taps = 0;
  const PackedWeight* weight = nullptr;  // a vector of n * taps, taps fastest
  const PackedWeight* bias = nullptr;  // [n]
  MatrixView y;  // [m, n], of x's type
};

// How a backend keeps keys and values.
enum class KvFormat {
  kHalf,  // as near to float32 as the backend goes: float32, or 16 bits
  kInt8,  // 8 bits, each head of a token with its own scale; kHalf where a backend hasn't it
};

// The shape of a paged key/value cache. Layers with one block table form a group: reducers that drop tokens
// from some layer on need one table for the layers before and one for those after.
struct KvCacheShape {
  std::vector<int> layer_group;  // group of each layer
  int64_t blocks = 0;  // in each layer
  int64_t block_size = 0;  // tokens in a block
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  KvFormat format = KvFormat::kHalf;

  int64_t layers() const { return static_cast<int64_t>(layer_group.size()); }
};

class KvCache {
 public:
  virtual ~KvCache() = default;
  // Of no other cache of this process, nor of this one before its memory moved.
  uint64_t id = NextId();
  KvCacheShape shape;
  size_t bytes = 0;  // with a full context

 protected:
  static uint64_t NextId();
};

// One step of several sequences over a paged cache. Sequence s owns query rows
// [query_start[s], query_start[s + 1]). Arrays with a group dimension have one part for each layer group.
struct PagedBatch {
  int64_t tokens = 0;
  int64_t sequences = 0;
  int64_t max_blocks = 0;  // row length of the block tables
  DeviceSpan<const int32_t> positions;  // [tokens] rotary positions
  DeviceSpan<const int32_t> query_start;  // [sequences + 1]
  DeviceSpan<const int32_t> slots;  // [groups, tokens] cache slot of each token: block * block_size + offset
  DeviceSpan<const int32_t> context_length;  // [groups, sequences] keys to attend to, this step's included
  DeviceSpan<const int32_t> block_table;  // [groups, sequences, max_blocks]
  int64_t max_context = 0;  // an upper bound on context_length, for planning and FLOP counts
};

// Rotates q in place and k by its position (half-split "NeoX" convention over the whole head), and stores
// k and v of every token in the cache.
struct RotaryStoreArgs {
  MatrixView qkv;  // [tokens, (heads + 2 * kv_heads) * head_dim]
  int64_t heads = 0;
  DeviceSpan<const float> inverse_frequency;  // [head_dim / 2]
  KvCache* cache = nullptr;
  int64_t layer = 0;
  const PagedBatch* batch = nullptr;
};

// Causal attention of the step's queries to their sequence's cached keys: query i of a sequence with n
// queries and context c sees keys [0, c - n + i].
struct PagedAttentionArgs {
  ConstMatrixView q;  // [tokens, heads * head_dim], rotated
  int64_t heads = 0;
  float scale = 0;
  bool reduced = false;  // operands may be rounded to bfloat16
  const KvCache* cache = nullptr;
  int64_t layer = 0;
  const PagedBatch* batch = nullptr;
  MatrixView y;  // [tokens, heads * head_dim]
};

// How one sequence chooses its next token; lives in device memory. See SamplingOptions.
struct SamplerParams {
  float temperature = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition_penalty = 1;
  int32_t top_k = 0;
  uint32_t seed_low = 0;
  uint32_t seed_high = 0;
};

struct SampleArgs {
  ConstMatrixView logits;  // [sequences, vocabulary] float32
  DeviceSpan<const SamplerParams> params;  // [sequences]
  DeviceSpan<uint32_t> steps;  // [sequences] draws made so far; advanced by one
  DeviceSpan<uint8_t> seen;  // [sequences, vocabulary] 1: the token occurred; updated. May be empty
  DeviceSpan<uint64_t> scratch;  // [sequences, vocabulary]
  DeviceSpan<int32_t> next;  // [sequences] out
};

// What tells steps that can be repeated from others: see Backend::Repeat.
struct StepKey {
  uint64_t cache = 0;  // KvCache::id
  const void* inputs = nullptr;  // the first device array that the step reads
  int64_t tokens = 0;
  int64_t context = 0;  // PagedBatch::max_context

  auto operator<=>(const StepKey&) const = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const BackendInfo& info() const = 0;

  // --- Memory. `what` names the memory in an out-of-memory error.
  virtual Result<Buffer> Allocate(size_t bytes, std::string_view what) = 0;
  virtual Result<std::unique_ptr<KvCache>> NewKvCache(const KvCacheShape& shape) = 0;
  virtual std::unique_ptr<Stream> NewStream() = 0;
  // A queue whose work runs beside that of the others, which comes first where a device has room for one alone. It
  // takes no Repeat(), and no other such queue of the backend may have work at the same time. Null: whatever is
  // enqueued runs one after the other, as on a CPU, or there is no memory for it.
  virtual std::unique_ptr<Stream> NewStreamBeside() { return nullptr; }
  // Makes sure that the cache has memory for its first `blocks` blocks; where memory comes with use, as on a CPU, there
  // is nothing to do. May move what the cache holds, and change its id. Error: kOutOfMemory.
  virtual Status Reserve(Stream& stream, KvCache& cache, int64_t blocks) {
    static_cast<void>(stream);
    static_cast<void>(cache);
    static_cast<void>(blocks);
    return Status::Ok();
  }
  // Host memory may be reused when the call returns.
  virtual void Upload(Stream& stream, const void* host, void* device, size_t bytes) = 0;
  // Waits for everything enqueued and for the copy. Sync() has its errors.
  virtual void Download(Stream& stream, const void* device, void* host, size_t bytes) = 0;
  // Begins to copy up to kMostAnswerBytes to the host, behind what was enqueued so far. FinishDownload(), called for
  // each in their order, waits for the copy and for nothing that was enqueued later. Two may be under way; Sync() drops
  // those that were not asked for.
  static constexpr size_t kMostAnswerBytes = 4096;
  virtual void BeginDownload(Stream& stream, const void* device, size_t bytes) {
    static_cast<void>(stream);
    static_cast<void>(device);
    static_cast<void>(bytes);
  }
  // device, bytes: as in BeginDownload().
  virtual Status FinishDownload(Stream& stream, const void* device, void* host, size_t bytes) {
    Download(stream, device, host, bytes);
    return Sync(stream);
  }
  // Whether everything that was enqueued is done, without waiting. Sync() has its errors.
  virtual bool IsDone(Stream& stream) const {
    static_cast<void>(stream);
    return true;
  }
  // Waits for everything enqueued; the error of any of it, or of anything before. kOutOfMemory is told once: what comes
  // later may need less.
  virtual Status Sync(Stream& stream) = 0;

  // Of a CPU: at most so many of its threads run what is enqueued next; 0: all. Who waits for memory needs no core
  // more.
  virtual void UseThreads(int threads) { static_cast<void>(threads); }

  // Runs `enqueue`, or repeats what it enqueued when it was called with this key before. It may call operations of this
  // stream alone, and those must be the same ones on the same memory whenever the key is the same. They are counted
  // as if they had been called.
  virtual void Repeat(Stream& stream, StepKey key, const std::function<void()>& enqueue) {
    static_cast<void>(stream);
    static_cast<void>(key);
    enqueue();
  }

  // Whether NewKvCache takes the format.
  virtual bool SupportsCache(KvFormat format) const {
    static_cast<void>(format);
    return true;
  }
  // Bytes that Allocate() may still give, and the most that were taken at a time; empty where memory is the host's.
  virtual std::optional<size_t> AvailableBytes() const { return std::nullopt; }
  virtual std::optional<size_t> PeakBytes() const { return std::nullopt; }

  // Whether PackLinear takes the format.
  virtual bool Supports(WeightFormat format) const { return format == WeightFormat::kExact; }

  // --- Weights. Sources are of the types of IsWeightType(); Q8_0 into kQ8 and Q4_0 into kQ4 keep their numbers.
  // Packing is synchronous and the source is not needed afterwards. Errors: kUnsupported (dtype), kOutOfMemory.
  virtual Result<PackedWeightPtr> PackLinear(const LinearSource& source) = 0;
  virtual Result<PackedWeightPtr> PackTable(const HostTensor& source) = 0;  // [rows, width], for Gather
  virtual Result<PackedWeightPtr> PackVector(const HostTensor& source) = 0;  // any shape, flat, kept in float32
  // The layout of PackedBytes, or "" if weights can't be written to a file and used from there.
  virtual std::string_view packed_layout() const { return {}; }
  // A weight's bytes on the host, such that Adopt gives the same weight. REQUIRES: packed_layout() isn't "".
  virtual std::span<const uint8_t> PackedBytes(const PackedWeight& weight) const;
  virtual PackedShape ShapeOf(const PackedWeight& weight) const;
  // A weight that lies in memory of the caller's, 64-byte aligned, which must outlive it.
  // Errors: kUnsupported (no such layout), kCorrupt (the shape has another number of bytes).
  virtual Result<PackedWeightPtr> Adopt(const PackedShape& shape, std::span<const uint8_t> bytes,
                                        std::string_view what);
  // y[0..inputs) = row `row` of a matrix as it is kept; rows of a gated one are gates, then ups.
  virtual void ReadRow(const PackedWeight& weight, int64_t row, float* y) const = 0;
  // Bytes that PackLinear would take for [outputs, inputs], for memory plans.
  virtual size_t PackedLinearBytes(int64_t outputs, int64_t inputs, WeightFormat format) const = 0;
  virtual size_t PackedTableBytes(int64_t rows, int64_t width) const = 0;
  virtual size_t KvCacheBytes(const KvCacheShape& shape) const = 0;

  // --- Operations.
  void Linear(Stream& stream, const LinearArgs& args);
  void LayerNorm(Stream& stream, const NormArgs& args);
  void RmsNorm(Stream& stream, const NormArgs& args);
  void PatchEmbed(Stream& stream, const PatchEmbedArgs& args);
  void EncodeAttention(Stream& stream, const EncodeAttentionArgs& args);
  void PixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args);
  void Gather(Stream& stream, const GatherArgs& args);
  void CopyRows(Stream& stream, const CopyRowsArgs& args);
  void ConvolveRows(Stream& stream, const ConvolveRowsArgs& args);
  void RotaryStore(Stream& stream, const RotaryStoreArgs& args);
  void PagedAttention(Stream& stream, const PagedAttentionArgs& args);
  void Sample(Stream& stream, const SampleArgs& args);
  // seen[ids[i]] = 1 for every id inside the vocabulary.
  void MarkSeen(Stream& stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen);

 protected:
  virtual void DoLinear(Stream& stream, const LinearArgs& args) = 0;
  virtual void DoLayerNorm(Stream& stream, const NormArgs& args) = 0;
  virtual void DoRmsNorm(Stream& stream, const NormArgs& args) = 0;
  virtual void DoPatchEmbed(Stream& stream, const PatchEmbedArgs& args) = 0;
  virtual void DoEncodeAttention(Stream& stream, const EncodeAttentionArgs& args) = 0;
  virtual void DoPixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args) = 0;
  virtual void DoGather(Stream& stream, const GatherArgs& args) = 0;
  virtual void DoCopyRows(Stream& stream, const CopyRowsArgs& args) = 0;
  virtual void DoConvolveRows(Stream& stream, const ConvolveRowsArgs& args) = 0;
  virtual void DoRotaryStore(Stream& stream, const RotaryStoreArgs& args) = 0;
  virtual void DoPagedAttention(Stream& stream, const PagedAttentionArgs& args) = 0;
  virtual void DoSample(Stream& stream, const SampleArgs& args) = 0;
  virtual void DoMarkSeen(Stream& stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen) = 0;
};

struct BackendOptions {
  std::string name = "auto";  // "auto", or one of a CPU: "portable", "reference"
  std::string device = "cpu";  // or "cuda", "cuda:1"; "auto": a GPU where there is one and `name` is "auto"
  int threads = 0;  // 0: AvailableCores()
  size_t gpu_memory = 0;  // bytes that may be taken of a GPU; 0: all
};

// Errors: no such backend or device; EYESHOT_ISA names an instruction set that this CPU lacks; of a GPU that was asked
// for by name, those of LoadCudaBackend() (cuda_plugin.h). notes (may be null) gets why "auto" doesn't use a GPU that
// has a driver.
Result<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options,
                                               std::vector<std::string>* notes = nullptr);

}  // namespace eyeshot

#endif  // EYESHOT_KERNELS_BACKEND_H_
