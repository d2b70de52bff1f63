#include "plan/operations.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "kernels/few_rows.h"
#include "models/decoder.h"
#include "tensor/dtype.h"

namespace eyeshot::plan {
namespace {

// As backend.cc counts norms and rotations.
constexpr double kNormFlops = 8;
constexpr double kRotaryFlops = 3;
constexpr double kFloatBytes = 4;

std::vector<Operation>& Of(StageOperations& stages, StageId id) { return stages[static_cast<size_t>(id)]; }

// Writes the operations of one model on one backend.
class Writer {
 public:
  Writer(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision)
      : config_(config),
        backend_(backend),
        precision_(precision),
        activation_(static_cast<double>(DTypeBytes(backend.info().activation))) {}

  StageOperations Write(const Request& request) {
    if (request.tiles > 0) WriteTower(request);
    WritePrefill(request);
    WriteDecode(request);
    return std::move(stages_);
  }

 private:
  struct LinearOptions {
    bool gelu = false;
    bool gated = false;
    double residual_bytes = 0;  // of one element that is added; 0: none is
    double result_bytes = 0;    // of one element; 0: the activations'
    double operand_bytes = 0;   // of all rows; 0: those of the activations
  };

  Operation Linear(WeightFormat format, double rows, int64_t outputs, int64_t inputs) {
    return Linear(format, rows, outputs, inputs, LinearOptions());
  }
  Operation Linear(WeightFormat format, double rows, int64_t outputs, int64_t inputs, const LinearOptions& options) {
    Operation op;
    op.kind = OperationKind::kLinear;
    op.format = format;
    op.gelu = options.gelu;
    op.gated = options.gated;
    op.rows = rows;
    op.outputs = static_cast<double>(outputs);
    op.inputs = static_cast<double>(inputs);
    op.few_rows = static_cast<double>(FewRows(backend_, format));
    op.weight_bytes = static_cast<double>(backend_.PackedLinearBytes(outputs, inputs, format));
    op.flops = 2 * rows * op.outputs * op.inputs;
    const double results = rows * (options.gated ? op.outputs / 2 : op.outputs);
    const double operand = options.operand_bytes > 0 ? options.operand_bytes : rows * op.inputs * activation_;
    op.bytes = op.weight_bytes + operand +
               results * ((options.result_bytes > 0 ? options.result_bytes : activation_) + options.residual_bytes);
    return op;
  }

  Operation Norm(double rows, int64_t width, double source_bytes) const {
    Operation op;
    op.kind = OperationKind::kNorm;
    op.rows = rows;
    op.outputs = static_cast<double>(width);
    op.flops = kNormFlops * rows * op.outputs;
    op.bytes = rows * op.outputs * (source_bytes + activation_);
    return op;
  }

  static Operation Copy(double rows, int64_t width, double bytes_moved) {
    Operation op;
    op.kind = OperationKind::kCopy;
    op.rows = rows;
    op.outputs = static_cast<double>(width);
    op.bytes = rows * op.outputs * bytes_moved;
    return op;
  }

  void Add(StageId id, Operation op, double times) {
    op.times = times;
    if (times > 0) Of(stages_, id).push_back(op);
  }

  void WriteTower(const Request& request) {
    const auto group = static_cast<int64_t>(backend_.info().tower_group);
    const int64_t whole = request.tiles / group;
    if (whole > 0) WriteGroup(group, static_cast<double>(whole), request.tower_patches);
    if (request.tiles % group > 0) WriteGroup(request.tiles % group, 1, request.tower_patches);
    const int64_t all = request.tiles * config_.visual_tokens_per_tile();
    if (request.visual_tokens < all) {
      Add(StageId::kReduce, Copy(static_cast<double>(request.visual_tokens), config_.text.hidden_size, 2 * activation_),
          1);
    }
  }

