// The operations of a backend at the shapes of SmolVLM, beside what the machine can do at most.
//
//   kernels_bench --benchmark_filter=Linear     EYESHOT_THREADS, EYESHOT_ISA, EYESHOT_BACKEND and EYESHOT_PRECISION
//                                               (bf16,
//                                               int8, q8_0, int4, q4_0) choose what runs; EYESHOT_KV=int8: a cache
//                                               of 8 bits
//
// Each line gives the best and the median run; rates are those of the best, since other programs use the cores too.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/machine_peak.h"

namespace eyeshot {
namespace {

int Threads() {
  const char* threads = std::getenv("EYESHOT_THREADS");
  return threads == nullptr ? 0 : std::atoi(threads);
}

Backend& Engine() {
  static const std::unique_ptr<Backend> backend = [] {
    const char* name = std::getenv("EYESHOT_BACKEND");
    auto created = CreateBackend({.name = name == nullptr ? "auto" : name, .threads = Threads()});
    if (!created.ok()) {
      std::fprintf(stderr, "%s\n", created.status().message().c_str());
      std::exit(1);
    }
    return std::move(created).value();
  }();
  return *backend;
}

const MachinePeak& Peak() {
  static const MachinePeak peak = MeasurePeak(Engine().info().threads);
  return peak;
}

// A matrix of small values that are neither constant nor denormal.
struct Matrix {
  Matrix(int64_t rows_in, int64_t cols_in) : rows(rows_in), cols(cols_in) {
    data.resize(static_cast<size_t>(rows * cols));
    uint32_t state = 1;
    for (float& value : data) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) / static_cast<float>(1 << 24) - 0.5f;
    }
  }
  MatrixView view() { return {data.data(), DType::kF32, rows, cols, cols}; }
  int64_t rows, cols;
  std::vector<float> data;
};

// Random bfloat16 weights in [-1/16, 1/16].
WeightFormat Format() {
  const char* name = std::getenv("EYESHOT_PRECISION");
  const std::pair<std::string_view, WeightFormat> formats[] = {{"bf16", WeightFormat::kBf16},
                                                               {"int8", WeightFormat::kInt8},
                                                               {"q8_0", WeightFormat::kQ8},
                                                               {"int4", WeightFormat::kInt4},
                                                               {"q4_0", WeightFormat::kQ4}};
  for (const auto& [known, format] : formats) {
    if (name != nullptr && name == known) return format;
  }
  return WeightFormat::kExact;
}

PackedWeightPtr RandomLinear(int64_t outputs, int64_t inputs, bool gated = false) {
  std::vector<uint16_t> data(static_cast<size_t>(outputs * inputs) * (gated ? 2 : 1));
  uint32_t state = 1;
  for (uint16_t& value : data) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<uint16_t>((0x3d80u - (state >> 24)) | (state & 0x8000u));
  }
  const HostTensor tensor = {.name = "w",
                             .dtype = DType::kBF16,
                             .shape = {outputs, inputs},
                             .data = reinterpret_cast<const uint8_t*>(data.data())};
  LinearSource source = {.parts = {tensor}, .gated = gated, .format = Format()};
  if (gated) {
    source.parts.push_back(tensor);
    source.parts[1].data += tensor.bytes();
  }
  return std::move(Engine().PackLinear(source)).value();
}

PackedWeightPtr RandomVector(int64_t size) {
  Matrix values(1, size);
  const HostTensor tensor = {
      .name = "v", .shape = {size}, .data = reinterpret_cast<const uint8_t*>(values.data.data())};
  return std::move(Engine().PackVector(tensor)).value();
}

