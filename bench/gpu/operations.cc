// What each operation of a model takes on a GPU, at the shapes of SmolVLM: microseconds, and what that is of the GPU's
// peaks where it is known which of them bounds it. Operations run from a graph, so that the host doesn't count. Prints
// JSON: {"model": [{"operation", "us", "tflop_per_s", "gb_per_s"}]}.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "kernels/cuda/cuda_backend.h"
#include "ledger/stage.h"
#include "tensor/dtype.h"

namespace eyeshot {
namespace {

constexpr int kRuns = 11;
constexpr int64_t kTiles = 9;  // of a pass through the tower
constexpr int64_t kPrompt = 1216;
constexpr int64_t kDepth = 1100;
constexpr int64_t kBlock = 32;
constexpr size_t kCacheBytes = size_t{128} << 20;  // more than any L2: weights of successive repetitions are others

struct Shape {
  const char* name;
  int64_t tower, tower_inner, tower_heads, patches, patch, side;
  int64_t hidden, inner, heads, kv_heads, head_dim, vocabulary;
};
constexpr Shape kShapes[] = {
    {"256M", 768, 3072, 12, 1024, 16, 512, 576, 1536, 9, 3, 64, 49280},
    {"2.2B", 1152, 4304, 16, 729, 14, 384, 2048, 8192, 32, 32, 64, 49155},
};

class Operations {
 public:
  Operations(Backend& backend, const Shape& shape) : backend_(backend), shape_(shape), stream_(backend.NewStream()) {
    const std::vector<float> frequencies(static_cast<size_t>(shape.head_dim / 2), 0.1f);
    frequencies_ = Memory(frequencies.size() * sizeof(float));
    backend_.Upload(*stream_, frequencies.data(), frequencies_.data(), frequencies_.bytes());
  }

  void Run() {
    Tower();
    Prompt();
    for (const int64_t sequences : {1, 8, 64}) Decode(sequences);
  }

 private:
  MatrixView Matrix(int64_t rows, int64_t cols, DType dtype = DType::kBF16) {
    Buffer buffer = Memory(static_cast<size_t>(rows * cols) * DTypeBytes(dtype));
    std::vector<uint16_t> values(buffer.bytes() / 2);
    for (size_t i = 0; i < values.size(); ++i) {
      const bool high = dtype == DType::kBF16 || i % 2 == 1;
      values[i] = high ? Bf16FromF32(normal_(random_)) : uint16_t{0};
    }
    backend_.Upload(*stream_, values.data(), buffer.data(), buffer.bytes());
    const MatrixView view(buffer.data(), dtype, rows, cols, cols);
    buffers_.push_back(std::move(buffer));
    return view;
  }
  DeviceSpan<int32_t> Integers(const std::vector<int32_t>& values) {
    Buffer buffer = Memory(values.size() * sizeof(int32_t));
    backend_.Upload(*stream_, values.data(), buffer.data(), buffer.bytes());
    const DeviceSpan<int32_t> span{static_cast<int32_t*>(buffer.data()), static_cast<int64_t>(values.size())};
    buffers_.push_back(std::move(buffer));
    return span;
  }
  Buffer Memory(size_t bytes) {
    auto buffer = backend_.Allocate(bytes, "a bench");
    EYESHOT_CHECK(buffer.ok());
    return std::move(buffer).value();
  }
  HostTensor Host(std::vector<int64_t> shape) {
    HostTensor tensor{.name = "w", .dtype = DType::kBF16, .shape = std::move(shape)};
    const auto count = static_cast<size_t>(tensor.elements());
    for (size_t i = host_.size(); i < count; ++i) host_.push_back(Bf16FromF32(0.05f * normal_(random_)));
    tensor.data = reinterpret_cast<const uint8_t*>(host_.data());
    return tensor;
  }
  const PackedWeight* Weight(int64_t outputs, int64_t inputs, bool gated = false) {
    LinearSource source{.parts = {Host({outputs, inputs})}, .gated = gated};
    if (gated) source.parts.push_back(source.parts.front());
    weights_.push_back(std::move(backend_.PackLinear(source)).value());
    return weights_.back().get();
  }
  // As many that together they are in no cache.
  std::vector<const PackedWeight*> Weights(int64_t outputs, int64_t inputs, bool gated = false) {
    const size_t bytes = static_cast<size_t>(outputs * inputs) * (gated ? 4 : 2);
    std::vector<const PackedWeight*> weights(std::min<size_t>(64, kCacheBytes / bytes + 1));
    for (const PackedWeight*& weight : weights) weight = Weight(outputs, inputs, gated);
    return weights;
  }
  const PackedWeight* Vector(int64_t size) {
    weights_.push_back(std::move(backend_.PackVector(Host({size}))).value());
    return weights_.back().get();
  }

