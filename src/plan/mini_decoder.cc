#include "plan/mini_decoder.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/splitmix64.h"
#include "models/model.h"
#include "tensor/arena.h"
#include "tensor/dtype.h"
#include "vision/weight_loader.h"

namespace eyeshot::plan {
namespace {

ModelConfig MiniConfig(int64_t layers) {
  ModelConfig config;
  config.model_type = "llama";
  config.text = {.hidden_size = 640,
                 .intermediate_size = 1792,
                 .num_layers = layers,
                 .num_heads = 10,
                 .num_kv_heads = 5,
                 .head_dim = 64,
                 .vocab_size = 16384};
  config.tie_word_embeddings = true;
  return config;
}

// Tensors by the ends of their names. All of them lie in one buffer of seeded values.
class SeededTensors final : public TensorSource {
 public:
  explicit SeededTensors(const ModelConfig& config) {
    const TextConfig& t = config.text;
    const int64_t q = t.num_heads * t.head_dim;
    const int64_t kv = t.num_kv_heads * t.head_dim;
    shapes_ = {{"embed_tokens.weight", {t.vocab_size, t.hidden_size}},
               {"q_proj.weight", {q, t.hidden_size}},
               {"k_proj.weight", {kv, t.hidden_size}},
               {"v_proj.weight", {kv, t.hidden_size}},
               {"o_proj.weight", {t.hidden_size, q}},
               {"gate_proj.weight", {t.intermediate_size, t.hidden_size}},
               {"up_proj.weight", {t.intermediate_size, t.hidden_size}},
               {"down_proj.weight", {t.hidden_size, t.intermediate_size}},
               {"", {t.hidden_size}}};
    values_.resize(static_cast<size_t>(t.vocab_size * t.hidden_size));
    // Standard deviations of about 1 / sqrt(640), as trained weights have; gains as small do no harm.
    for (size_t i = 0; i < values_.size(); ++i) {
      values_[i] = Bf16FromF32(0.068f * (static_cast<float>(SplitMix64(i) >> 40) / 8388608.0f - 1.0f));
    }
  }

  bool Has(std::string_view name) const override { return !name.starts_with("lm_head"); }
  Result<HostTensor> Get(std::string_view name) const override {
    for (const Shape& shape : shapes_) {
      if (!name.ends_with(shape.end)) continue;
      return HostTensor{std::string(name), DType::kBF16, shape.dims, reinterpret_cast<const uint8_t*>(values_.data())};
    }
    return NotFoundError(fmt::format("tensor {}", name), "report this as a bug");
  }
  void Release(const HostTensor&) const override {}
  uint64_t bytes() const override { return values_.size() * sizeof(uint16_t); }

 private:
  struct Shape {
    std::string_view end;
    std::vector<int64_t> dims;
  };
  std::vector<Shape> shapes_;
  std::vector<uint16_t> values_;
};

}  // namespace

Result<std::unique_ptr<MiniDecoder>> MiniDecoder::Create(Backend& backend, WeightFormat format, int64_t layers) {
  std::unique_ptr<MiniDecoder> model(new MiniDecoder(backend, MiniConfig(layers)));
  EYESHOT_RETURN_IF_ERROR(model->Load(format));
  EYESHOT_RETURN_IF_ERROR(model->Allocate());
  return model;
}

Status MiniDecoder::Load(WeightFormat format) {
  const SeededTensors tensors(config_);
  WeightLoader loader(tensors, backend_, {}, {});
  loader.SetFormat(format);
  EYESHOT_ASSIGN_OR_RETURN(
      LlamaDecoder decoder,
      LlamaDecoder::Load(loader, backend_, config_.text, {.prefix = "text.", .head = "lm_head.weight"}, true));
  decoder_ = std::move(decoder);
  return Status::Ok();
}

Status MiniDecoder::Allocate() {
  const auto layout = [&](Arena& arena) {
    return DecoderWorkspace(arena, config_.text, backend_.info().activation, kMostTokens, 1, kMostTokens / kKvBlockSize,
                            1);
  };
  Arena size;
  layout(size);
  EYESHOT_ASSIGN_OR_RETURN(memory_, backend_.Allocate(size.used(), "calibration"));
  Arena arena(memory_.data(), memory_.bytes());
  workspace_ = layout(arena);
  EYESHOT_ASSIGN_OR_RETURN(cache_, backend_.NewKvCache(decoder_->CacheShape(kMostTokens, kKvBlockSize)));
  inputs_.resize(static_cast<size_t>(workspace_.inputs.size));
  return Status::Ok();
}

// The blocks of the one sequence lie in their order.
Status MiniDecoder::Prompt(Stream& stream, int64_t tokens) {
  EYESHOT_CHECK(tokens >= 1 && tokens <= kMostTokens);
  DecoderWorkspace& w = workspace_;
  const auto host = [&](const DeviceSpan<int32_t>& array) {
    return reinterpret_cast<int32_t*>(inputs_.data() + (reinterpret_cast<const uint8_t*>(array.data) - w.inputs.data));
  };
  for (int64_t i = 0; i < tokens; ++i) {
    host(w.ids)[i] = static_cast<int32_t>(i * 7919 % config_.text.vocab_size);
    host(w.positions)[i] = host(w.slots)[i] = static_cast<int32_t>(i);
  }
  for (int64_t i = 0; i < w.block_table.size; ++i) host(w.block_table)[i] = static_cast<int32_t>(i);
  host(w.query_start)[0] = 0;
  host(w.query_start)[1] = static_cast<int32_t>(tokens);
  host(w.context_length)[0] = static_cast<int32_t>(tokens);
  host(w.logit_rows)[0] = static_cast<int32_t>(tokens - 1);
  backend_.Upload(stream, inputs_.data(), w.inputs.data, inputs_.size());
  DecoderStep step;
  step.x = w.x.Rows(0, tokens);
  step.batch = {.tokens = tokens,
                .sequences = 1,
                .max_blocks = w.block_table.size,
                .positions = w.positions.Sub(0, tokens),
                .query_start = w.query_start,
                .slots = w.slots.Sub(0, tokens),
                .context_length = w.context_length,
                .block_table = w.block_table,
                .max_context = tokens};
  decoder_->Embed(stream, w.ids.Sub(0, tokens), step.x);
  EYESHOT_RETURN_IF_ERROR(decoder_->RunLayers(stream, w, *cache_, step, 0, config_.text.num_layers, nullptr));
  decoder_->Logits(stream, w, step, 1);
  return backend_.Sync(stream);
}

}  // namespace eyeshot::plan
