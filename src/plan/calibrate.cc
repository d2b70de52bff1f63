#include "plan/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/median.h"
#include "base/splitmix64.h"
#include "base/threads.h"
#include "energy/meters/find.h"
#include "plan/mini_decoder.h"
#include "tensor/dtype.h"

namespace eyeshot::plan {
namespace {

using Call = std::function<void(Stream&)>;

// Calls that are timed together, one after the other: workers sleep between steps, but not inside of one, and weights
// that follow one another come from memory, as a model's do.
struct Point {
  Operation op;
  std::string class_name;
  std::string shape;
  Features features{};
  std::vector<Call> calls;
};

// What the calls of a class use. Freed together.
struct Group {
  std::vector<Point> points;
  std::vector<Buffer> buffers;
  std::vector<PackedWeightPtr> weights;
  std::vector<std::unique_ptr<KvCache>> caches;
};

// Bytes of different weights that a point goes through: more than the last cache of most CPUs, or of the share that a
// virtual machine gets of it.
constexpr size_t kRingBytes = 48 << 20;
// The same where nothing but their way from memory counts.
constexpr size_t kFewRingBytes = 96 << 20;
// Products of so many rows take longer than their weights' way from memory, and are measured with one weight.
constexpr int64_t kManyRows = 256;
constexpr int64_t kWeightStep = 64;      // outputs and inputs of weights are multiples of it
constexpr int64_t kFewCallsAtOnce = 64;  // of what takes microseconds

// Other programs make calls slower and never faster; a fifth of the rounds are taken to be free of them.
constexpr size_t kUndisturbed = 5;

// The time that a fifth of the rounds stay below.
double Undisturbed(std::vector<double> times) {
  const auto place = times.begin() + static_cast<std::ptrdiff_t>(times.size() / kUndisturbed);
  std::nth_element(times.begin(), place, times.end());
  return *place;
}

class Calibrator {
 public:
  Calibrator(Backend& backend, const CalibrationOptions& options)
      : backend_(backend), stream_(backend.NewStream()), options_(options) {}

  Result<Calibration> Run();

 private:
  Status Fill(size_t bytes, const std::function<void(uint8_t*)>& fill, void*& data, Group& group);
  Result<MatrixView> Matrix(int64_t rows, int64_t cols, Group& group);
  Result<std::vector<const PackedWeight*>> Ring(WeightFormat format, int64_t outputs, int64_t inputs, bool gated,
                                                size_t ring_bytes, Group& group);
  Result<const PackedWeight*> Vector(int64_t size, Group& group);

  // A size as CalibrationOptions::shrink has it, a multiple of `step`.
  int64_t Shrunk(int64_t size, int64_t step) const { return std::max(step, size / options_.shrink / step * step); }
  size_t RingBytes(size_t bytes) const { return bytes / static_cast<size_t>(options_.shrink * options_.shrink); }

  struct LinearShape {
    int64_t rows, outputs, inputs;
    bool gelu = false;
    bool gated = false;
    bool residual = false;
  };
  Status AddLinear(WeightFormat format, const LinearShape& shape, Group& group);
  Status AddEncodeAttention(bool reduced, int64_t tiles, int64_t tokens, int64_t heads, int64_t dim, Group& group);
  struct PagedShape {
    int64_t rows, context, heads, kv_heads;
  };
  Status AddPaged(bool reduced, KvFormat format, const PagedShape& shape, Group& group);
  Status AddPlain(OperationKind kind, int64_t rows, int64_t cols, Group& group);
  Status AddSample(int64_t vocabulary, Group& group);

  Status AddFresh(Group& group);
  // How much longer prompts take than their operations one by one, which must have been fitted.
  Status MeasurePrompts(WeightFormat format, double share);
  Result<double> Time(const std::function<Status()>& once);

  // Measures the points of a group, whose share of all work is `share`, and fits each class.
  Status Measure(Group group, double share);
  Status MeasurePreparation(double share);
  void Fit(std::vector<CalibrationPoint> points);
  Status Report(double share);