  // `layers` layers of the tower over tiles of `patches`, of which `left` are left behind attention.
  void WriteTowerLayers(int64_t tiles, int64_t patches, int64_t left, double layers) {
    const VisionConfig& v = config_.vision;
    const WeightFormat format = precision_.tower;
    const auto rows = static_cast<double>(tiles * patches);
    const auto left_rows = static_cast<double>(tiles * left);
    const auto add = [&](const Operation& op) { Add(StageId::kEncode, op, layers); };
    add(Norm(rows, v.hidden_size, activation_));
    add(Linear(format, rows, 3 * v.hidden_size, v.hidden_size));
    Operation attention;
    attention.kind = OperationKind::kEncodeAttention;
    attention.reduced = IsReduced(format);
    attention.rows = rows;
    attention.heads = static_cast<double>(v.num_heads);
    attention.head_dim = static_cast<double>(v.head_dim());
    attention.context = static_cast<double>(patches);
    attention.flops = 4 * rows * attention.context * static_cast<double>(v.hidden_size);
    attention.bytes = rows * static_cast<double>(4 * v.hidden_size) * activation_;
    add(attention);
    add(Linear(format, rows, v.hidden_size, v.hidden_size, {.residual_bytes = activation_}));
    add(Norm(left_rows, v.hidden_size, activation_));
    add(Linear(format, left_rows, v.intermediate_size, v.hidden_size, {.gelu = true}));
    add(Linear(format, left_rows, v.hidden_size, v.intermediate_size, {.residual_bytes = activation_}));
  }

  // `groups` passes of `tiles` tiles each through the tower; `left` as Request::tower_patches.
  void WriteGroup(int64_t tiles, double groups, const std::vector<int64_t>& left) {
    const VisionConfig& v = config_.vision;
    const WeightFormat format = precision_.tower;
    const auto rows = static_cast<double>(tiles * v.patches());
    const auto pixels = static_cast<double>(tiles * v.image_size * v.image_size * v.num_channels);
    Add(StageId::kEncode,
        Linear(format, rows, v.hidden_size, v.num_channels * v.patch_size * v.patch_size, {.operand_bytes = pixels}),
        groups);
    if (left.empty()) WriteTowerLayers(tiles, v.patches(), v.patches(), groups * static_cast<double>(v.num_layers));
    int64_t patches = v.patches();
    for (const int64_t next : left) WriteTowerLayers(tiles, std::exchange(patches, next), next, groups);
    Add(StageId::kEncode, Norm(static_cast<double>(tiles * patches), v.hidden_size, activation_), groups);

    const auto tokens = static_cast<double>(tiles * config_.visual_tokens_per_tile());
    const int64_t shuffled = v.hidden_size * config_.scale_factor * config_.scale_factor;
    Add(StageId::kConnect,
        Linear(format, tokens, config_.text.hidden_size, shuffled,
               {.operand_bytes = rows * static_cast<double>(v.hidden_size) * activation_}),
        groups);
  }

  static bool IsReduced(WeightFormat format) {
    return format != WeightFormat::kExact && format != WeightFormat::kFloat32;
  }

  Operation Paged(double queries, double context, double keys) const {
    const TextConfig& t = config_.text;
    Operation op;
    op.kind = OperationKind::kPagedAttention;
    op.reduced = IsReduced(precision_.decoder);
    op.cache = precision_.kv_cache;
    op.rows = queries;
    op.heads = static_cast<double>(t.num_heads);
    op.kv_heads = static_cast<double>(t.num_kv_heads);
    op.head_dim = static_cast<double>(t.head_dim);
    op.context = context;
    op.keys = keys;
    const double width = op.heads * op.head_dim;
    op.flops = 4 * queries * keys * width;
    op.bytes =
        context * CacheBytesPerToken(config_, backend_, precision_.kv_cache) / static_cast<double>(t.num_layers) +
        2 * queries * width * activation_;
    return op;
  }

  // A step of `rows` tokens through all layers, `times` times.
  void WriteLayers(StageId id, double rows, double context, double keys, double times) {
    const TextConfig& t = config_.text;
    const WeightFormat format = precision_.decoder;
    const int64_t q = t.num_heads * t.head_dim;
    const int64_t kv = t.num_kv_heads * t.head_dim;
    const double calls = times * static_cast<double>(t.num_layers);
    Add(id, Copy(rows, t.hidden_size, 2 * kFloatBytes), times);  // the embedding
    Add(id, Norm(rows, t.hidden_size, kFloatBytes), 2 * calls);
    Add(id, Linear(format, rows, q + 2 * kv, t.hidden_size), calls);
    Operation rotary;
    rotary.kind = OperationKind::kRotary;
    rotary.rows = rows;
    rotary.outputs = static_cast<double>(q + 2 * kv);
    rotary.flops = kRotaryFlops * rows * static_cast<double>(q + kv);
    rotary.bytes = 2 * rows * rotary.outputs * activation_;
    Add(id, rotary, calls);
    Add(id, Paged(rows, context, keys), calls);
    const LinearOptions onto_stream = {.residual_bytes = kFloatBytes, .result_bytes = kFloatBytes};
    Add(id, Linear(format, rows, t.hidden_size, q, onto_stream), calls);
    Add(id, Linear(format, rows, 2 * t.intermediate_size, t.hidden_size, {.gated = true}), calls);
    Add(id, Linear(format, rows, t.hidden_size, t.intermediate_size, onto_stream), calls);
  }

