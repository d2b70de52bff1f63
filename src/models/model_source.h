// Everything that a model is loaded from, in whatever files it lies: a Hugging Face folder, perhaps with packed
// weights, or GGUF files.
#ifndef EYESHOT_MODELS_MODEL_SOURCE_H_
#define EYESHOT_MODELS_MODEL_SOURCE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "formats/generation_config.h"
#include "formats/gguf_model.h"
#include "formats/model_config.h"
#include "formats/packed_weights.h"
#include "formats/processor_config.h"
#include "formats/safetensors.h"
#include "models/model.h"
#include "text/prompt.h"
#include "text/tokenizer.h"

namespace eyeshot {

// Movable.
class ModelSource {
 public:
  // Reads the configuration, of GGUF files all headers. Errors: those of LoadModelConfig, or of FindGgufFiles and
  // GgufModel::Open.
  static Result<ModelSource> Open(const ModelLocation& location);

  const ModelConfig& config() const { return config_; }
  const std::string& path() const { return location_.path; }
  // nullptr: a folder.
  const GgufModel* gguf() const { return gguf_.get(); }
  // What is odd about the files, in words.
  std::vector<std::string> notes() const;

  // What the model needs beside its weights. REQUIRES of Processor(): config().has_vision().
  Result<ImageProcessorConfig> Processor() const;
  Result<GenerationConfig> Generation() const;
  Result<Tokenizer> ReadTokenizer() const;
  Result<PromptFormat> ReadPromptFormat(const Tokenizer& tokenizer) const;

  // Errors: those of Checkpoint and PackedWeights, kUnsupported (packed for another backend).
  Status OpenWeights(const Backend& backend);
  // REQUIRES: OpenWeights succeeded.
  WeightLoader Loader(const ModelOptions& options, Backend& backend) const;
  // The file of packed weights, which must outlive those; null if there is none. For once loading is done.
  std::unique_ptr<PackedWeights> TakePacked() { return std::move(packed_); }

 private:
  ModelSource() = default;

  ModelLocation location_;
  ModelConfig config_;
  std::unique_ptr<GgufModel> gguf_;
  std::unique_ptr<PackedWeights> packed_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_MODEL_SOURCE_H_
