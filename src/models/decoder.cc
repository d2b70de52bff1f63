#include "models/decoder.h"

#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot {

DecoderWorkspace::DecoderWorkspace(Arena& arena, const TextConfig& config, DType activation, int64_t tokens,
                                   int64_t sequences, int64_t max_blocks, int64_t groups)
    : max_tokens(tokens), max_sequences(sequences) {
  const size_t begin = arena.used();
  ids = arena.Array<int32_t>(tokens);
  positions = arena.Array<int32_t>(tokens);
  slots = arena.Array<int32_t>(groups * tokens);
  query_start = arena.Array<int32_t>(sequences + 1);
  context_length = arena.Array<int32_t>(groups * sequences);
  block_table = arena.Array<int32_t>(groups * sequences * max_blocks);
  logit_rows = arena.Array<int32_t>(sequences);
  inputs = {reinterpret_cast<uint8_t*>(ids.data), static_cast<int64_t>(arena.used() - begin)};
  x = arena.Matrix(DType::kF32, tokens, config.hidden_size);
  normed = arena.Matrix(activation, tokens, config.hidden_size);
  qkv = arena.Matrix(activation, tokens, (config.num_heads + 2 * config.num_kv_heads) * config.head_dim);
  attended = arena.Matrix(activation, tokens, config.num_heads * config.head_dim);
  inner = arena.Matrix(activation, tokens, config.intermediate_size);
  last = arena.Matrix(DType::kF32, sequences, config.hidden_size);
  logits = arena.Matrix(DType::kF32, sequences, config.vocab_size);
}

Result<LlamaDecoder> LlamaDecoder::Load(WeightLoader& loader, Backend& backend, const TextConfig& config,
                                        const DecoderNames& names, bool tied) {
  LlamaDecoder decoder(backend, config);
  const WeightFormat format = loader.format();
  decoder.reduced_ = format != WeightFormat::kExact && format != WeightFormat::kFloat32;
  loader.SetFormat(HeadFormat(format));
  EYESHOT_RETURN_IF_ERROR(decoder.LoadHead(loader, names, tied));
  loader.SetFormat(format);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    EYESHOT_ASSIGN_OR_RETURN(Layer layer, LoadLayer(loader, config, fmt::format("{}layers.{}.", names.prefix, i)));
    decoder.layers_.push_back(std::move(layer));
  }
  EYESHOT_ASSIGN_OR_RETURN(decoder.final_norm_, loader.Vector({names.prefix + "norm.weight"}, {config.hidden_size}));
  EYESHOT_RETURN_IF_ERROR(decoder.LoadRotary());
  return decoder;
}

Status LlamaDecoder::LoadHead(WeightLoader& loader, const DecoderNames& names, bool tied) {
  const std::string embedding = names.prefix + "embed_tokens.weight";
  if (loader.Has(names.head)) {
    // Rounded weights round the embedding too; it's read one row at a time, so how it lies doesn't matter.
    EYESHOT_ASSIGN_OR_RETURN(embedding_, loader.Lookup(embedding, config_.vocab_size, config_.hidden_size));
    EYESHOT_ASSIGN_OR_RETURN(head_, loader.Linear({names.head}, {config_.vocab_size}, config_.hidden_size));
    return Status::Ok();
  }
  if (!tied) {
    return NotFoundError(
        fmt::format("the checkpoint has no tensor {} and config.json does not tie it to {}", names.head, embedding),
        "download the whole checkpoint, or set tie_word_embeddings if the head is shared");
  }
  EYESHOT_ASSIGN_OR_RETURN(head_, loader.Linear({embedding}, {config_.vocab_size}, config_.hidden_size));
  return Status::Ok();
}

Status LlamaDecoder::LoadRotary() {
  // As transformers: theta^(2i / d) in float32, then its inverse.
  std::vector<float> frequency(static_cast<size_t>(config_.head_dim / 2));
  for (size_t i = 0; i < frequency.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config_.head_dim);
    frequency[i] = 1.0f / static_cast<float>(std::pow(config_.rope_theta, exponent));
  }
  const size_t bytes = frequency.size() * sizeof(float);
  EYESHOT_ASSIGN_OR_RETURN(inverse_frequency_, backend_->Allocate(bytes, "rotary frequencies"));
  const auto stream = backend_->NewStream();
  backend_->Upload(*stream, frequency.data(), inverse_frequency_.data(), bytes);
  return backend_->Sync(*stream);
}