// Seconds of CPU time that the process has used, all threads together.
double CpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Times run() and reports its rates; run() counts its FLOPs and bytes on the stream. "cpu_ms" is the least CPU time
// of a run over the threads: what a run would take if no other program used the cores.
template <typename Run>
void Measure(benchmark::State& state, const Run& run) {
  using Clock = std::chrono::steady_clock;
  const std::unique_ptr<Stream> stream = Engine().NewStream();
  run(*stream);
  stream->counters = {};
  std::vector<double> seconds;
  double cpu = 1e30;
  for (auto _ : state) {
    const double cpu_start = CpuSeconds();
    const auto start = Clock::now();
    run(*stream);
    cpu = std::min(cpu, CpuSeconds() - cpu_start);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    state.SetIterationTime(seconds.back());
  }
  std::sort(seconds.begin(), seconds.end());
  const double best = seconds.front();
  const auto runs = static_cast<double>(seconds.size());
  const double gflops = static_cast<double>(stream->counters.flops) / runs / best / 1e9;
  const double gbytes = static_cast<double>(stream->counters.bytes) / runs / best / 1e9;
  state.counters["best_ms"] = best * 1e3;
  state.counters["median_ms"] = seconds[seconds.size() / 2] * 1e3;
  state.counters["cpu_ms"] = cpu * 1e3 / Engine().info().threads;
  state.counters["GFLOP/s"] = gflops;
  state.counters["%peak"] = 100 * gflops / Peak().gflops;
  state.counters["GB/s"] = gbytes;
  state.counters["%mem"] = 100 * gbytes / Peak().gbytes;
}

enum Kind { kPlain, kBiasGelu, kResidual, kGated };

void Linear(benchmark::State& state, Kind kind) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  Matrix x(m, k), y(m, n), residual(m, n);
  const auto weight = RandomLinear(n, k, kind == kGated);
  const auto bias = RandomVector(n);
  LinearArgs args = {.x = x.view(), .weight = weight.get(), .y = y.view()};
  if (kind == kBiasGelu || kind == kResidual) args.bias = bias.get();
  if (kind == kBiasGelu) args.activation = Activation::kGeluTanh;
  if (kind == kResidual) args.residual = residual.view();
  Measure(state, [&](Stream& stream) { Engine().Linear(stream, args); });
}

void LayerNorm(benchmark::State& state) {
  Matrix x(state.range(0), state.range(1)), y(state.range(0), state.range(1));
  const auto gain = RandomVector(x.cols), bias = RandomVector(x.cols);
  Measure(state, [&](Stream& stream) {
    Engine().LayerNorm(stream,
                       {.x = x.view(), .gain = gain.get(), .bias = bias.get(), .epsilon = 1e-6f, .y = y.view()});
  });
}

void EncodeAttention(benchmark::State& state) {
  const int64_t runs = state.range(0), tokens = state.range(1), heads = state.range(2), dim = state.range(3);
  Matrix qkv(runs * tokens, 3 * heads * dim), y(runs * tokens, heads * dim);
  std::vector<int32_t> starts;
  for (int64_t run = 0; run <= runs; ++run) starts.push_back(static_cast<int32_t>(run * tokens));
  Measure(state, [&](Stream& stream) {
    Engine().EncodeAttention(stream, {.qkv = qkv.view(),
                                      .cu_tokens = {starts.data(), runs + 1},
                                      .max_tokens = tokens,
                                      .heads = heads,
                                      .head_dim = dim,
                                      .scale = 0.125f,
                                      .reduced = Format() != WeightFormat::kExact,
                                      .y = y.view()});
  });
}

// Patch embedding, all blocks, the last norm and the connector of SmolVLM-256M on `tiles` tiles of 512 x 512.
class Tower {
 public:
  static constexpr int64_t kPatches = 1024, kWidth = 768, kWide = 3072, kLayers = 12, kHeads = 12, kText = 576;

  explicit Tower(int64_t tiles)
      : tokens_(tiles * kPatches),
        pixels_(static_cast<size_t>(tiles * 512 * 512 * 3), 100),
        normalization_(768, 0.5f),
        x_(tokens_, kWidth),
        h_(tokens_, kWidth),
        qkv_(tokens_, 3 * kWidth),
        wide_(tokens_, kWide),
        text_(tiles * 64, kText) {
    for (int64_t i = 0; i < tokens_; ++i) positions_.push_back(static_cast<int32_t>(i % kPatches));
    for (int64_t t = 0; t <= tiles; ++t) starts_.push_back(static_cast<int32_t>(t * kPatches));
  }