  // The last row's logits.
  void WriteHead(StageId id, double times) {
    const TextConfig& t = config_.text;
    Add(id, Norm(1, t.hidden_size, kFloatBytes), times);
    Add(id,
        Linear(LlamaDecoder::HeadFormat(precision_.decoder), 1, t.vocab_size, t.hidden_size,
               {.result_bytes = kFloatBytes}),
        times);
  }

  void WritePrefill(const Request& request) {
    const int64_t most = backend_.info().prefill_tokens;
    Operation fresh;
    fresh.kind = OperationKind::kFresh;
    fresh.rows = static_cast<double>(request.prompt_tokens - request.cached_tokens) *
                 CacheBytesPerToken(config_, backend_, precision_.kv_cache);
    fresh.outputs = 1;
    Add(StageId::kPrefill, fresh, 1);
    for (int64_t first = request.cached_tokens; first < request.prompt_tokens; first += most) {
      const int64_t count = std::min(most, request.prompt_tokens - first);
      const int64_t context = first + count;
      const int64_t half = count / 2;  // of the step's own keys, in whole ones as the ledger counts
      WriteLayers(StageId::kPrefill, static_cast<double>(count), static_cast<double>(context),
                  static_cast<double>(context - half), 1);
    }
    if (request.visual_tokens > 0) {
      Add(StageId::kPrefill,
          Copy(static_cast<double>(request.visual_tokens), config_.text.hidden_size, activation_ + kFloatBytes), 1);
    }
    WriteHead(StageId::kPrefill, 1);
  }

  // The last token is sampled and not run.
  void WriteDecode(const Request& request) {
    const auto steps = static_cast<double>(request.output_tokens - 1);
    const double context = static_cast<double>(request.prompt_tokens) + (steps + 1) / 2;
    if (steps > 0) {
      WriteLayers(StageId::kDecode, 1, context, context, steps);
      WriteHead(StageId::kDecode, steps);
    }
    Operation sample;
    sample.kind = OperationKind::kSample;
    sample.rows = 1;
    sample.outputs = static_cast<double>(config_.text.vocab_size);
    sample.flops = sample.outputs;
    sample.bytes = sample.outputs * kFloatBytes;
    Add(StageId::kDecode, sample, static_cast<double>(request.output_tokens));
  }

  const ModelConfig& config_;
  const Backend& backend_;
  const ModelPrecision& precision_;
  double activation_;  // bytes of an element
  StageOperations stages_;
};

}  // namespace

double CacheBytesPerToken(const ModelConfig& config, const Backend& backend, KvFormat format) {
  const TextConfig& t = config.text;
  const KvCacheShape shape{.layer_group = std::vector<int>(static_cast<size_t>(t.num_layers), 0),
                           .blocks = 1,
                           .block_size = kKvBlockSize,
                           .kv_heads = t.num_kv_heads,
                           .head_dim = t.head_dim,
                           .format = format};
  return static_cast<double>(backend.KvCacheBytes(shape)) / static_cast<double>(kKvBlockSize);
}

StageOperations OperationsOf(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                             const Request& request) {
  EYESHOT_CHECK(request.cached_tokens >= 0 && request.cached_tokens < request.prompt_tokens);
  EYESHOT_CHECK(request.output_tokens >= 1 && request.tiles >= 0);
  const std::vector<int64_t>& left = request.tower_patches;
  EYESHOT_CHECK(left.empty() || static_cast<int64_t>(left.size()) == config.vision.num_layers);
  return Writer(config, backend, precision).Write(request);
}

double TotalFlops(const std::vector<Operation>& operations) {
  double sum = 0;
  for (const Operation& op : operations) sum += op.times * op.flops;
  return sum;
}

double TotalBytes(const std::vector<Operation>& operations) {
  double sum = 0;
  for (const Operation& op : operations) sum += op.times * op.bytes;
  return sum;
}

}  // namespace eyeshot::plan
