#include "plan/calibration_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/splitmix64.h"
#include "kernels/few_rows.h"
#include "models/model.h"
#include "tensor/dtype.h"

namespace eyeshot::plan {
namespace {

// Bytes of different weights that a point goes through: more than the last cache of most CPUs, or of the share that a
// virtual machine gets of it.
constexpr size_t kRingBytes = 48 << 20;
// The same where nothing but their way from memory counts.
constexpr size_t kFewRingBytes = 96 << 20;
// Products of so many rows take longer than their weights' way from memory, and are measured with one weight.
constexpr int64_t kManyRows = 256;
constexpr int64_t kWeightStep = 64;      // outputs and inputs of weights are multiples of it
constexpr int64_t kFewCallsAtOnce = 64;  // of what takes microseconds

TimedCalls MakePoint(const Operation& op, std::string shape) {
  TimedCalls point;
  point.class_name = ClassOf(op);
  point.features = FeaturesOf(op);
  point.shape = std::move(shape);
  return point;
}

// The arrays of a step of one sequence. `rows` tokens at the end of `context`.
struct PagedStep {
  std::vector<int32_t> positions, slots, table;
  std::array<int32_t, 2> query_start{};
  std::array<int32_t, 1> length{};
  PagedBatch batch;

  PagedStep(int64_t rows, int64_t context, int64_t blocks) {
    for (int64_t i = context - rows; i < context; ++i) positions.push_back(static_cast<int32_t>(i));
    slots = positions;
    for (int64_t i = 0; i < blocks; ++i) table.push_back(static_cast<int32_t>(i));
    query_start[1] = static_cast<int32_t>(rows);
    length[0] = static_cast<int32_t>(context);
    batch = {.tokens = rows,
             .sequences = 1,
             .max_blocks = blocks,
             .positions = {positions.data(), rows},
             .query_start = {query_start.data(), 2},
             .slots = {slots.data(), rows},
             .context_length = {length.data(), 1},
             .block_table = {table.data(), blocks},
             .max_context = context};
  }
};

}  // namespace

Status PointMaker::Fill(size_t bytes, const std::function<void(uint8_t*)>& fill, void*& data, CallGroup& group) {
  EYESHOT_ASSIGN_OR_RETURN(Buffer buffer, backend_.Allocate(bytes, "calibration"));
  data = buffer.data();
  fill(static_cast<uint8_t*>(buffer.data()));
  group.buffers.push_back(std::move(buffer));
  return Status::Ok();
}

// Of floats between -1 and 1.
Result<MatrixView> PointMaker::Matrix(int64_t rows, int64_t cols, CallGroup& group) {
  void* data = nullptr;
  EYESHOT_RETURN_IF_ERROR(Fill(
      static_cast<size_t>(rows * cols) * sizeof(float),
      [&](uint8_t* bytes) {
        auto* values = reinterpret_cast<float*>(bytes);
        for (int64_t i = 0; i < rows * cols; ++i) {
          values[i] = static_cast<float>(SplitMix64(static_cast<uint64_t>(i)) >> 40) / 8388608.0f - 1.0f;
        }
      },
      data, group));
  return MatrixView(data, DType::kF32, rows, cols, cols);
}

// Packed once and copied.
Result<std::vector<const PackedWeight*>> PointMaker::Ring(WeightFormat format, int64_t outputs, int64_t inputs,
                                                          bool gated, size_t ring_bytes, CallGroup& group) {
  std::vector<uint16_t> values(static_cast<size_t>(outputs * inputs));
  const float scale = 1.0f / std::sqrt(static_cast<float>(inputs));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = Bf16FromF32(scale * (static_cast<float>(SplitMix64(i) >> 40) / 8388608.0f - 1.0f));
  }
  const int64_t rows = gated ? outputs / 2 : outputs;
  const HostTensor part{"calibration", DType::kBF16, {rows, inputs}, reinterpret_cast<const uint8_t*>(values.data())};
  LinearSource source{.parts = {part}, .gated = gated, .format = format};
  if (gated) {
    source.parts.push_back(part);
    source.parts.back().data += part.bytes();
  }
  EYESHOT_ASSIGN_OR_RETURN(PackedWeightPtr first, backend_.PackLinear(source));
  std::vector<const PackedWeight*> ring = {first.get()};
  const std::span<const uint8_t> bytes = backend_.PackedBytes(*first);
  const PackedShape shape = backend_.ShapeOf(*first);
  for (size_t total = bytes.size(); total < ring_bytes; total += bytes.size()) {
    void* copy = nullptr;
    EYESHOT_RETURN_IF_ERROR(
        Fill(bytes.size(), [&](uint8_t* data) { std::memcpy(data, bytes.data(), bytes.size()); }, copy, group));
    EYESHOT_ASSIGN_OR_RETURN(PackedWeightPtr weight,
                             backend_.Adopt(shape, {static_cast<const uint8_t*>(copy), bytes.size()}, "calibration"));
    ring.push_back(weight.get());
    group.weights.push_back(std::move(weight));
  }
  group.weights.push_back(std::move(first));
  return ring;
}