  void Run(Stream& s) {
    Engine().PatchEmbed(s, {.tiles = {pixels_.data(), static_cast<int64_t>(pixels_.size())},
                            .side = 512,
                            .patch = 16,
                            .normalization = {normalization_.data(), 768},
                            .weight = patch_.get(),
                            .bias = bias_.get(),
                            .positions = position_.get(),
                            .position_ids = {positions_.data(), tokens_},
                            .y = x_.view()});
    for (const Block& b : blocks_) {
      Norm(s);
      Engine().Linear(s, {.x = h_.view(), .weight = b.qkv.get(), .bias = qkv_bias_.get(), .y = qkv_.view()});
      Engine().EncodeAttention(s, {.qkv = qkv_.view(),
                                   .cu_tokens = {starts_.data(), static_cast<int64_t>(starts_.size())},
                                   .max_tokens = kPatches,
                                   .heads = kHeads,
                                   .head_dim = kWidth / kHeads,
                                   .scale = 0.125f,
                                   .reduced = Format() != WeightFormat::kExact,
                                   .y = h_.view()});
      Add(s, h_, b.out);
      Norm(s);
      Engine().Linear(s, {.x = h_.view(),
                          .weight = b.fc1.get(),
                          .bias = wide_bias_.get(),
                          .activation = Activation::kGeluTanh,
                          .y = wide_.view()});
      Add(s, wide_, b.fc2);
    }
    Norm(s);
    Engine().PixelShuffleLinear(
        s, {.x = h_.view(), .grid = 32, .scale = 4, .weight = connector_.get(), .y = text_.view()});
  }

 private:
  struct Block {
    PackedWeightPtr qkv = RandomLinear(3 * kWidth, kWidth), out = RandomLinear(kWidth, kWidth),
                    fc1 = RandomLinear(kWide, kWidth), fc2 = RandomLinear(kWidth, kWide);
  };

  void Norm(Stream& s) {
    Engine().LayerNorm(s, {.x = x_.view(), .gain = bias_.get(), .bias = bias_.get(), .epsilon = 1e-6f, .y = h_.view()});
  }
  void Add(Stream& s, Matrix& from, const PackedWeightPtr& weight) {
    Engine().Linear(
        s, {.x = from.view(), .weight = weight.get(), .bias = bias_.get(), .residual = x_.view(), .y = x_.view()});
  }

  int64_t tokens_;
  std::vector<uint8_t> pixels_;
  std::vector<float> normalization_;
  std::vector<int32_t> positions_, starts_;
  Matrix x_, h_, qkv_, wide_, text_;
  Block blocks_[kLayers];
  PackedWeightPtr patch_ = RandomLinear(kWidth, 768), position_ = RandomLinear(kPatches, kWidth),
                  connector_ = RandomLinear(kText, 16 * kWidth), bias_ = RandomVector(kWidth),
                  qkv_bias_ = RandomVector(3 * kWidth), wide_bias_ = RandomVector(kWide);
};

void VisionTower(benchmark::State& state) {
  Tower tower(state.range(0));
  Measure(state, [&](Stream& stream) { tower.Run(stream); });
  state.counters["tile_ms"] = state.counters["best_ms"].value / static_cast<double>(state.range(0));
}

// A cache of SmolLM2's heads of 64, filled for `sequences` of `context` tokens each, and a step of `queries` tokens of
// each at its end.
class CachedSequences {
 public:
  struct Shape {
    int64_t sequences, context, queries, layers, heads, kv_heads, block_size;
  };

  explicit CachedSequences(const Shape& shape)
      : shape_(shape),
        blocks_((shape.context + shape.block_size - 1) / shape.block_size),
        qkv_(shape.context, (shape.heads + 2 * shape.kv_heads) * 64),
        y_(shape.sequences * shape.queries, shape.heads * 64) {
    const char* format = std::getenv("EYESHOT_KV");
    cache_ = std::move(Engine().NewKvCache({.layer_group = std::vector<int>(static_cast<size_t>(shape.layers), 0),
                                            .blocks = shape.sequences * blocks_,
                                            .block_size = shape.block_size,
                                            .kv_heads = shape.kv_heads,
                                            .head_dim = 64,
                                            .format = format != nullptr && std::string_view(format) == "int8"
                                                          ? KvFormat::kInt8
                                                          : KvFormat::kHalf}))
                 .value();
    for (int64_t s = 0; s < shape.sequences; ++s) {
      starts_.push_back(static_cast<int32_t>(s * shape.queries));
      lengths_.push_back(static_cast<int32_t>(shape.context));
      for (int64_t b = 0; b < blocks_; ++b) table_.push_back(static_cast<int32_t>(b * shape.sequences + s));
    }
    starts_.push_back(static_cast<int32_t>(shape.sequences * shape.queries));
    for (int64_t s = 0; s < shape.sequences; ++s) Fill(s);
    step_ = {.tokens = shape.sequences * shape.queries,
             .sequences = shape.sequences,
             .max_blocks = blocks_,
             .query_start = {starts_.data(), shape.sequences + 1},
             .context_length = {lengths_.data(), shape.sequences},
             .block_table = {table_.data(), shape.sequences * blocks_},
             .max_context = shape.context};
  }

