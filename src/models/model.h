// A vision-language model, and the table of the families that there are.
#ifndef EYESHOT_MODELS_MODEL_H_
#define EYESHOT_MODELS_MODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eyeshot/ledger.h"
#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "kernels/backend.h"
#include "models/decoder.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include "vision/image_processor.h"
#include "vision/layer_hook.h"
#include "vision/weight_loader.h"

namespace eyeshot {

// What a model takes, in bytes, before anything is taken. Beside it there are the program, its tokenizer, the decoded
// picture and scratch memory of kernels.
struct MemoryPlan {
  size_t tower_weights = 0;
  size_t connector_weights = 0;
  size_t decoder_weights = 0;  // layers, embedding, head
  size_t tower_workspace = 0;
  size_t decoder_workspace = 0;
  size_t pictures = 0;         // the tiles of one picture, as many as it can have, and their visual tokens
  size_t kv_cache = 0;         // of one conversation with a full context; memory that it doesn't use isn't taken
  size_t total() const {
    return tower_weights + connector_weights + decoder_weights + tower_workspace + decoder_workspace + pictures +
           kv_cache;
  }
};

// Tokens in a block of the key/value cache.
inline constexpr int64_t kKvBlockSize = 32;

// Tiles on their way to visual tokens.
struct EncodeWork {
  const uint8_t* pixels = nullptr;  // [tiles, side, side, 3] on the host, before normalization
  int64_t tiles = 0;
  TileKind kind = TileKind::kPicture;  // of all of them
  MatrixView out;              // [tiles * visual_tokens_per_tile, hidden] on the device
  LayerHook* hook = nullptr;   // may be null
  // Where config().query_conditioned(): what is asked, [1, hidden] in the backend's activation type, the final norm of
  // the decoder's last layer at the last token of the question alone (runtime/query_encoder.h). Empty: zeros.
  ConstMatrixView query;
};

// How far that is: so many tiles are done, and so many parts of the tower for the group that follows.
struct EncodePlace {
  int64_t tiles = 0;
  int64_t parts = 0;
  TokenRuns runs;  // of the group
};

class VisionLanguageModel {
 public:
  virtual ~VisionLanguageModel() = default;

  virtual std::string_view family() const = 0;
  virtual const ModelConfig& config() const = 0;
  virtual int64_t parameters() const = 0;
  virtual Backend& backend() const = 0;
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const PromptFormat& prompt_format() const = 0;
  virtual const ImageProcessor& image_processor() const = 0;
  virtual const GenerationConfig& generation() const = 0;
  virtual const LlamaDecoder& decoder() const = 0;

  // Visual tokens of tiles: out [tiles * visual_tokens_per_tile, hidden] on the device. pixels: [tiles, side,
  // side, 3] on the host, before normalization, all of one kind. Charges `encode` and `connect` of the ledger.
  // on_progress (may be empty) gets the share that is done and returns false to cancel (kCancelled). The hook may be
  // null; the query is empty. One call at a time. Does not wait for a device; pixels may go when it returns.
  virtual Status Encode(Stream& stream, const uint8_t* pixels, int64_t tiles, TileKind kind, MatrixView out,
                        Ledger& ledger, const std::function<bool(double)>& on_progress, LayerHook* hook) = 0;
  // The same piece by piece: takes `work` from `place` on through at most `parts` parts of the tower for a group of at
  // most `group` tiles (0: as many as are taken best), and sets `place`, which begins empty. True: all is done. Between
  // pieces nothing else may be encoded.
  virtual Result<bool> EncodeSome(Stream& stream, const EncodeWork& work, EncodePlace& place, int64_t parts,
                                  int64_t group, Ledger& ledger) = 0;
  // Parts of the tower (VisionTower::parts()), each a fraction of a layer.
  virtual int64_t tower_parts() const = 0;

  // Of a connector that was trained with fewer tokens a tile, too (ConnectorConfig::kElastic): what is added to means
  // of areas, a row for each of its reduced_tokens. Empty: the model has none.
  virtual std::span<const float> scale_embeddings() const { return {}; }
};

// Where a model is.
struct ModelLocation {
  std::string path;  // a Hugging Face folder, perhaps with packed weights; a GGUF file, or a folder of such
  std::string mmproj;  // GGUF: the vision tower's file, "none", or empty for the one beside the text file
  bool hf_defaults = false;  // GGUF: see GgufModelOptions
};

class ModelSource;

// The formats of a model's matrices: tower and connector, and decoder.
struct ModelPrecision {
  WeightFormat tower = WeightFormat::kExact;
  WeightFormat decoder = WeightFormat::kExact;
  // Not empty: every matrix is as a GGUF file stores it, Q8_0 and Q4_0 as kQ8 and kQ4, all others exact; the names of
  // the types ("F16,Q8_0"). The formats above are then those of most weights.
  std::string stored;
  KvFormat kv_cache = KvFormat::kHalf;
};

// "int8", "auto" or "exact,int8" (tower, decoder). A 4-bit format alone is for the decoder: the tower then has int8.
// Errors: kInvalidArgument (no such precision), kUnsupported (the backend's).
Result<ModelPrecision> ParsePrecision(std::string_view text, const Backend& backend);
// The precision of a model: `text` if it isn't empty, else that of its packed weights or GGUF files, else exact.
// Errors: those of ParsePrecision and of PackedWeights::Open, kInvalidArgument (the packed weights have another one).
Result<ModelPrecision> ChoosePrecision(const ModelSource& source, std::string_view text, const Backend& backend);
// "f16" or "int8". Error: kInvalidArgument.
Result<KvFormat> ParseKvFormat(std::string_view text);
// What that is on a backend: its own name for exact weights ("bf16-exact"), "int8", or where they differ "int8,q8_0";
// what is stored where that is kept.
std::string PrecisionName(const ModelPrecision& precision, const Backend& backend);

struct ModelOptions {
  ModelLocation model;
  ModelPrecision precision;
  bool pillow13_order = false;  // see ImageProcessorConfig
  int frame_edge = 0;  // more than 0: ImageProcessorConfig::video_longest_edge
  std::function<void(double)> on_progress;  // share of the weights packed; may be empty
  WeightLoader::Observer on_weight;  // sees each weight of a checkpoint that is packed; may be empty
};

// A family: adding one is one file with these functions and one line in registry.cc.
struct ModelFamily {
  std::string_view name;
  std::vector<std::string_view> model_types;  // of config.json
  Result<std::unique_ptr<VisionLanguageModel>> (*load)(ModelSource source, const ModelOptions& options,
                                                       Backend& backend, Ledger& ledger);
  MemoryPlan (*plan)(const ModelConfig& config, const Backend& backend, const ModelPrecision& precision,
                     int64_t context_tokens, int64_t tiles);
};

const std::vector<ModelFamily>& ModelFamilies();
// kUnsupported, naming those that there are.
Result<const ModelFamily*> FindModelFamily(std::string_view model_type);

// The model, by the model_type of its configuration. `backend` must outlive it. Charges `load`.
Result<std::unique_ptr<VisionLanguageModel>> LoadModel(const ModelOptions& options, Backend& backend, Ledger& ledger);
// The same for a source that was opened; options.model is not looked at.
Result<std::unique_ptr<VisionLanguageModel>> LoadModel(ModelSource source, const ModelOptions& options,
                                                       Backend& backend, Ledger& ledger);

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_MODEL_H_