Result<const PackedWeight*> PointMaker::Vector(int64_t size, CallGroup& group) {
  const std::vector<float> ones(static_cast<size_t>(size), 1.0f);
  EYESHOT_ASSIGN_OR_RETURN(
      PackedWeightPtr vector,
      backend_.PackVector({"calibration", DType::kF32, {size}, reinterpret_cast<const uint8_t*>(ones.data())}));
  group.weights.push_back(std::move(vector));
  return group.weights.back().get();
}

Status PointMaker::AddLinear(WeightFormat format, const LinearShape& full, CallGroup& group) {
  LinearShape shape = full;
  for (int64_t* size : {&shape.outputs, &shape.inputs}) *size = Shrunk(*size, kWeightStep);
  shape.rows = Shrunk(full.rows, 1);
  const int64_t few_rows = FewRows(backend_, format);
  EYESHOT_ASSIGN_OR_RETURN(const auto ring, Ring(format, shape.outputs, shape.inputs, shape.gated,
                                                 full.rows >= kManyRows  ? 0
                                                 : full.rows <= few_rows ? RingBytes(kFewRingBytes)
                                                                         : RingBytes(kRingBytes),
                                                 group));
  const int64_t results = shape.gated ? shape.outputs / 2 : shape.outputs;
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView x, Matrix(shape.rows, shape.inputs, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView y, Matrix(shape.rows, results, group));
  const PackedWeight* bias = nullptr;
  if (!shape.gated) {
    EYESHOT_ASSIGN_OR_RETURN(bias, Vector(results, group));
  }
  Operation op;
  op.kind = OperationKind::kLinear;
  op.format = format;
  op.gelu = shape.gelu;
  op.gated = shape.gated;
  op.rows = static_cast<double>(shape.rows);
  op.outputs = static_cast<double>(shape.outputs);
  op.inputs = static_cast<double>(shape.inputs);
  op.few_rows = static_cast<double>(few_rows);
  op.weight_bytes = static_cast<double>(ring.front()->bytes);
  TimedCalls point = MakePoint(op, fmt::format("{} x {} x {}{}", shape.rows, shape.outputs, shape.inputs,
                                               shape.gelu       ? ", GELU"
                                               : shape.gated    ? ", gated"
                                               : shape.residual ? ", residual"
                                                                : ""));
  for (const PackedWeight* weight : ring) {
    LinearArgs args{.x = x,
                    .weight = weight,
                    .bias = bias,
                    .activation = shape.gelu ? Activation::kGeluTanh : Activation::kNone,
                    .y = y};
    if (shape.residual) args.residual = y;
    point.calls.emplace_back([this, args](Stream& stream) { backend_.Linear(stream, args); });
  }
  group.points.push_back(std::move(point));
  return Status::Ok();
}