  void Attend(Stream& stream) {
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      Engine().PagedAttention(stream, {.q = qkv_.view().Rows(0, step_.tokens).Cols(0, shape_.heads * 64),
                                       .heads = shape_.heads,
                                       .scale = 0.125f,
                                       .reduced = Format() != WeightFormat::kExact,
                                       .cache = cache_.get(),
                                       .layer = static_cast<int>(layer),
                                       .batch = &step_,
                                       .y = y_.view()});
    }
  }

 private:
  void Fill(int64_t sequence) {
    std::vector<int32_t> positions, slots, starts = {0, static_cast<int32_t>(shape_.context)};
    const int32_t* table = table_.data() + sequence * blocks_;
    for (int64_t i = 0; i < shape_.context; ++i) {
      positions.push_back(static_cast<int32_t>(i));
      const int64_t slot = table[i / shape_.block_size] * shape_.block_size + i % shape_.block_size;
      slots.push_back(static_cast<int32_t>(slot));
    }
    const PagedBatch batch = {.tokens = shape_.context,
                              .sequences = 1,
                              .max_blocks = blocks_,
                              .positions = {positions.data(), shape_.context},
                              .query_start = {starts.data(), 2},
                              .slots = {slots.data(), shape_.context},
                              .context_length = {lengths_.data(), 1},
                              .block_table = {table, blocks_},
                              .max_context = shape_.context};
    const std::vector<float> frequencies(32, 0.01f);
    const auto stream = Engine().NewStream();
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      Engine().RotaryStore(*stream, {.qkv = qkv_.view(),
                                     .heads = shape_.heads,
                                     .inverse_frequency = {frequencies.data(), 32},
                                     .cache = cache_.get(),
                                     .layer = static_cast<int>(layer),
                                     .batch = &batch});
    }
  }

  Shape shape_;
  int64_t blocks_;
  Matrix qkv_, y_;
  std::unique_ptr<KvCache> cache_;
  std::vector<int32_t> starts_, lengths_, table_;
  PagedBatch step_;
};

// One layer of one sequence, again and again: `queries` tokens after which `context` are in the cache.
void PagedAttention(benchmark::State& state) {
  CachedSequences sequences({.sequences = 1,
                             .context = state.range(1),
                             .queries = state.range(0),
                             .layers = 1,
                             .heads = state.range(2),
                             .kv_heads = state.range(3),
                             .block_size = state.range(4)});
  Measure(state, [&](Stream& stream) { sequences.Attend(stream); });
}

// SmolLM2-135M's layers, whose caches and weights come from memory each time: what a step of `sequences` answers that
// are `context` tokens long reads of the cache, and what it multiplies.
void StepAttention(benchmark::State& state) {
  CachedSequences sequences({.sequences = state.range(0),
                             .context = state.range(1),
                             .queries = 1,
                             .layers = 30,
                             .heads = 9,
                             .kv_heads = 3,
                             .block_size = 32});
  Measure(state, [&](Stream& stream) { sequences.Attend(stream); });
}

void StepLinears(benchmark::State& state) {
  struct Layer {
    PackedWeightPtr qkv = RandomLinear(960, 576), out = RandomLinear(576, 576), gate = RandomLinear(1536, 576, true),
                    down = RandomLinear(576, 1536);
  };
  const int64_t rows = state.range(0);
  const std::vector<Layer> layers(30);
  const PackedWeightPtr head = RandomLinear(49280, 576);
  Matrix x(rows, 576), qkv(rows, 960), wide(rows, 1536), y(rows, 576), logits(rows, 49280);
  Measure(state, [&](Stream& stream) {
    const auto multiply = [&](Matrix& from, const PackedWeightPtr& weight, Matrix& to) {
      Engine().Linear(stream, {.x = from.view(), .weight = weight.get(), .y = to.view()});
    };
    for (const Layer& layer : layers) {
      multiply(x, layer.qkv, qkv);
      multiply(x, layer.out, y);
      multiply(x, layer.gate, wide);
      multiply(wide, layer.down, y);
    }
    multiply(x, head, logits);
  });
}