  // Prints what one of `repetitions` calls of enqueue(i) takes, run from one graph.
  void Measure(const std::string& name, size_t repetitions, const std::function<void(size_t)>& enqueue) {
    const auto all = [&] {
      for (size_t i = 0; i < repetitions; ++i) enqueue(i);
    };
    static uint64_t graphs = uint64_t{1} << 40;  // keys of no cache
    const StepKey key{.cache = ++graphs, .inputs = this, .tokens = 1, .context = 1};
    std::vector<uint64_t> times;
    Ledger total;
    for (int run = -3; run < kRuns; ++run) {
      Ledger ledger;
      {
        Stage stage(ledger, StageId::kEncode, stream_.get());
        backend_.Repeat(*stream_, key, all);
      }
      EYESHOT_CHECK(backend_.Sync(*stream_).ok());
      stream_->Collect(ledger);
      if (run >= 0) times.push_back(ledger.cost(StageId::kEncode).device_ns);
      total = ledger;
    }
    std::nth_element(times.begin(), times.begin() + kRuns / 2, times.end());
    const double ns = static_cast<double>(times[kRuns / 2]);
    const StageCost& cost = total.cost(StageId::kEncode);
    fmt::print("{}\n  {{\"operation\": \"{}\", \"us\": {:.2f}, \"tflop_per_s\": {:.1f}, \"gb_per_s\": {:.0f}}}",
               first_ ? "" : ",", name, ns / 1e3 / static_cast<double>(repetitions),
               static_cast<double>(cost.flops) / ns / 1e3, static_cast<double>(cost.bytes) / ns);
    std::fflush(stdout);
    first_ = false;
  }

  void Tower();
  void Prompt();
  void Decode(int64_t sequences);
  PagedBatch Batch(int64_t sequences, int64_t queries, int64_t context);
  // For the sequences of `batch`.
  std::unique_ptr<KvCache> Cache(size_t layers, const PagedBatch& batch);
  void Rotate(MatrixView qkv, KvCache& cache, int64_t layer, const PagedBatch& batch);
  void Attend(MatrixView qkv, const KvCache& cache, int64_t layer, const PagedBatch& batch, MatrixView y);