  Backend& backend_;
  std::unique_ptr<Stream> stream_;
  const CalibrationOptions& options_;
  double done_ = 0;
  Calibration result_;
};

Status Calibrator::Report(double share) {
  const auto& report = options_.on_progress;
  return !report || report(std::min(1.0, done_ + share)) ? Status::Ok() : CancelledError("cancelled");
}

Status Calibrator::Fill(size_t bytes, const std::function<void(uint8_t*)>& fill, void*& data, Group& group) {
  EYESHOT_ASSIGN_OR_RETURN(Buffer buffer, backend_.Allocate(bytes, "calibration"));
  data = buffer.data();
  fill(static_cast<uint8_t*>(buffer.data()));
  group.buffers.push_back(std::move(buffer));
  return Status::Ok();
}

// Of floats between -1 and 1.
Result<MatrixView> Calibrator::Matrix(int64_t rows, int64_t cols, Group& group) {
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
Result<std::vector<const PackedWeight*>> Calibrator::Ring(WeightFormat format, int64_t outputs, int64_t inputs,
                                                          bool gated, size_t ring_bytes, Group& group) {
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

Result<const PackedWeight*> Calibrator::Vector(int64_t size, Group& group) {
  const std::vector<float> ones(static_cast<size_t>(size), 1.0f);
  EYESHOT_ASSIGN_OR_RETURN(
      PackedWeightPtr vector,
      backend_.PackVector({"calibration", DType::kF32, {size}, reinterpret_cast<const uint8_t*>(ones.data())}));
  group.weights.push_back(std::move(vector));
  return group.weights.back().get();
}

Point MakePoint(const Operation& op, std::string shape) {
  Point point;
  point.op = op;
  point.class_name = ClassOf(op);
  point.features = FeaturesOf(op);
  point.shape = std::move(shape);
  return point;
}

Status Calibrator::AddLinear(WeightFormat format, const LinearShape& full, Group& group) {
  LinearShape shape = full;
  for (int64_t* size : {&shape.outputs, &shape.inputs}) *size = Shrunk(*size, kWeightStep);
  shape.rows = Shrunk(full.rows, 1);
  EYESHOT_ASSIGN_OR_RETURN(const auto ring, Ring(format, shape.outputs, shape.inputs, shape.gated,
                                                 full.rows >= kManyRows ? 0
                                                 : full.rows == 1       ? RingBytes(kFewRingBytes)
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
  op.weight_bytes = static_cast<double>(ring.front()->bytes);
  Point point = MakePoint(op, fmt::format("{} x {} x {}{}", shape.rows, shape.outputs, shape.inputs,
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

Status Calibrator::AddEncodeAttention(bool reduced, int64_t tiles, int64_t full_tokens, int64_t heads, int64_t dim,
                                      Group& group) {
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
  op.runs = static_cast<double>(tiles);
  op.heads = static_cast<double>(heads);
  op.head_dim = static_cast<double>(dim);
  op.context = static_cast<double>(tokens);
  Point point = MakePoint(op, fmt::format("{} x {} tokens, {} heads of {}", tiles, tokens, heads, dim));
  point.calls.emplace_back([this, args](Stream& stream) { backend_.EncodeAttention(stream, args); });
  group.points.push_back(std::move(point));
  return Status::Ok();
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

Status Calibrator::AddPaged(bool reduced, KvFormat format, const PagedShape& full, Group& group) {
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
  op.keys = static_cast<double>(shape.context - shape.rows / 2);
  Point point = MakePoint(
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

Status Calibrator::AddPlain(OperationKind kind, int64_t rows, int64_t cols, Group& group) {
  constexpr int64_t kDim = 64;
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView x, Matrix(rows, cols, group));
  EYESHOT_ASSIGN_OR_RETURN(const MatrixView y, Matrix(rows, cols, group));
  Operation op;
  op.kind = kind;
  op.rows = static_cast<double>(rows);
  op.outputs = static_cast<double>(cols);
  Point point = MakePoint(op, fmt::format("{} x {}", rows, cols));
  Call call;
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

Status Calibrator::AddSample(int64_t vocabulary, Group& group) {
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
  Point point = MakePoint(op, fmt::format("{} logits", vocabulary));
  point.calls.assign(8, [this, args](Stream& stream) { backend_.Sample(stream, args); });
  group.points.push_back(std::move(point));
  return Status::Ok();
}

// Pages come with their first touch, and are cleared then.
Status Calibrator::AddFresh(Group& group) {
  for (const int64_t bytes : {int64_t{2} << 20, int64_t{32} << 20}) {
    Operation op;
    op.kind = OperationKind::kFresh;
    op.rows = static_cast<double>(bytes);
    op.outputs = 1;
    Point point = MakePoint(op, fmt::format("{} MiB", bytes >> 20));
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

Result<double> Calibrator::Time(const std::function<Status()>& once) {
  std::vector<double> times;
  for (int round = -1; round < options_.rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    EYESHOT_RETURN_IF_ERROR(once());
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    if (round >= 0) times.push_back(time.count());
  }
  return Undisturbed(std::move(times));
}

Status Calibrator::MeasurePrompts(WeightFormat format, double share) {
  constexpr int64_t kShort = 80;
  constexpr auto kStage = static_cast<size_t>(StageId::kPrefill);
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<MiniDecoder> model,
                           MiniDecoder::Create(backend_, format, options_.shrink == 1 ? 8 : 1));
  const ModelPrecision precision{.tower = format, .decoder = format};
  std::vector<CalibrationPoint> points;
  for (const int64_t tokens : {kShort, MiniDecoder::kMostTokens}) {
    EYESHOT_ASSIGN_OR_RETURN(const double seconds, Time([&] { return model->Prompt(*stream_, tokens); }));
    std::vector<Operation> operations =
        OperationsOf(model->config(), backend_, precision, {.prompt_tokens = tokens, .output_tokens = 1})[kStage];
    std::erase_if(operations, [](const Operation& op) { return op.kind == OperationKind::kFresh; });  // the cache stays
    double calls = 0;
    for (const Operation& op : operations) calls += op.times;
    points.push_back({StageClassOf(StageId::kPrefill, format),
                      fmt::format("{} tokens", tokens),
                      {calls, result_.speed.Seconds(operations) * 1e12},
                      seconds,
                      0});
  }
  done_ += share;
  Fit(std::move(points));
  return Report(0);
}

Status Calibrator::Measure(Group group, double share) {
  std::vector<std::vector<double>> times(group.points.size());
  for (int round = -1; round < options_.rounds; ++round) {  // the first one warms up
    for (size_t i = 0; i < group.points.size(); ++i) {
      const auto begin = std::chrono::steady_clock::now();
      for (const Call& call : group.points[i].calls) call(*stream_);
      EYESHOT_RETURN_IF_ERROR(backend_.Sync(*stream_));
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      if (round >= 0) times[i].push_back(time.count() / static_cast<double>(group.points[i].calls.size()));
    }
    EYESHOT_RETURN_IF_ERROR(Report(share * (round + 2) / (options_.rounds + 1)));
  }
  done_ += share;
  std::map<std::string, std::vector<CalibrationPoint>> by_class;
  for (size_t i = 0; i < group.points.size(); ++i) {
    const Point& point = group.points[i];
    by_class[point.class_name].push_back(
        {point.class_name, point.shape, point.features, Undisturbed(std::move(times[i])), 0});
  }
  for (auto& [name, points] : by_class) Fit(std::move(points));
  return Status::Ok();
}

void Calibrator::Fit(std::vector<CalibrationPoint> points) {
  std::vector<Features> rows;
  std::vector<double> seconds;
  for (const CalibrationPoint& point : points) {
    rows.push_back(point.features);
    seconds.push_back(point.seconds);
  }
  const std::string& name = points.front().class_name;
  result_.speed.picoseconds[name] = FitPicoseconds(rows, seconds);
  for (CalibrationPoint& point : points) {
    point.fitted_seconds = result_.speed.Seconds(name, point.features);
    result_.points.push_back(point);
  }
}

// Pictures of several sizes and ratios, cut for small tiles and large ones.
Status Calibrator::MeasurePreparation(double share) {
  struct Case {
    int width, height, longest_edge, tile;
    bool split;
  };
  constexpr Case kCases[] = {{800, 600, 2048, 512, true},    {2000, 2000, 2048, 512, true},
                             {2400, 600, 1536, 384, true},   {1000, 1000, 1536, 384, true},
                             {1600, 1200, 2048, 512, false}, {600, 900, 1024, 256, true},
                             {2048, 512, 2048, 512, true},   {3000, 2250, 1536, 384, true}};
  ThreadPool pool(backend_.info().threads);
  std::vector<CalibrationPoint> points;
  std::vector<std::vector<double>> times(std::size(kCases));
  std::vector<Image> pictures;
  for (const Case& c : kCases) {
    Image image{static_cast<int>(Shrunk(c.width, 1)), static_cast<int>(Shrunk(c.height, 1)), {}};
    image.rgb.resize(static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
    for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 7 + (i >> 8));
    pictures.push_back(std::move(image));
  }
  for (int round = -1; round < options_.rounds; ++round) {
    for (size_t i = 0; i < std::size(kCases); ++i) {
      const Case& c = kCases[i];
      const ImageProcessorConfig config{.longest_edge = static_cast<int>(Shrunk(c.longest_edge, 1)),
                                        .max_image_edge = static_cast<int>(Shrunk(c.tile, 1))};
      EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
      const TileBudget budget = processor.Budget(c.split);
      Tiles tiles;
      const auto begin = std::chrono::steady_clock::now();
      EYESHOT_RETURN_IF_ERROR(processor.Append(pictures[i], budget, pool, tiles));
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
      if (round >= 0) {
        times[i].push_back(time.count());
        continue;
      }
      points.push_back({std::string(kPreprocess), fmt::format("{} x {}", c.width, c.height),
                        PreprocessFeatures(processor, config, pictures[i].width, pictures[i].height, budget), 0, 0});
    }
    EYESHOT_RETURN_IF_ERROR(Report(share * (round + 2) / (options_.rounds + 1)));
  }
  done_ += share;
  for (size_t i = 0; i < points.size(); ++i) points[i].seconds = Undisturbed(std::move(times[i]));
  Fit(std::move(points));
  return Status::Ok();
}

// The sum of the packages and of memory that a counter covers; nothing where none can be read.
std::optional<double> ReadJoules(FoundMeters& found) {
  std::optional<double> sum;
  for (const std::unique_ptr<Meter>& meter : found.meters) {
    if (OverlapsOthers(meter->info().domain)) continue;
    const Result<EnergySample> sample = meter->Read();
    if (sample.ok()) sum = sum.value_or(0) + sample->joules;
  }
  return sum;
}

constexpr WeightFormat kFormats[] = {WeightFormat::kExact, WeightFormat::kBf16, WeightFormat::kInt8,
                                     WeightFormat::kQ8,    WeightFormat::kInt4, WeightFormat::kQ4};

Result<Calibration> Calibrator::Run() {
  if (backend_.packed_layout().empty()) {
    return UnsupportedError(fmt::format("calibration of the {} backend", backend_.info().name),
                            "use the portable backend, on a CPU");
  }
  EYESHOT_RETURN_IF_ERROR(Report(0));
  FoundMeters meters = FindCpuMeters("/sys");
  const std::optional<double> joules_before = ReadJoules(meters);
  const auto begin = std::chrono::steady_clock::now();

  // Widths between those of models, on both sides of where kernels cut depths and rows.
  constexpr LinearShape kMany[] = {{.rows = 1024, .outputs = 896, .inputs = 832},
                                   {.rows = 1024, .outputs = 2816, .inputs = 704, .gelu = true},
                                   {.rows = 1458, .outputs = 832, .inputs = 3328, .residual = true},
                                   {.rows = 512, .outputs = 640, .inputs = 1280},
                                   {.rows = 512, .outputs = 1792, .inputs = 1792, .residual = true},
                                   {.rows = 512, .outputs = 3584, .inputs = 1024, .gated = true},
                                   {.rows = 256, .outputs = 1280, .inputs = 5120, .residual = true},
                                   {.rows = 80, .outputs = 896, .inputs = 896},
                                   {.rows = 80, .outputs = 2816, .inputs = 704, .gated = true},
                                   {.rows = 80, .outputs = 2304, .inputs = 2304},
                                   {.rows = 128, .outputs = 704, .inputs = 7168},
                                   {.rows = 144, .outputs = 1536, .inputs = 11264},
                                   {.rows = 24, .outputs = 1024, .inputs = 1024},
                                   {.rows = 24, .outputs = 512, .inputs = 2048}};
  constexpr LinearShape kFew[] = {{.rows = 1, .outputs = 448, .inputs = 448},
                                  {.rows = 1, .outputs = 896, .inputs = 640},
                                  {.rows = 1, .outputs = 2816, .inputs = 704, .gated = true},
                                  {.rows = 1, .outputs = 768, .inputs = 2304, .residual = true},
                                  {.rows = 1, .outputs = 4096, .inputs = 2048}};
  constexpr double kFormatShare = 0.07;
  constexpr double kPromptShare = 0.05;
  for (const WeightFormat format : kFormats) {
    if (!backend_.Supports(format)) continue;
    Group group;
    for (const LinearShape& shape : kMany) EYESHOT_RETURN_IF_ERROR(AddLinear(format, shape, group));
    for (const LinearShape& shape : kFew) EYESHOT_RETURN_IF_ERROR(AddLinear(format, shape, group));
    EYESHOT_RETURN_IF_ERROR(Measure(std::move(group), kFormatShare));
  }
  for (const bool reduced : {false, true}) {
    Group group;
    EYESHOT_RETURN_IF_ERROR(AddEncodeAttention(reduced, 2, 1024, 6, 64, group));
    EYESHOT_RETURN_IF_ERROR(AddEncodeAttention(reduced, 2, 729, 6, 72, group));
    EYESHOT_RETURN_IF_ERROR(AddEncodeAttention(reduced, 1, 576, 10, 64, group));
    EYESHOT_RETURN_IF_ERROR(AddEncodeAttention(reduced, 1, 256, 8, 64, group));
    EYESHOT_RETURN_IF_ERROR(AddEncodeAttention(reduced, 2, 400, 6, 80, group));
    EYESHOT_RETURN_IF_ERROR(Measure(std::move(group), 0.02));
    for (const KvFormat format : {KvFormat::kHalf, KvFormat::kInt8}) {
      if (!backend_.SupportsCache(format)) continue;
      Group paged;
      for (const PagedShape& shape : {PagedShape{512, 512, 9, 3},
                                      {512, 1024, 9, 3},
                                      {512, 512, 16, 16},
                                      {256, 1280, 12, 4},
                                      {96, 96, 9, 3},
                                      {96, 608, 16, 16},
                                      {1, 64, 9, 3},
                                      {1, 512, 9, 3},
                                      {1, 1536, 12, 4},
                                      {1, 512, 24, 24},
                                      {1, 1536, 24, 24}}) {
        EYESHOT_RETURN_IF_ERROR(AddPaged(reduced, format, shape, paged));
      }
      EYESHOT_RETURN_IF_ERROR(Measure(std::move(paged), 0.03));
    }
  }
  Group plain;
  for (const OperationKind kind : {OperationKind::kNorm, OperationKind::kCopy, OperationKind::kRotary}) {
    EYESHOT_RETURN_IF_ERROR(AddPlain(kind, 1, 576, plain));
    EYESHOT_RETURN_IF_ERROR(AddPlain(kind, 1, 2048, plain));
    EYESHOT_RETURN_IF_ERROR(AddPlain(kind, 512, 1024, plain));
  }
  EYESHOT_RETURN_IF_ERROR(AddSample(16384, plain));
  EYESHOT_RETURN_IF_ERROR(AddSample(49152, plain));
  EYESHOT_RETURN_IF_ERROR(AddFresh(plain));
  EYESHOT_RETURN_IF_ERROR(Measure(std::move(plain), 0.02));
  for (const WeightFormat format : kFormats) {
    if (backend_.Supports(format)) EYESHOT_RETURN_IF_ERROR(MeasurePrompts(format, kPromptShare));
  }
  EYESHOT_RETURN_IF_ERROR(MeasurePreparation(0.08));

  MachineSpeed& speed = result_.speed;
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  const std::optional<double> joules_after = ReadJoules(meters);
  if (joules_before && joules_after) {
    speed.busy_watts = (*joules_after - *joules_before) / time.count();
    speed.watts_source = EnergySource::kRapl;
  }
  speed.cpu = CpuName();
  speed.isa = backend_.info().isa;
  speed.threads = backend_.info().threads;
  std::vector<double> errors;
  for (const CalibrationPoint& point : result_.points) {
    errors.push_back(std::abs(point.fitted_seconds / point.seconds - 1));
  }
  speed.fit_worst = *std::max_element(errors.begin(), errors.end());
  speed.fit_median = Median(std::move(errors));
  return std::move(result_);
}

}  // namespace

Result<Calibration> Calibrate(Backend& backend, const CalibrationOptions& options) {
  return Calibrator(backend, options).Run();
}

}  // namespace eyeshot::plan
