// The oracle: every operation in plain float32, written to be read against the papers. Weights are kept in
// float32 (a bfloat16 checkpoint converts exactly). Each output element is computed by one loop whose order
// depends on nothing else, so that results do not depend on what else is in the batch or on threads.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "kernels/cpu_backend.h"

namespace eyeshot {
namespace {

// A dot product in 16 partial sums: enough for the compiler to fill vectors and hide the latency of an addition
// without changing the result.
float Dot(const float* a, const float* b, int64_t n) {
  constexpr int64_t kLanes = 16;
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  float sum = 0;
  for (float partial : sums) sum += partial;
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

float Gelu(float x) { return 0.5f * x * std::erfc(-x * 0.70710678f); }

// gelu_pytorch_tanh: the tanh approximation of Hendrycks and Gimpel, arXiv 1606.08415.
float GeluTanh(float x) {
  constexpr float kSqrt2OverPi = 0.7978845608028654f;
  return 0.5f * x * (1.0f + std::tanh(kSqrt2OverPi * (x + 0.044715f * x * x * x)));
}

float Silu(float x) { return x / (1.0f + std::exp(-x)); }

// scores[0..n) -> their softmax.
void Softmax(float* scores, int64_t n) {
  const float highest = *std::max_element(scores, scores + n);
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    scores[i] = std::exp(scores[i] - highest);
    sum += scores[i];
  }
  for (int64_t i = 0; i < n; ++i) scores[i] /= sum;
}

// The matrix [outputs, inputs] of a weight; gated ones hold all gates, then all ups.
const float* Rows(const PackedWeight* weight) { return static_cast<const FloatWeight*>(weight)->data(); }

// Keys and values in float32: [layer][k or v][slot][kv_head][head_dim].
struct FloatKvCache : KvCache {
  Buffer buffer;
  float* Slot(int64_t layer, bool value, int64_t slot) const {
    const int64_t slots = shape.blocks * shape.block_size;
    const int64_t plane = layer * 2 + (value ? 1 : 0);
    return static_cast<float*>(buffer.data()) + (plane * slots + slot) * shape.kv_heads * shape.head_dim;
  }
};

class ReferenceBackend final : public CpuBackend {
 public:
  explicit ReferenceBackend(int threads)
      : CpuBackend({.name = "reference", .isa = "plain", .precision = "float32"}, threads) {}

  Result<PackedWeightPtr> PackLinear(const LinearSource& source) override;
  Result<PackedWeightPtr> PackTable(const HostTensor& source) override { return PackLinear({.parts = {source}}); }
  size_t PackedLinearBytes(int64_t outputs, int64_t inputs, WeightFormat) const override {
    return static_cast<size_t>(outputs * inputs) * sizeof(float);
  }
  void ReadRow(const PackedWeight& weight, int64_t row, float* y) const override;
  size_t PackedTableBytes(int64_t rows, int64_t width) const override {
    return static_cast<size_t>(rows * width) * sizeof(float);
  }
  Result<std::unique_ptr<KvCache>> NewKvCache(const KvCacheShape& shape) override;
  size_t KvCacheBytes(const KvCacheShape& shape) const override {
    return static_cast<size_t>(shape.layers() * 2 * shape.blocks * shape.block_size * shape.kv_heads * shape.head_dim) *
           sizeof(float);
  }

 protected:
  void DoLinear(Stream& stream, const LinearArgs& args) override;
  void DoLayerNorm(Stream& stream, const NormArgs& args) override;
  void DoRmsNorm(Stream& stream, const NormArgs& args) override;
  void DoPatchEmbed(Stream& stream, const PatchEmbedArgs& args) override;
  void DoEncodeAttention(Stream& stream, const EncodeAttentionArgs& args) override;
  void DoPixelShuffleLinear(Stream& stream, const PixelShuffleLinearArgs& args) override;
  void DoGather(Stream& stream, const GatherArgs& args) override;
  void DoRotaryStore(Stream& stream, const RotaryStoreArgs& args) override;
  void DoPagedAttention(Stream& stream, const PagedAttentionArgs& args) override;