Status PointMaker::AddEncodeAttention(bool reduced, int64_t tiles, int64_t full_tokens, int64_t heads, int64_t dim,
                                      CallGroup& group) {
  const int64_t tokens = Shrunk(full_tokens, 1);
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView qkv, Matrix(tiles * tokens, 3 * heads * dim, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView y, Matrix(tiles * tokens, heads * dim, group));
  void* starts = nullptr;
  EYESHOT_RETURN_IF_ERROR(Fill(
      static_cast<size_t>(tiles + 1) * sizeof(int32_t),
      [&](uint8_t* data) {
        for (int64_t i = 0; i <= tiles; ++i) reinterpret_cast<int32_t*>(data)[i] = static_cast<int32_t>(i * tokens);
      },
      starts, group));
  const EncodeAttentionArgs args{.qkv = qkv,
                                 .cu_tokens = {static_cast<const int32_t*>(starts), tiles + 1},
                                 .max_tokens = tokens,
                                 .heads = heads,
                                 .head_dim = dim,
                                 .scale = 1.0f / std::sqrt(static_cast<float>(dim)),
                                 .reduced = reduced,
                                 .y = y};
  Operation op;
  op.kind = OperationKind::kEncodeAttention;
  op.reduced = reduced;
  op.rows = static_cast<double>(tiles * tokens);
  op.heads = static_cast<double>(heads);
  op.head_dim = static_cast<double>(dim);
  op.context = static_cast<double>(tokens);
  TimedCalls point = MakePoint(op, fmt::format("{} x {} tokens, {} heads of {}", tiles, tokens, heads, dim));
  point.calls.emplace_back([this, args](Stream& stream) { backend_.EncodeAttention(stream, args); });
  group.points.push_back(std::move(point));
  return Status::Ok();
}

Status PointMaker::AddPaged(bool reduced, KvFormat format, const PagedShape& full, CallGroup& group) {
  PagedShape shape = full;
  shape.rows = Shrunk(full.rows, 1);
  shape.context = std::max(shape.rows, Shrunk(full.context, 1));
  constexpr int64_t kDim = 64;
  const int64_t blocks = (shape.context + kKvBlockSize - 1) / kKvBlockSize;
  const int64_t layer_bytes = shape.context * shape.kv_heads * kDim * 4;
  const int64_t layers = shape.rows > 1 ? 2
                                        : std::clamp<int64_t>(static_cast<int64_t>(RingBytes(kRingBytes)) / layer_bytes,
                                                              4, kFewCallsAtOnce);
  EYESHOT_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> cache,
                           backend_.NewKvCache({.layer_group = std::vector<int>(static_cast<size_t>(layers), 0),
                                                .blocks = blocks,
                                                .block_size = kKvBlockSize,
                                                .kv_heads = shape.kv_heads,
                                                .head_dim = kDim,
                                                .format = format}));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView qkv,
                           Matrix(shape.context, (shape.heads + 2 * shape.kv_heads) * kDim, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView y, Matrix(shape.rows, shape.heads * kDim, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView frequency, Matrix(1, kDim / 2, group));
  const PagedStep whole(shape.context, shape.context, blocks);
  for (int64_t layer = 0; layer < layers; ++layer) {
    backend_.RotaryStore(*stream_, {.qkv = qkv,
                                    .heads = shape.heads,
                                    .inverse_frequency = {static_cast<const float*>(frequency.data), kDim / 2},
                                    .cache = cache.get(),
                                    .layer = layer,
                                    .batch = &whole.batch});
  }
  Operation op;
  op.kind = OperationKind::kPagedAttention;
  op.reduced = reduced;
  op.cache = format;
  op.rows = static_cast<double>(shape.rows);
  op.heads = static_cast<double>(shape.heads);
  op.kv_heads = static_cast<double>(shape.kv_heads);
  op.head_dim = kDim;
  op.context = static_cast<double>(shape.context);
  const int64_t half = shape.rows / 2;  // of the step's own keys, in whole ones as the ledger counts
  op.keys = static_cast<double>(shape.context - half);
  TimedCalls point = MakePoint(
      op, fmt::format("{} of {} tokens, {}/{} heads", shape.rows, shape.context, shape.heads, shape.kv_heads));
  const auto step = std::make_shared<PagedStep>(shape.rows, shape.context, blocks);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const PagedAttentionArgs args{.q = qkv.Rows(0, shape.rows).Cols(0, shape.heads * kDim),
                                  .heads = shape.heads,
                                  .scale = 0.125f,
                                  .reduced = reduced,
                                  .cache = cache.get(),
                                  .layer = layer,
                                  .batch = &step->batch,
                                  .y = y};
    point.calls.emplace_back([this, args, step](Stream& stream) { backend_.PagedAttention(stream, args); });
  }
  group.caches.push_back(std::move(cache));
  group.points.push_back(std::move(point));
  return Status::Ok();
}

