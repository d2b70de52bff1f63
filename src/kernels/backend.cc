#include "kernels/backend.h"

#include <array>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cpu_backend.h"
#include "kernels/cuda_plugin.h"

namespace eyeshot {
namespace {

uint64_t Bytes(const ConstMatrixView& view) {
  return view.empty() ? 0 : static_cast<uint64_t>(view.rows * view.cols) * DTypeBytes(view.dtype);
}

void Count(Stream& stream, uint64_t flops, uint64_t bytes) {
  stream.counters.flops += flops;
  stream.counters.bytes += bytes;
}

uint64_t MulAdds(int64_t a, int64_t b, int64_t c) { return 2 * static_cast<uint64_t>(a * b * c); }

void CheckShape(const ConstMatrixView& view, int64_t rows, int64_t cols) {
  EYESHOT_CHECK(view.rows == rows && view.cols == cols && view.stride >= cols);
}

// FLOPs of one exp, tanh, division or the like in the counts of norms and activations: they are under 1 % of
// any stage, so the convention only needs to be stable.
constexpr uint64_t kNormFlopsPerElement = 8;

}  // namespace

uint64_t KvCache::NextId() {
  static std::atomic<uint64_t> next{1};
  return next++;
}

void Backend::Linear(Stream& stream, const LinearArgs& args) {
  const PackedWeight& w = *args.weight;
  EYESHOT_CHECK(args.x.cols == w.inputs);
  CheckShape(args.y, args.x.rows, w.outputs);
  EYESHOT_CHECK(args.bias == nullptr || (args.bias->outputs == w.outputs && !w.gated));
  EYESHOT_CHECK(!w.gated || args.activation == Activation::kNone);
  EYESHOT_CHECK(args.activation != Activation::kGelu || args.residual.empty());
  if (!args.residual.empty()) CheckShape(args.residual, args.y.rows, args.y.cols);
  if (args.x.rows == 0) return;
  const int64_t computed = w.gated ? 2 * w.outputs : w.outputs;
  Count(stream, MulAdds(args.x.rows, computed, w.inputs),
        w.bytes + Bytes(args.x) + Bytes(args.y) + Bytes(args.residual));
  if (stream.count_only) return;
  DoLinear(stream, args);
}

void Backend::LayerNorm(Stream& stream, const NormArgs& args) {
  CheckShape(args.y, args.x.rows, args.x.cols);
  EYESHOT_CHECK(args.gain != nullptr && args.gain->outputs == args.x.cols);
  EYESHOT_CHECK(args.bias != nullptr && args.bias->outputs == args.x.cols);
  if (args.x.rows == 0) return;
  Count(stream, kNormFlopsPerElement * static_cast<uint64_t>(args.x.rows * args.x.cols), Bytes(args.x) + Bytes(args.y));
  if (stream.count_only) return;
  DoLayerNorm(stream, args);
}

void Backend::RmsNorm(Stream& stream, const NormArgs& args) {
  CheckShape(args.y, args.x.rows, args.x.cols);
  EYESHOT_CHECK(args.gain != nullptr && args.gain->outputs == args.x.cols && args.bias == nullptr);
  if (args.x.rows == 0) return;
  Count(stream, kNormFlopsPerElement * static_cast<uint64_t>(args.x.rows * args.x.cols), Bytes(args.x) + Bytes(args.y));
  if (stream.count_only) return;
  DoRmsNorm(stream, args);
}

void Backend::PatchEmbed(Stream& stream, const PatchEmbedArgs& args) {
  const int64_t tile_bytes = args.side * args.side * 3;
  EYESHOT_CHECK(args.patch > 0 && args.side >= args.patch && args.tiles.size % tile_bytes == 0);
  const int64_t grid = args.side / args.patch;
  const int64_t tokens = args.tiles.size / tile_bytes * grid * grid;
  EYESHOT_CHECK(args.weight->inputs == 3 * args.patch * args.patch && !args.weight->gated);
  EYESHOT_CHECK(args.normalization.size == 3 * 256 && args.position_ids.size == tokens);
  EYESHOT_CHECK(args.positions->inputs == args.weight->outputs);
  EYESHOT_CHECK(args.bias == nullptr || args.bias->outputs == args.weight->outputs);
  CheckShape(args.y, tokens, args.weight->outputs);
  if (tokens == 0) return;
  Count(stream, MulAdds(tokens, args.weight->outputs, args.weight->inputs),
        static_cast<uint64_t>(args.tiles.size) + args.weight->bytes + Bytes(args.y));
  if (stream.count_only) return;
  DoPatchEmbed(stream, args);
}

void Backend::EncodeAttention(Stream& stream, const EncodeAttentionArgs& args) {
  const int64_t width = args.heads * args.head_dim;
  EYESHOT_CHECK(args.qkv.cols == 3 * width && args.cu_tokens.size >= 1);
  EYESHOT_CHECK(args.key_bias.empty() || args.key_bias.size == args.qkv.rows);
  EYESHOT_CHECK(args.column_mean.empty() || args.column_mean.size == args.qkv.rows);
  CheckShape(args.y, args.qkv.rows, width);
  if (args.qkv.rows == 0) return;
  // q k^T and p v: each a multiply-add per query, key and channel.
  Count(stream, 2 * MulAdds(args.qkv.rows, args.max_tokens, width), Bytes(args.qkv) + Bytes(args.y));
  if (stream.count_only) return;
  DoEncodeAttention(stream, args);
}

void Backend::PixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args) {
  const int64_t patches = args.grid * args.grid;
  EYESHOT_CHECK(args.scale > 0 && args.grid % args.scale == 0 && args.x.rows % patches == 0);
  const int64_t tokens = args.x.rows / (args.scale * args.scale);
  EYESHOT_CHECK(args.weight->inputs == args.x.cols * args.scale * args.scale && !args.weight->gated);
  CheckShape(args.y, tokens, args.weight->outputs);
  if (tokens == 0) return;
  Count(stream, MulAdds(tokens, args.weight->outputs, args.weight->inputs),
        args.weight->bytes + Bytes(args.x) + Bytes(args.y));
  if (stream.count_only) return;
  DoPixelShuffleLinear(stream, args);
}