// Packing the 256 million weights of SmolVLM-256M (513 MB of bfloat16).
void PackModel(benchmark::State& state) {
  const int64_t outputs = 8192, inputs = 31250;
  std::vector<uint16_t> data(static_cast<size_t>(outputs * inputs), 0x3d80);
  const HostTensor tensor = {.name = "w",
                             .dtype = DType::kBF16,
                             .shape = {outputs, inputs},
                             .data = reinterpret_cast<const uint8_t*>(data.data())};
  Measure(state, [&](Stream& stream) {
    stream.counters.bytes += 2 * tensor.bytes();
    benchmark::DoNotOptimize(Engine().PackLinear({.parts = {tensor}}));
  });
}

void RegisterLinear(const char* name, Kind kind, const std::vector<std::vector<int64_t>>& shapes) {
  auto* linear = benchmark::RegisterBenchmark(name, Linear, kind)->UseManualTime()->Unit(benchmark::kMillisecond);
  for (const auto& shape : shapes) linear->Args(shape);
}

void RegisterAll() {
  // Shapes are rows / outputs / inputs.
  const auto named = [](const char* name, void (*fn)(benchmark::State&)) {
    return benchmark::RegisterBenchmark(name, fn)->UseManualTime()->Unit(benchmark::kMillisecond);
  };
  RegisterLinear("Linear/tower", kResidual,
                 {{1024, 2304, 768},
                  {1024, 768, 768},
                  {1024, 768, 3072},
                  {2048, 768, 3072},
                  {729, 3456, 1152},
                  {729, 1152, 1152},
                  {729, 1152, 4304},
                  {64, 576, 12288},
                  {81, 2048, 10368}});
  RegisterLinear("Linear/gelu", kBiasGelu, {{1024, 3072, 768}, {2048, 3072, 768}, {729, 4304, 1152}});
  RegisterLinear("Linear/prompt", kPlain,
                 {{64, 960, 576},
                  {1000, 960, 576},
                  {1000, 576, 1536},
                  {1000, 1600, 960},
                  {1000, 960, 2560},
                  {1000, 6144, 2048},
                  {1000, 2048, 8192}});
  RegisterLinear("Linear/prompt_gated", kGated,
                 {{64, 1536, 576}, {1000, 1536, 576}, {1000, 2560, 960}, {1000, 8192, 2048}});
  RegisterLinear("Linear/decode", kPlain,
                 {{1, 960, 576},
                  {1, 576, 1536},
                  {1, 49280, 576},
                  {4, 49280, 576},
                  {8, 49280, 576},
                  {1, 49280, 960},
                  {1, 2048, 8192}});
  RegisterLinear("Linear/decode_gated", kGated, {{1, 1536, 576}, {1, 2560, 960}, {1, 8192, 2048}});
  named("LayerNorm", LayerNorm)->Args({1024, 768})->Args({729, 1152});
  named("EncodeAttention", EncodeAttention)->Args({1, 1024, 12, 64})->Args({2, 1024, 12, 64})->Args({1, 729, 16, 72});
  named("VisionTower", VisionTower)->Arg(1)->Arg(2)->Arg(4)->MinTime(4);
  auto* paged = named("PagedAttention", PagedAttention);
  for (int64_t block_size : {16, 32, 64}) {
    paged->Args({1, 1000, 9, 3, block_size})->Args({1, 8000, 9, 3, block_size})->Args({1, 1000, 32, 32, block_size});
    paged->Args({1000, 1000, 9, 3, block_size})->Args({1000, 1000, 32, 32, block_size});
  }
  named("StepAttention", StepAttention)->Args({1, 1100})->Args({8, 64})->Args({8, 1100})->Args({32, 1100});
  named("StepLinears", StepLinears)->Arg(1)->Arg(4)->Arg(8)->Arg(16)->Arg(32);
  named("PackModel", PackModel)->MinTime(2);
}

}  // namespace
}  // namespace eyeshot

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const eyeshot::BackendInfo& info = eyeshot::Engine().info();
  std::printf("%s, %s, %d threads; peak %.0f GFLOP/s float32 FMA, %.1f GB/s reading memory\n", info.name.c_str(),
              info.isa.c_str(), info.threads, eyeshot::Peak().gflops, eyeshot::Peak().gbytes);
  eyeshot::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