 private:
  void LinearColumn(const LinearArgs& args, int64_t column);
};

Result<PackedWeightPtr> ReferenceBackend::PackLinear(const LinearSource& source) {
  EYESHOT_CHECK(Supports(source.format));
  auto weight = std::make_unique<FloatWeight>();
  weight->inputs = source.parts[0].shape.empty() ? 1 : source.parts[0].elements() / source.parts[0].shape[0];
  for (const HostTensor& part : source.parts) {
    EYESHOT_RETURN_IF_ERROR(CheckPackable(part));
    weight->outputs += part.elements() / weight->inputs;
  }
  weight->bytes = PackedLinearBytes(weight->outputs, weight->inputs, WeightFormat::kExact);
  EYESHOT_ASSIGN_OR_RETURN(weight->buffer, AllocateHost(weight->bytes, source.parts[0].name));
  auto* out = static_cast<float*>(weight->buffer.data());
  for (const HostTensor& part : source.parts) {
    ConvertToF32(part.dtype, part.data, static_cast<size_t>(part.elements()), out);
    out += part.elements();
  }
  if (source.gated) {
    EYESHOT_CHECK(source.parts.size() == 2 && source.parts[0].shape == source.parts[1].shape);
    weight->gated = true;
    weight->outputs /= 2;
  }
  return PackedWeightPtr(std::move(weight));
}

void ReferenceBackend::ReadRow(const PackedWeight& weight, int64_t row, float* y) const {
  const bool inside = row >= 0 && row < weight.outputs * (weight.gated ? 2 : 1);
  if (inside) {
    std::copy_n(static_cast<const FloatWeight&>(weight).data() + row * weight.inputs, weight.inputs, y);
  } else {
    std::fill_n(y, weight.inputs, 0.0f);
  }
}

Result<std::unique_ptr<KvCache>> ReferenceBackend::NewKvCache(const KvCacheShape& shape) {
  auto cache = std::make_unique<FloatKvCache>();
  cache->shape = shape;
  cache->bytes = KvCacheBytes(shape);
  EYESHOT_ASSIGN_OR_RETURN(cache->buffer, AllocateHost(cache->bytes, "the key/value cache"));
  return std::unique_ptr<KvCache>(std::move(cache));
}

void ReferenceBackend::LinearColumn(const LinearArgs& args, int64_t column) {
  const PackedWeight& w = *args.weight;
  const float* row = Rows(&w) + column * w.inputs;
  const float* up_row = row + w.outputs * w.inputs;
  const float* bias = VectorData(args.bias);
  for (int64_t m = 0; m < args.x.rows; ++m) {
    float value = Dot(args.x.Row<float>(m), row, w.inputs);
    if (w.gated) value = Silu(value) * Dot(args.x.Row<float>(m), up_row, w.inputs);
    if (bias != nullptr) value += bias[column];
    if (args.activation == Activation::kGeluTanh) value = GeluTanh(value);
    if (args.activation == Activation::kGelu) value = Gelu(value);
    if (!args.residual.empty()) value += args.residual.Row<float>(m)[column];
    args.y.Row<float>(m)[column] = value;
  }
}

void ReferenceBackend::DoLinear(Stream&, const LinearArgs& args) {
  pool().Run(static_cast<size_t>(args.weight->outputs),
             [&](size_t column, size_t) { LinearColumn(args, static_cast<int64_t>(column)); });
}

void ReferenceBackend::DoLayerNorm(Stream&, const NormArgs& args) {
  const float* gain = VectorData(args.gain);
  const float* bias = VectorData(args.bias);
  const int64_t n = args.x.cols;
  for (int64_t m = 0; m < args.x.rows; ++m) {
    const float* x = args.x.Row<float>(m);
    float* y = args.y.Row<float>(m);
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += x[i];
    mean /= static_cast<double>(n);
    double variance = 0;
    for (int64_t i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
    variance /= static_cast<double>(n);
    const auto scale = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(args.epsilon)));
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - static_cast<float>(mean)) * scale * gain[i] + bias[i];
  }
}

void ReferenceBackend::DoRmsNorm(Stream&, const NormArgs& args) {
  const float* gain = VectorData(args.gain);
  const int64_t n = args.x.cols;
  for (int64_t m = 0; m < args.x.rows; ++m) {
    const float* x = args.x.Row<float>(m);
    float* y = args.y.Row<float>(m);
    double square = 0;
    for (int64_t i = 0; i < n; ++i) square += static_cast<double>(x[i]) * x[i];
    const auto scale =
        static_cast<float>(1.0 / std::sqrt(square / static_cast<double>(n) + static_cast<double>(args.epsilon)));
    for (int64_t i = 0; i < n; ++i) y[i] = gain[i] * (x[i] * scale);
  }
}