void Backend::Gather(Stream& stream, const GatherArgs& args) {
  EYESHOT_CHECK(!args.table->gated);
  CheckShape(args.y, args.ids.size, args.table->inputs);
  if (args.ids.size == 0) return;
  Count(stream, 0, 2 * Bytes(args.y));
  if (stream.count_only) return;
  DoGather(stream, args);
}

void Backend::CopyRows(Stream& stream, const CopyRowsArgs& args) {
  EYESHOT_CHECK(args.x.cols == args.y.cols);
  EYESHOT_CHECK(args.from.empty() || args.from.size >= args.count);
  EYESHOT_CHECK(args.to.empty() || args.to.size >= args.count);
  EYESHOT_CHECK(!args.add || args.x.dtype == args.y.dtype);
  if (args.count == 0) return;
  Count(stream, args.add ? static_cast<uint64_t>(args.count * args.x.cols) : 0,
        static_cast<uint64_t>(args.count * args.x.cols) * (DTypeBytes(args.x.dtype) + DTypeBytes(args.y.dtype)));
  if (stream.count_only) return;
  DoCopyRows(stream, args);
}

void Backend::ConvolveRows(Stream& stream, const ConvolveRowsArgs& args) {
  EYESHOT_CHECK(args.taps > 0 && args.x.rows == args.y.rows * args.taps && args.x.dtype == args.y.dtype);
  EYESHOT_CHECK(args.weight->outputs == args.x.cols * args.taps && args.bias->outputs == args.x.cols);
  CheckShape(args.y, args.y.rows, args.x.cols);
  if (args.x.rows == 0) return;
  Count(stream, 2 * static_cast<uint64_t>(args.x.rows * args.x.cols), Bytes(args.x) + Bytes(args.y));
  if (stream.count_only) return;
  DoConvolveRows(stream, args);
}

void Backend::RotaryStore(Stream& stream, const RotaryStoreArgs& args) {
  const KvCacheShape& shape = args.cache->shape;
  const int64_t rotated = args.heads + shape.kv_heads;
  EYESHOT_CHECK(args.qkv.rows == args.batch->tokens);
  EYESHOT_CHECK(args.qkv.cols == (rotated + shape.kv_heads) * shape.head_dim);
  EYESHOT_CHECK(args.inverse_frequency.size * 2 == shape.head_dim && args.layer < shape.layers());
  EYESHOT_CHECK(args.batch->positions.size >= args.batch->tokens);
  if (args.qkv.rows == 0) return;
  Count(stream, 3 * static_cast<uint64_t>(args.qkv.rows * rotated * shape.head_dim), 2 * Bytes(args.qkv));
  if (stream.count_only) return;
  DoRotaryStore(stream, args);
}