  Backend& backend_;
  const Shape& shape_;
  std::unique_ptr<Stream> stream_;
  Buffer frequencies_;  // of rotary positions
  std::vector<Buffer> buffers_;
  std::vector<PackedWeightPtr> weights_;
  std::vector<uint16_t> host_;
  std::mt19937 random_{1};
  std::normal_distribution<float> normal_;
  bool first_ = true;
};

void Operations::Tower() {
  const int64_t rows = kTiles * shape_.patches;
  const int64_t width = shape_.tower;
  const MatrixView x = Matrix(rows, width);
  const MatrixView y = Matrix(rows, width);
  const MatrixView wide = Matrix(rows, std::max(3 * width, shape_.tower_inner));
  const PackedWeight* gain = Vector(width);
  const PackedWeight* bias = Vector(3 * width);
  const PackedWeight* inner_bias = Vector(shape_.tower_inner);
  const PackedWeight* qkv = Weight(3 * width, width);
  const PackedWeight* out = Weight(width, width);
  const PackedWeight* up = Weight(shape_.tower_inner, width);
  const PackedWeight* down = Weight(width, shape_.tower_inner);
  const MatrixView heads = wide.Cols(0, 3 * width);
  const MatrixView inner = wide.Cols(0, shape_.tower_inner);

  Buffer pixels = Memory(static_cast<size_t>(kTiles * shape_.side * shape_.side * 3));
  const std::vector<uint8_t> picture(pixels.bytes(), 100);
  Buffer table = Memory(3 * 256 * sizeof(float));
  const std::vector<float> normalization(3 * 256, 0.5f);
  backend_.Upload(*stream_, picture.data(), pixels.data(), pixels.bytes());
  backend_.Upload(*stream_, normalization.data(), table.data(), table.bytes());
  const PackedWeight* patch = Weight(width, 3 * shape_.patch * shape_.patch);
  weights_.push_back(std::move(backend_.PackTable(Host({shape_.patches, width}))).value());
  const PackedWeight* positions = weights_.back().get();
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % static_cast<size_t>(shape_.patches));
  std::vector<int32_t> ends;
  for (int64_t i = 0; i <= kTiles; ++i) ends.push_back(static_cast<int32_t>(i * shape_.patches));
  const DeviceSpan<int32_t> position_ids = Integers(ids);
  const DeviceSpan<int32_t> cu_tokens = Integers(ends);