void ReferenceBackend::DoPatchEmbed(Stream&, const PatchEmbedArgs& args) {
  const int64_t grid = args.side / args.patch;
  const int64_t width = args.weight->outputs;
  const int64_t depth = args.weight->inputs;
  const float* bias = VectorData(args.bias);
  pool().Run(static_cast<size_t>(args.y.rows), [&](size_t task, size_t) {
    const auto token = static_cast<int64_t>(task);
    const int64_t tile = token / (grid * grid);
    const int64_t top = token / grid % grid * args.patch;
    const int64_t left = token % grid * args.patch;
    std::vector<float> pixels;  // [3, patch, patch]
    pixels.reserve(static_cast<size_t>(depth));
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t dy = 0; dy < args.patch; ++dy) {
        for (int64_t dx = 0; dx < args.patch; ++dx) {
          const int64_t pixel = (tile * args.side + top + dy) * args.side + left + dx;
          pixels.push_back(args.normalization.data[c * 256 + args.tiles.data[pixel * 3 + c]]);
        }
      }
    }
    const float* position = Rows(args.positions) + args.position_ids.data[token] * width;
    float* y = args.y.Row<float>(token);
    for (int64_t n = 0; n < width; ++n) {
      y[n] =
          Dot(pixels.data(), Rows(args.weight) + n * depth, depth) + (bias == nullptr ? 0.0f : bias[n]) + position[n];
    }
  });
}

void ReferenceBackend::DoEncodeAttention(Stream&, const EncodeAttentionArgs& args) {
  const int64_t width = args.heads * args.head_dim;
  if (!args.column_mean.empty()) std::fill_n(args.column_mean.data, args.column_mean.size, 0.0f);
  for (int64_t run = 0; run + 1 < args.cu_tokens.size; ++run) {
    const int64_t begin = args.cu_tokens.data[run];
    const int64_t tokens = args.cu_tokens.data[run + 1] - begin;
    // One task a query, all heads in order; the column means are summed over tasks afterwards, in order.
    std::vector<float> received(args.column_mean.empty() ? 0 : static_cast<size_t>(tokens * tokens));
    pool().Run(static_cast<size_t>(tokens), [&](size_t query, size_t) {
      std::vector<float> scores(static_cast<size_t>(tokens));
      const auto q_row = begin + static_cast<int64_t>(query);
      for (int64_t head = 0; head < args.heads; ++head) {
        const float* q = args.qkv.Row<float>(q_row) + head * args.head_dim;
        for (int64_t key = 0; key < tokens; ++key) {
          const float* k = args.qkv.Row<float>(begin + key) + width + head * args.head_dim;
          scores[static_cast<size_t>(key)] =
              Dot(q, k, args.head_dim) * args.scale + (args.key_bias.empty() ? 0.0f : args.key_bias.data[begin + key]);
        }
        Softmax(scores.data(), tokens);
        float* y = args.y.Row<float>(q_row) + head * args.head_dim;
        std::fill_n(y, args.head_dim, 0.0f);
        for (int64_t key = 0; key < tokens; ++key) {
          const float p = scores[static_cast<size_t>(key)];
          const float* v = args.qkv.Row<float>(begin + key) + 2 * width + head * args.head_dim;
          for (int64_t d = 0; d < args.head_dim; ++d) y[d] += p * v[d];
          if (!received.empty()) received[query * static_cast<size_t>(tokens) + static_cast<size_t>(key)] += p;
        }
      }
    });
    if (received.empty()) continue;
    for (int64_t query = 0; query < tokens; ++query) {
      for (int64_t key = 0; key < tokens; ++key) {
        args.column_mean.data[begin + key] += received[static_cast<size_t>(query * tokens + key)];
      }
    }
    for (int64_t key = 0; key < tokens; ++key) {
      args.column_mean.data[begin + key] /= static_cast<float>(tokens * args.heads);
    }
  }
}

void ReferenceBackend::DoPixelShuffleLinear(Stream&, const PixelShuffleLinearArgs& args) {
  const int64_t width = args.x.cols;
  const int64_t side = args.grid / args.scale;
  const int64_t depth = args.weight->inputs;
  pool().Run(static_cast<size_t>(args.y.rows), [&](size_t task, size_t) {
    const auto token = static_cast<int64_t>(task);
    const int64_t tile = token / (side * side);
    const int64_t top = token / side % side * args.scale;
    const int64_t left = token % side * args.scale;
    std::vector<float> block;  // [scale, scale, width]: row inside the block slowest
    block.reserve(static_cast<size_t>(depth));
    for (int64_t dr = 0; dr < args.scale; ++dr) {
      for (int64_t dc = 0; dc < args.scale; ++dc) {
        const float* patch = args.x.Row<float>((tile * args.grid + top + dr) * args.grid + left + dc);
        block.insert(block.end(), patch, patch + width);
      }
    }
    for (int64_t n = 0; n < args.weight->outputs; ++n) {
      args.y.Row<float>(token)[n] = Dot(block.data(), Rows(args.weight) + n * depth, depth);
    }
  });
}