void Backend::PagedAttention(Stream& stream, const PagedAttentionArgs& args) {
  const KvCacheShape& shape = args.cache->shape;
  const int64_t width = args.heads * shape.head_dim;
  EYESHOT_CHECK(args.heads % shape.kv_heads == 0 && args.layer < shape.layers());
  CheckShape(args.q, args.batch->tokens, width);
  CheckShape(args.y, args.batch->tokens, width);
  if (args.q.rows == 0) return;
  // Each sequence's cache is read once; a query sees the keys up to its own.
  const auto context = static_cast<uint64_t>(args.batch->max_context);
  const auto queries = static_cast<uint64_t>(args.batch->tokens);
  const auto sequences = static_cast<uint64_t>(args.batch->sequences);
  const uint64_t per_sequence = queries / sequences;
  const uint64_t seen = context - (per_sequence > context ? 0 : per_sequence / 2);
  const uint64_t kv_bytes = args.cache->bytes / static_cast<uint64_t>(shape.layers() * shape.blocks * shape.block_size);
  Count(stream, 4 * queries * seen * static_cast<uint64_t>(width),
        sequences * context * kv_bytes + Bytes(args.q) + Bytes(args.y));
  if (stream.count_only) return;
  DoPagedAttention(stream, args);
}

void Backend::Sample(Stream& stream, const SampleArgs& args) {
  EYESHOT_CHECK(args.params.size >= args.logits.rows && args.steps.size >= args.logits.rows);
  EYESHOT_CHECK(args.next.size >= args.logits.rows);
  EYESHOT_CHECK(args.seen.empty() || args.seen.size >= args.logits.rows * args.logits.cols);
  EYESHOT_CHECK(args.scratch.size >= args.logits.rows * args.logits.cols);
  Count(stream, static_cast<uint64_t>(args.logits.rows * args.logits.cols), Bytes(args.logits));
  if (stream.count_only) return;
  DoSample(stream, args);
}

void Backend::MarkSeen(Stream& stream, DeviceSpan<const int32_t> ids, DeviceSpan<uint8_t> seen) {
  Count(stream, 0, static_cast<uint64_t>(ids.size) * sizeof(int32_t));
  if (stream.count_only) return;
  DoMarkSeen(stream, ids, seen);
}

namespace {

constexpr std::array<std::pair<std::string_view, WeightFormat>, 8> kFormatNames = {
    {{"exact", WeightFormat::kExact},
     {"bf16", WeightFormat::kBf16},
     {"int8", WeightFormat::kInt8},
     {"q8_0", WeightFormat::kQ8},
     {"int4", WeightFormat::kInt4},
     {"q4_0", WeightFormat::kQ4},
     {"fp8", WeightFormat::kFp8},
     {"float32", WeightFormat::kFloat32}}};

}  // namespace

std::string_view WeightFormatName(WeightFormat format) {
  for (const auto& [name, known] : kFormatNames) {
    if (format == known) return name;
  }
  return "unknown";
}

std::optional<WeightFormat> WeightFormatFromName(std::string_view name) {
  for (const auto& [known, format] : kFormatNames) {
    if (name == known) return format;
  }
  return std::nullopt;
}

std::span<const uint8_t> Backend::PackedBytes(const PackedWeight&) const {
  EYESHOT_CHECK(!packed_layout().empty());
  return {};
}

PackedShape Backend::ShapeOf(const PackedWeight&) const {
  EYESHOT_CHECK(!packed_layout().empty());
  return {};
}

Result<PackedWeightPtr> Backend::Adopt(const PackedShape&, std::span<const uint8_t>, std::string_view what) {
  return UnsupportedError(fmt::format("{}: the {} backend has no packed weights", what, info().name),
                          "use the portable backend, or the folder that was packed");
}

Result<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options, std::vector<std::string>* notes) {
  if (options.name != "auto" && options.name != "portable" && options.name != "reference") {
    return InvalidArgumentError(fmt::format("'{}' is no backend", options.name), "use auto, portable or reference");
  }
  if (options.device != "cpu" && options.device != "auto") {
    EYESHOT_ASSIGN_OR_RETURN(const int index, ParseCudaDevice(options.device));
    if (options.name != "auto") {
      return InvalidArgumentError(fmt::format("the backend '{}' for the device '{}'", options.name, options.device),
                                  "leave one of them out: those backends are a CPU's");
    }
    return LoadCudaBackend({.device = index, .memory_limit = options.gpu_memory, .threads = options.threads});
  }
  if (options.name == "auto" && options.device == "auto" && HasCudaDriver()) {
    auto backend = LoadCudaBackend({.memory_limit = options.gpu_memory, .threads = options.threads});
    if (backend.ok()) return backend;
    if (notes != nullptr) notes->push_back(fmt::format("running on the CPU: {}", backend.status().message()));
  }
  if (options.name == "reference") return NewReferenceBackend(options.threads);
  EYESHOT_ASSIGN_OR_RETURN(const Isa isa, ChooseIsa());
  return NewPortableBackend(options.threads, isa);
}

}  // namespace eyeshot