Status PointMaker::AddPlain(OperationKind kind, int64_t rows, int64_t cols, CallGroup& group) {
  constexpr int64_t kDim = 64;
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView x, Matrix(rows, cols, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView y, Matrix(rows, cols, group));
  Operation op;
  op.kind = kind;
  op.rows = static_cast<double>(rows);
  op.outputs = static_cast<double>(cols);
  TimedCalls point = MakePoint(op, fmt::format("{} x {}", rows, cols));
  CalibrationCall call;
  if (kind == OperationKind::kNorm) {
    EYESHOT_ASSIGN_OR_RETURN(const PackedWeight* const gain, Vector(cols, group));
    const NormArgs args{.x = x, .gain = gain, .epsilon = 1e-6f, .y = y};
    call = [this, args](Stream& stream) { backend_.RmsNorm(stream, args); };
  } else if (kind == OperationKind::kCopy) {
    const CopyRowsArgs args{.x = x, .count = rows, .y = y};
    call = [this, args](Stream& stream) { backend_.CopyRows(stream, args); };
  } else {
    const int64_t heads = cols / kDim - 4;  // and two of keys, two of values
    const int64_t blocks = (rows + kKvBlockSize - 1) / kKvBlockSize;
    EYESHOT_ASSIGN_OR_RETURN(const MatrixView frequency, Matrix(1, kDim / 2, group));
    EYESHOT_ASSIGN_OR_RETURN(
        std::unique_ptr<KvCache> cache,
        backend_.NewKvCache(
            {.layer_group = {0}, .blocks = blocks, .block_size = kKvBlockSize, .kv_heads = 2, .head_dim = kDim}));
    const auto step = std::make_shared<PagedStep>(rows, rows, blocks);
    const RotaryStoreArgs args{.qkv = x,
                               .heads = heads,
                               .inverse_frequency = {static_cast<const float*>(frequency.data), kDim / 2},
                               .cache = cache.get(),
                               .layer = 0,
                               .batch = &step->batch};
    call = [this, args, step](Stream& stream) { backend_.RotaryStore(stream, args); };
    group.caches.push_back(std::move(cache));
  }
  point.calls.assign(static_cast<size_t>(rows > 1 ? 4 : kFewCallsAtOnce), call);
  group.points.push_back(std::move(point));
  return Status::Ok();
}

Status PointMaker::AddSample(int64_t vocabulary, CallGroup& group) {
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView logits, Matrix(1, vocabulary, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView scratch, Matrix(2, vocabulary, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView state, Matrix(1, 64, group));
  auto* const bytes = static_cast<uint8_t*>(state.data);
  std::memset(bytes, 0, 64 * sizeof(float));
  const SamplerParams params;
  std::memcpy(bytes, &params, sizeof(params));
  const SampleArgs args{.logits = logits,
                        .params = {reinterpret_cast<const SamplerParams*>(bytes), 1},
                        .steps = {reinterpret_cast<uint32_t*>(bytes + 128), 1},
                        .scratch = {static_cast<uint64_t*>(scratch.data), vocabulary},
                        .next = {reinterpret_cast<int32_t*>(bytes + 192), 1}};
  Operation op;
  op.kind = OperationKind::kSample;
  op.rows = 1;
  op.outputs = static_cast<double>(vocabulary);
  TimedCalls point = MakePoint(op, fmt::format("{} logits", vocabulary));
  point.calls.assign(8, [this, args](Stream& stream) { backend_.Sample(stream, args); });
  group.points.push_back(std::move(point));
  return Status::Ok();
}

// Pages come with their first touch, and are cleared then.
Status PointMaker::AddFresh(CallGroup& group) {
  for (const int64_t bytes : {int64_t{2} << 20, int64_t{32} << 20}) {
    Operation op;
    op.kind = OperationKind::kFresh;
    op.rows = static_cast<double>(bytes);
    op.outputs = 1;
    TimedCalls point = MakePoint(op, fmt::format("{} MiB", bytes >> 20));
    point.calls.emplace_back([this, bytes](Stream&) {
      constexpr int64_t kPage = 4096;
      const Result<Buffer> buffer = backend_.Allocate(static_cast<size_t>(bytes), "calibration");
      if (!buffer.ok()) return;  // the points before took more
      for (int64_t i = 0; i < bytes; i += kPage) static_cast<volatile uint8_t*>(buffer->data())[i] = 1;
    });
    group.points.push_back(std::move(point));
  }
  return Status::Ok();
}

}  // namespace eyeshot::plan