void ReferenceBackend::DoGather(Stream&, const GatherArgs& args) {
  const int64_t width = args.table->inputs;
  for (int64_t i = 0; i < args.ids.size; ++i) {
    const int64_t id = args.ids.data[i];
    float* y = args.y.Row<float>(i);
    if (id < 0 || id >= args.table->outputs) {
      std::fill_n(y, width, 0.0f);
    } else {
      std::copy_n(Rows(args.table) + id * width, width, y);
    }
  }
}

void ReferenceBackend::DoRotaryStore(Stream&, const RotaryStoreArgs& args) {
  const auto& cache = static_cast<const FloatKvCache&>(*args.cache);
  const int64_t head_dim = cache.shape.head_dim;
  const int64_t half = head_dim / 2;
  const int64_t kv_width = cache.shape.kv_heads * head_dim;
  const int64_t group = cache.shape.layer_group[static_cast<size_t>(args.layer)];
  for (int64_t t = 0; t < args.batch->tokens; ++t) {
    float* row = args.qkv.Row<float>(t);
    const auto position = static_cast<float>(args.batch->positions.data[t]);
    for (int64_t head = 0; head < args.heads + cache.shape.kv_heads; ++head) {
      float* x = row + head * head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const float angle = position * args.inverse_frequency.data[i];
        const float cosine = std::cos(angle);
        const float sine = std::sin(angle);
        const float first = x[i];
        const float second = x[i + half];
        x[i] = first * cosine - second * sine;
        x[i + half] = second * cosine + first * sine;
      }
    }
    const int64_t slot = args.batch->slots.data[group * args.batch->tokens + t];
    const float* k = row + args.heads * head_dim;
    std::copy_n(k, kv_width, cache.Slot(args.layer, false, slot));
    std::copy_n(k + kv_width, kv_width, cache.Slot(args.layer, true, slot));
  }
}

void ReferenceBackend::DoPagedAttention(Stream&, const PagedAttentionArgs& args) {
  const auto& cache = static_cast<const FloatKvCache&>(*args.cache);
  const PagedBatch& batch = *args.batch;
  const int64_t head_dim = cache.shape.head_dim;
  const int64_t heads_per_kv = args.heads / cache.shape.kv_heads;
  const int64_t group = cache.shape.layer_group[static_cast<size_t>(args.layer)];
  for (int64_t s = 0; s < batch.sequences; ++s) {
    const int64_t begin = batch.query_start.data[s];
    const int64_t queries = batch.query_start.data[s + 1] - begin;
    const int64_t context = batch.context_length.data[group * batch.sequences + s];
    const int32_t* blocks = batch.block_table.data + (group * batch.sequences + s) * batch.max_blocks;
    const auto slot_of = [&](int64_t key) {
      return blocks[key / cache.shape.block_size] * cache.shape.block_size + key % cache.shape.block_size;
    };
    pool().Run(static_cast<size_t>(queries * args.heads), [&](size_t task, size_t) {
      const int64_t query = static_cast<int64_t>(task) / args.heads;
      const int64_t head = static_cast<int64_t>(task) % args.heads;
      const int64_t offset = head / heads_per_kv * head_dim;
      const int64_t keys = context - queries + query + 1;
      const float* q = args.q.Row<float>(begin + query) + head * head_dim;
      std::vector<float> scores(static_cast<size_t>(keys));
      for (int64_t key = 0; key < keys; ++key) {
        scores[static_cast<size_t>(key)] =
            Dot(q, cache.Slot(args.layer, false, slot_of(key)) + offset, head_dim) * args.scale;
      }
      Softmax(scores.data(), keys);
      float* y = args.y.Row<float>(begin + query) + head * head_dim;
      std::fill_n(y, head_dim, 0.0f);
      for (int64_t key = 0; key < keys; ++key) {
        const float* v = cache.Slot(args.layer, true, slot_of(key)) + offset;
        for (int64_t d = 0; d < head_dim; ++d) y[d] += scores[static_cast<size_t>(key)] * v[d];
      }
    });
  }
}

}  // namespace

std::unique_ptr<Backend> NewReferenceBackend(int threads) { return std::make_unique<ReferenceBackend>(threads); }

}  // namespace eyeshot
