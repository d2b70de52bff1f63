#include "models/text_model.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "ledger/stage.h"
#include "models/model_source.h"

namespace eyeshot {
namespace {

class TextModel final : public VisionLanguageModel {
 public:
  TextModel(Backend& backend, ModelSource source, Tokenizer tokenizer, PromptFormat format, ImageProcessor processor,
            GenerationConfig generation, LlamaDecoder decoder, int64_t parameters)
      : backend_(backend),
        config_(source.config()),
        tokenizer_(std::move(tokenizer)),
        format_(std::move(format)),
        processor_(std::move(processor)),
        generation_(std::move(generation)),
        packed_(source.TakePacked()),
        decoder_(std::move(decoder)),
        parameters_(parameters) {}

  std::string_view family() const override { return "llama"; }
  const ModelConfig& config() const override { return config_; }
  int64_t parameters() const override { return parameters_; }
  Backend& backend() const override { return backend_; }
  const Tokenizer& tokenizer() const override { return tokenizer_; }
  const PromptFormat& prompt_format() const override { return format_; }
  const ImageProcessor& image_processor() const override { return processor_; }
  const GenerationConfig& generation() const override { return generation_; }
  const LlamaDecoder& decoder() const override { return decoder_; }

  Status Encode(Stream&, const uint8_t*, int64_t, TileKind, MatrixView, Ledger&, const std::function<bool(double)>&,
                LayerHook*) override {
    return UnsupportedError("this model reads text alone: it has no vision tower", "use a SmolVLM for pictures");
  }
  Result<bool> EncodeSome(Stream& stream, const EncodeWork& work, EncodePlace&, int64_t, int64_t,
                          Ledger& ledger) override {
    return Encode(stream, work.pixels, work.tiles, work.kind, work.out, ledger, {}, work.hook);
  }
  int64_t tower_parts() const override { return 0; }

 private:
  Backend& backend_;
  ModelConfig config_;
  Tokenizer tokenizer_;
  PromptFormat format_;
  ImageProcessor processor_;
  GenerationConfig generation_;
  std::unique_ptr<PackedWeights> packed_;  // outlives the weights below
  LlamaDecoder decoder_;
  int64_t parameters_;
};

}  // namespace

Result<std::unique_ptr<VisionLanguageModel>> LoadTextModel(ModelSource source, const ModelOptions& options,
                                                           Backend& backend, Ledger& ledger) {
  Stage stage(ledger, StageId::kLoad);
  const ModelConfig& config = source.config();
  EYESHOT_ASSIGN_OR_RETURN(ImageProcessor processor, ImageProcessor::Create({}));
  EYESHOT_ASSIGN_OR_RETURN(Tokenizer tokenizer, source.ReadTokenizer());
  EYESHOT_ASSIGN_OR_RETURN(PromptFormat format, source.ReadPromptFormat(tokenizer));
  EYESHOT_ASSIGN_OR_RETURN(GenerationConfig generation, source.Generation());
  EYESHOT_RETURN_IF_ERROR(source.OpenWeights(backend));
  WeightLoader loader = source.Loader(options, backend);
  loader.SetFormat(options.precision.decoder);
  EYESHOT_ASSIGN_OR_RETURN(LlamaDecoder decoder, LlamaDecoder::Load(loader, backend, config.text,
                                                                    {.prefix = "model.", .head = "lm_head.weight"},
                                                                    config.tie_word_embeddings));
  stage.AddBytes(loader.source_bytes() + loader.packed_bytes());
  return std::unique_ptr<VisionLanguageModel>(std::make_unique<TextModel>(
      backend, std::move(source), std::move(tokenizer), std::move(format), std::move(processor), std::move(generation),
      std::move(decoder), loader.parameters()));
}

MemoryPlan PlanTextModel(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                         int64_t context_tokens, int64_t /*tiles*/) {
  const TextConfig& text = config.text;
  const WeightFormat format = precision.decoder;
  const auto linear = [&](int64_t outputs, int64_t inputs) {
    return backend.PackedLinearBytes(outputs, inputs, format);
  };
  const auto floats = [](int64_t count) { return static_cast<size_t>(count) * sizeof(float); };

  MemoryPlan plan;
  const int64_t q = text.num_heads * text.head_dim;
  const int64_t kv = text.num_kv_heads * text.head_dim;
  const size_t decoder_layer = linear(q + 2 * kv, text.hidden_size) + linear(text.hidden_size, q) +
                               linear(2 * text.intermediate_size, text.hidden_size) +
                               linear(text.hidden_size, text.intermediate_size) + floats(2 * text.hidden_size);
  plan.decoder_weights =
      static_cast<size_t>(text.num_layers) * decoder_layer +
      backend.PackedLinearBytes(text.vocab_size, text.hidden_size, LlamaDecoder::HeadFormat(format)) +
      floats(text.hidden_size);
  if (!config.tie_word_embeddings) {
    const bool rounded = format != WeightFormat::kExact && format != WeightFormat::kBf16;
    plan.decoder_weights +=
        rounded ? backend.PackedLinearBytes(text.vocab_size, text.hidden_size, LlamaDecoder::HeadFormat(format))
                : backend.PackedTableBytes(text.vocab_size, text.hidden_size);
  }

  const BackendInfo& info = backend.info();
  const int64_t blocks = (context_tokens + kKvBlockSize - 1) / kKvBlockSize;
  Arena decoder;
  DecoderWorkspace(decoder, text, info.activation, std::min(info.prefill_tokens, context_tokens), 1, blocks, 1);
  plan.decoder_workspace = decoder.used();
  plan.kv_cache = backend.KvCacheBytes({.layer_group = std::vector<int>(static_cast<size_t>(text.num_layers), 0),
                                        .blocks = blocks,
                                        .block_size = kKvBlockSize,
                                        .kv_heads = text.num_kv_heads,
                                        .head_dim = text.head_dim,
                                        .format = precision.kv_cache});
  return plan;
}

}  // namespace eyeshot