  Measure("tower: patches", 4, [&](size_t) {
    backend_.PatchEmbed(*stream_,
                        {.tiles = {static_cast<const uint8_t*>(pixels.data()), static_cast<int64_t>(pixels.bytes())},
                         .side = shape_.side,
                         .patch = shape_.patch,
                         .normalization = {static_cast<const float*>(table.data()), 3 * 256},
                         .weight = patch,
                         .bias = gain,
                         .positions = positions,
                         .position_ids = position_ids,
                         .y = y});
  });
  Measure("tower: norm", 8, [&](size_t) {
    backend_.LayerNorm(*stream_, {.x = x, .gain = gain, .bias = gain, .epsilon = 1e-6f, .y = y});
  });
  Measure("tower: queries, keys, values", 8, [&](size_t) {
    backend_.Linear(*stream_, {.x = x, .weight = qkv, .bias = bias, .residual = {}, .y = heads});
  });
  Measure("tower: attention", 8, [&](size_t) {
    backend_.EncodeAttention(*stream_, {.qkv = heads,
                                        .cu_tokens = cu_tokens,
                                        .max_tokens = shape_.patches,
                                        .heads = shape_.tower_heads,
                                        .head_dim = width / shape_.tower_heads,
                                        .scale = 0.125f,
                                        .reduced = true,
                                        .y = y});
  });
  Measure("tower: out", 8,
          [&](size_t) { backend_.Linear(*stream_, {.x = x, .weight = out, .bias = gain, .residual = y, .y = y}); });
  Measure("tower: up", 8, [&](size_t) {
    backend_.Linear(*stream_,
                    {.x = x, .weight = up, .bias = inner_bias, .activation = Activation::kGeluTanh, .y = inner});
  });
  Measure("tower: up without GELU", 8,
          [&](size_t) { backend_.Linear(*stream_, {.x = x, .weight = up, .bias = inner_bias, .y = inner}); });
  Measure("tower: down", 8, [&](size_t) {
    backend_.Linear(*stream_, {.x = inner, .weight = down, .bias = gain, .residual = y, .y = y});
  });
}

// `queries` tokens of each sequence are new; the last one is at `context` - 1.
PagedBatch Operations::Batch(int64_t sequences, int64_t queries, int64_t context) {
  const int64_t blocks = (context + kBlock - 1) / kBlock;
  std::vector<int32_t> positions, slots, starts, lengths, table;
  for (int64_t s = 0; s < sequences; ++s) {
    starts.push_back(static_cast<int32_t>(s * queries));
    lengths.push_back(static_cast<int32_t>(context));
    for (int64_t i = 0; i < queries; ++i) {
      positions.push_back(static_cast<int32_t>(context - queries + i));
      slots.push_back(static_cast<int32_t>(s * blocks * kBlock + context - queries + i));
    }
    for (int64_t i = 0; i < blocks; ++i) table.push_back(static_cast<int32_t>(s * blocks + i));
  }
  starts.push_back(static_cast<int32_t>(sequences * queries));
  return {.tokens = sequences * queries,
          .sequences = sequences,
          .max_blocks = blocks,
          .positions = Integers(positions),
          .query_start = Integers(starts),
          .slots = Integers(slots),
          .context_length = Integers(lengths),
          .block_table = Integers(table),
          .max_context = context};
}

std::unique_ptr<KvCache> Operations::Cache(size_t layers, const PagedBatch& batch) {
  const int64_t blocks = batch.sequences * batch.max_blocks;
  auto cache = std::move(backend_.NewKvCache({.layer_group = std::vector<int>(layers, 0),
                                              .blocks = blocks,
                                              .block_size = kBlock,
                                              .kv_heads = shape_.kv_heads,
                                              .head_dim = shape_.head_dim}))
                   .value();
  EYESHOT_CHECK(backend_.Reserve(*stream_, *cache, blocks).ok());
  return cache;
}

void Operations::Rotate(MatrixView qkv, KvCache& cache, int64_t layer, const PagedBatch& batch) {
  backend_.RotaryStore(*stream_,
                       {.qkv = qkv,
                        .heads = shape_.heads,
                        .inverse_frequency = {static_cast<const float*>(frequencies_.data()), shape_.head_dim / 2},
                        .cache = &cache,
                        .layer = layer,
                        .batch = &batch});
}

void Operations::Attend(MatrixView qkv, const KvCache& cache, int64_t layer, const PagedBatch& batch, MatrixView y) {
  backend_.PagedAttention(*stream_, {.q = qkv.Cols(0, y.cols),
                                     .heads = shape_.heads,
                                     .scale = 0.125f,
                                     .reduced = true,
                                     .cache = &cache,
                                     .layer = layer,
                                     .batch = &batch,
                                     .y = y});
}

void Operations::Prompt() {
  const int64_t q = shape_.heads * shape_.head_dim;
  const int64_t wide = q + 2 * shape_.kv_heads * shape_.head_dim;
  const MatrixView x = Matrix(kPrompt, shape_.hidden, DType::kF32);
  const MatrixView normed = Matrix(kPrompt, shape_.hidden);
  const MatrixView qkv = Matrix(kPrompt, wide);
  const MatrixView attended = Matrix(kPrompt, q);
  const MatrixView inner = Matrix(kPrompt, shape_.inner);
  const PackedWeight* gain = Vector(shape_.hidden);
  const PackedWeight* heads = Weight(wide, shape_.hidden);
  const PackedWeight* out = Weight(shape_.hidden, q);
  const PackedWeight* gate_up = Weight(shape_.inner, shape_.hidden, true);
  const PackedWeight* down = Weight(shape_.hidden, shape_.inner);
  const PagedBatch batch = Batch(1, kPrompt, kPrompt);
  const auto cache = Cache(1, batch);

  Measure("prompt: norm", 8,
          [&](size_t) { backend_.RmsNorm(*stream_, {.x = x, .gain = gain, .epsilon = 1e-6f, .y = normed}); });
  Measure("prompt: queries, keys, values", 8,
          [&](size_t) { backend_.Linear(*stream_, {.x = normed, .weight = heads, .residual = {}, .y = qkv}); });
  Measure("prompt: rotary positions", 8, [&](size_t) { Rotate(qkv, *cache, 0, batch); });
  Measure("prompt: attention", 8, [&](size_t) { Attend(qkv, *cache, 0, batch, attended); });
  Measure("prompt: out", 8,
          [&](size_t) { backend_.Linear(*stream_, {.x = attended, .weight = out, .residual = x, .y = x}); });
  Measure("prompt: gate and up", 8,
          [&](size_t) { backend_.Linear(*stream_, {.x = normed, .weight = gate_up, .residual = {}, .y = inner}); });
  Measure("prompt: down", 8,
          [&](size_t) { backend_.Linear(*stream_, {.x = inner, .weight = down, .residual = x, .y = x}); });
}

// The five parts of a layer, as a step enqueues them.
void Operations::Decode(int64_t sequences) {
  const std::string name = fmt::format("decode {}: ", sequences);
  const int64_t q = shape_.heads * shape_.head_dim;
  const int64_t wide = q + 2 * shape_.kv_heads * shape_.head_dim;
  const MatrixView x = Matrix(sequences, shape_.hidden, DType::kF32);
  const MatrixView normed = Matrix(sequences, shape_.hidden);
  const MatrixView qkv = Matrix(sequences, wide);
  const MatrixView attended = Matrix(sequences, q);
  const MatrixView inner = Matrix(sequences, shape_.inner);
  const MatrixView logits = Matrix(sequences, shape_.vocabulary, DType::kF32);
  const PackedWeight* gain = Vector(shape_.hidden);
  const auto heads = Weights(wide, shape_.hidden);
  const auto out = Weights(shape_.hidden, q);
  const auto gate_up = Weights(shape_.inner, shape_.hidden, true);
  const auto down = Weights(shape_.hidden, shape_.inner);
  const auto head = Weights(shape_.vocabulary, shape_.hidden);
  const auto norm = [&] {
    backend_.RmsNorm(*stream_, {.x = x, .gain = gain, .epsilon = 1e-6f, .y = normed, .passing = true});
  };

  Measure(name + "norm; queries, keys, values", heads.size(), [&](size_t i) {
    norm();
    backend_.Linear(*stream_, {.x = normed, .weight = heads[i], .residual = {}, .y = qkv});
  });
  Measure(name + "out", out.size(),
          [&](size_t i) { backend_.Linear(*stream_, {.x = attended, .weight = out[i], .residual = x, .y = x}); });
  Measure(name + "norm; gate and up", gate_up.size(), [&](size_t i) {
    norm();
    backend_.Linear(*stream_, {.x = normed, .weight = gate_up[i], .residual = {}, .y = inner});
  });
  Measure(name + "down", down.size(),
          [&](size_t i) { backend_.Linear(*stream_, {.x = inner, .weight = down[i], .residual = x, .y = x}); });
  Measure(name + "norm; head", head.size(), [&](size_t i) {
    norm();
    backend_.Linear(*stream_, {.x = normed, .weight = head[i], .residual = {}, .y = logits});
  });

  for (const int64_t context : {int64_t{128}, kDepth}) {
    const PagedBatch batch = Batch(sequences, 1, context);
    constexpr size_t kLayers = 8;
    const auto cache = Cache(kLayers, batch);
    Measure(fmt::format("{}rotary positions and attention to {} tokens", name, context), kLayers, [&](size_t layer) {
      Rotate(qkv, *cache, static_cast<int64_t>(layer), batch);
      Attend(qkv, *cache, static_cast<int64_t>(layer), batch, attended);
    });
  }
}

}  // namespace
}  // namespace eyeshot

int main() {
  auto backend = eyeshot::cuda::NewCudaBackend({});
  if (!backend.ok()) {
    fmt::print(stderr, "{}\n", backend.status().message());
    return 1;
  }
  fmt::print("{{\"gpu\": \"{}\"", (*backend)->info().device);
  for (const eyeshot::Shape& shape : eyeshot::kShapes) {
    fmt::print(",\n\"{}\": [", shape.name);
    eyeshot::Operations(**backend, shape).Run();
    fmt::print("]");
  }
  fmt::print("}}\n");
  return 0;
}