Result<LlamaDecoder::Layer> LlamaDecoder::LoadLayer(WeightLoader& loader, const TextConfig& config,
                                                    const std::string& prefix) {
  const int64_t width = config.hidden_size;
  const int64_t q = config.num_heads * config.head_dim;
  const int64_t kv = config.num_kv_heads * config.head_dim;
  const std::string attention = prefix + "self_attn.";
  Layer layer;
  EYESHOT_ASSIGN_OR_RETURN(layer.input_norm, loader.Vector({prefix + "input_layernorm.weight"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(
      layer.qkv, loader.Linear({attention + "q_proj.weight", attention + "k_proj.weight", attention + "v_proj.weight"},
                               {q, kv, kv}, width));
  EYESHOT_ASSIGN_OR_RETURN(layer.out, loader.Linear({attention + "o_proj.weight"}, {width}, q));
  EYESHOT_ASSIGN_OR_RETURN(layer.post_norm, loader.Vector({prefix + "post_attention_layernorm.weight"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.gate_up, loader.Gated(prefix + "mlp.gate_proj.weight", prefix + "mlp.up_proj.weight",
                                                       config.intermediate_size, width));
  EYESHOT_ASSIGN_OR_RETURN(layer.down,
                           loader.Linear({prefix + "mlp.down_proj.weight"}, {width}, config.intermediate_size));
  return layer;
}

KvCacheShape LlamaDecoder::CacheShape(int64_t context, int64_t block_size, KvFormat format) const {
  return {.layer_group = std::vector<int>(static_cast<size_t>(config_.num_layers), 0),
          .blocks = (context + block_size - 1) / block_size,
          .block_size = block_size,
          .kv_heads = config_.num_kv_heads,
          .head_dim = config_.head_dim,
          .format = format};
}

void LlamaDecoder::Embed(Stream& stream, DeviceSpan<const int32_t> ids, MatrixView y) const {
  backend_->Gather(stream, {.table = embedding_ ? embedding_.get() : head_.get(), .ids = ids, .y = y});
}

Status LlamaDecoder::RunLayers(Stream& stream, DecoderWorkspace& workspace, KvCache& cache, DecoderStep& step,
                               int64_t begin, int64_t end, DecoderHook* hook) const {
  EYESHOT_CHECK(begin >= 0 && end <= config_.num_layers);
  for (int64_t i = begin; i < end; ++i) {
    RunLayer(stream, workspace, cache, step, i);
    if (hook != nullptr) EYESHOT_RETURN_IF_ERROR(hook->AfterLayer(*backend_, stream, i, step));
  }
  return Status::Ok();
}

void LlamaDecoder::RunLayer(Stream& stream, DecoderWorkspace& workspace, KvCache& cache, DecoderStep& step,
                            int64_t index) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const int64_t tokens = step.x.rows;
  const MatrixView normed = workspace.normed.Rows(0, tokens);
  const MatrixView qkv = workspace.qkv.Rows(0, tokens);
  const MatrixView attended = workspace.attended.Rows(0, tokens);
  const MatrixView inner = workspace.inner.Rows(0, tokens);

  backend_->RmsNorm(
      stream,
      {.x = step.x, .gain = layer.input_norm.get(), .epsilon = config_.rms_norm_eps, .y = normed, .passing = true});
  backend_->Linear(stream, {.x = normed, .weight = layer.qkv.get(), .y = qkv});
  backend_->RotaryStore(
      stream, {.qkv = qkv,
               .heads = config_.num_heads,
               .inverse_frequency = {static_cast<const float*>(inverse_frequency_.data()), config_.head_dim / 2},
               .cache = &cache,
               .layer = index,
               .batch = &step.batch});
  backend_->PagedAttention(stream, {.q = qkv.Cols(0, attended.cols),
                                    .heads = config_.num_heads,
                                    .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                                    .reduced = reduced_,
                                    .cache = &cache,
                                    .layer = index,
                                    .batch = &step.batch,
                                    .y = attended});
  backend_->Linear(stream, {.x = attended, .weight = layer.out.get(), .residual = step.x, .y = step.x});
  backend_->RmsNorm(
      stream,
      {.x = step.x, .gain = layer.post_norm.get(), .epsilon = config_.rms_norm_eps, .y = normed, .passing = true});
  backend_->Linear(stream, {.x = normed, .weight = layer.gate_up.get(), .y = inner});
  backend_->Linear(stream, {.x = inner, .weight = layer.down.get(), .residual = step.x, .y = step.x});
}

void LlamaDecoder::FinalNorm(Stream& stream, ConstMatrixView x, MatrixView y) const {
  backend_->RmsNorm(stream, {.x = x, .gain = final_norm_.get(), .epsilon = config_.rms_norm_eps, .y = y});
}

void LlamaDecoder::Head(Stream& stream, ConstMatrixView normed, MatrixView logits) const {
  backend_->Linear(stream, {.x = normed, .weight = head_.get(), .y = logits});
}

MatrixView LlamaDecoder::Logits(Stream& stream, DecoderWorkspace& workspace, const DecoderStep& step,
                                int64_t count) const {
  EYESHOT_CHECK(count <= workspace.max_sequences);
  const MatrixView normed = workspace.normed.Rows(0, count);
  const MatrixView logits = workspace.logits.Rows(0, count);
  MatrixView last = step.x;
  if (step.x.rows != count) {  // else each row is the last one of its sequence
    last = workspace.last.Rows(0, count);
    backend_->CopyRows(stream, {.x = step.x, .from = workspace.logit_rows.Sub(0, count), .count = count, .y = last});
  }
  backend_->RmsNorm(
      stream, {.x = last, .gain = final_norm_.get(), .epsilon = config_.rms_norm_eps, .y = normed, .passing = true});
  Head(stream, normed, logits);
  return logits;
}

}  // namespace eyeshot
