#include "models/model_source.h"

#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace eyeshot {

Result<ModelSource> ModelSource::Open(const ModelLocation& location) {
  ModelSource source;
  source.location_ = location;
  if (IsGgufModel(location.path)) {
    EYESHOT_ASSIGN_OR_RETURN(const GgufPaths paths, FindGgufFiles(location.path, location.mmproj));
    EYESHOT_ASSIGN_OR_RETURN(source.gguf_, GgufModel::Open(paths, {.reference_defaults = location.hf_defaults}));
    source.config_ = source.gguf_->config();
    return source;
  }
  if (!location.mmproj.empty()) {
    return InvalidArgumentError(
        fmt::format("an mmproj file ({}) was named for '{}', which is no GGUF model", location.mmproj, location.path),
        "leave it out, or name a .gguf file as the model");
  }
  EYESHOT_ASSIGN_OR_RETURN(source.config_, LoadModelConfig(location.path));
  return source;
}

std::vector<std::string> ModelSource::notes() const {
  return gguf_ != nullptr ? gguf_->notes() : std::vector<std::string>();
}

Result<ImageProcessorConfig> ModelSource::Processor() const {
  if (gguf_ != nullptr) return gguf_->processor();
  return LoadProcessorConfig(location_.path);
}

Result<GenerationConfig> ModelSource::Generation() const {
  if (gguf_ != nullptr) return gguf_->generation();
  return LoadGenerationConfig(location_.path);
}

Result<Tokenizer> ModelSource::ReadTokenizer() const {
  if (gguf_ == nullptr) return Tokenizer::Load(location_.path);
  EYESHOT_ASSIGN_OR_RETURN(TokenizerFile file, gguf_->ReadTokenizer());
  return Tokenizer::FromFile(std::move(file));
}

Result<PromptFormat> ModelSource::ReadPromptFormat(const Tokenizer& tokenizer) const {
  const int64_t tokens_per_tile = config_.has_vision() ? config_.visual_tokens_per_tile() : 0;
  if (gguf_ == nullptr) return PromptFormat::Load(location_.path, tokenizer, tokens_per_tile);
  return PromptFormat::Create(gguf_->chat_template(), gguf_->text().file(), tokenizer, tokens_per_tile,
                              {.bos_token = gguf_->bos_token(), .eos_token = gguf_->eos_token()});
}

Status ModelSource::OpenWeights(const Backend& backend) {
  if (gguf_ != nullptr) return Status::Ok();
  const std::string path = JoinPath(location_.path, kPackedWeightsFile);
  if (!FileExists(path)) {
    EYESHOT_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(location_.path));
    checkpoint_ = std::make_unique<Checkpoint>(std::move(checkpoint));
    return Status::Ok();
  }
  EYESHOT_ASSIGN_OR_RETURN(PackedWeights weights, PackedWeights::Open(path));
  if (weights.layout() != backend.packed_layout()) {
    return UnsupportedError(
        fmt::format("{}: the weights are laid out as {}, the {} backend takes {}", path, weights.layout(),
                    backend.info().name, backend.packed_layout().empty() ? "none" : backend.packed_layout()),
        "use the portable backend, or pack them again with `eyeshot quantize`");
  }
  packed_ = std::make_unique<PackedWeights>(std::move(weights));
  return Status::Ok();
}

WeightLoader ModelSource::Loader(const ModelOptions& options, Backend& backend) const {
  if (packed_ != nullptr) return {*packed_, backend};
  const TensorSource& tensors = gguf_ != nullptr ? static_cast<const TensorSource&>(*gguf_) : *checkpoint_;
  WeightLoader loader(tensors, backend, options.on_progress, options.on_weight);
  loader.KeepBlocks(!options.precision.stored.empty());
  return loader;
}

}  // namespace eyeshot
