// config.json of the SmolVLM family: Idefics3, SmolVLM, SmolVLM2, SmolDocling, granite-docling; and of its decoders,
// Llamas such as SmolLM2.
#ifndef EYESHOT_FORMATS_MODEL_CONFIG_H_
#define EYESHOT_FORMATS_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

// The vision tower. The values below are those that transformers takes for missing keys.
struct VisionConfig {
  int64_t hidden_size = 1152;
  int64_t intermediate_size = 3072;
  int64_t num_layers = 12;
  int64_t num_heads = 16;
  int64_t image_size = 224;  // pixels of a tile's side
  int64_t patch_size = 32;   // pixels of a patch's side
  int64_t num_channels = 3;
  float layer_norm_eps = 1e-6f;
  std::string hidden_act = "gelu_pytorch_tanh";

  int64_t head_dim() const { return hidden_size / num_heads; }
  // 384 / 14 = 27: pixels beyond the last whole patch are not looked at.
  int64_t patches_per_side() const { return image_size / patch_size; }
  int64_t patches() const { return patches_per_side() * patches_per_side(); }
};

// The decoder: a Llama. Values other than 0 are those that transformers takes for missing keys.
struct TextConfig {
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 2048;
  float rms_norm_eps = 1e-6f;
  double rope_theta = 10000.0;
  std::string hidden_act = "silu";
};

// How patches become visual tokens: `connector_type` and `connector_config`, keys of our own (docs/formats.md).
struct ConnectorConfig {
  enum class Type {
    kPixelShuffle,  // no such key: a projection of scale_factor x scale_factor patches
    kElastic,       // the same, trained with the means of areas as well: `--reduce elastic`
    kQuecc,         // query-conditioned convolutional cross-attention, arXiv 2411.03312
  };
  Type type = Type::kPixelShuffle;

  // kElastic: how few tokens a tile it was trained with beside all of them; ascending squares.
  std::vector<int64_t> reduced_tokens;

  // kQuecc. Layers are hidden states: 0 is what the first layer gets, i what i layers leave.
  int64_t num_heads = 8;
  int64_t query_layer = 0;
  std::vector<int64_t> key_layers;  // ascending
  float layer_norm_eps = 1e-6f;
  std::string hidden_act = "gelu";  // or "gelu_pytorch_tanh"
};
// "pixel_shuffle", "elastic", "quecc".
std::string_view ConnectorTypeName(ConnectorConfig::Type type);

struct ModelConfig {
  std::string model_type;  // "smolvlm", "idefics3", or "llama": a decoder alone
  VisionConfig vision;
  TextConfig text;
  int64_t scale_factor = 2;  // scale_factor^2 patches become one visual token
  ConnectorConfig connector;
  int32_t image_token_id = 0;  // -1 without a vision tower
  bool has_vision() const { return model_type != "llama"; }
  // Whether visual tokens depend on what is asked.
  bool query_conditioned() const { return connector.type == ConnectorConfig::Type::kQuecc; }
  // What the file says. A stored lm_head.weight is used whatever stands here.
  bool tie_word_embeddings = false;

  int64_t visual_tokens_per_side() const { return vision.patches_per_side() / scale_factor; }
  int64_t visual_tokens_per_tile() const { return visual_tokens_per_side() * visual_tokens_per_side(); }
};

// Reads and checks `dir`/config.json. Missing keys take the class defaults of transformers where SmolVLM's own
// files leave them out; sizes of the decoder must be there.
// Errors: kNotFound (no file, or a key without default), kCorrupt (a wrong type, or sizes that contradict each
// other), kLimitExceeded, kUnsupported (another model type, activation, or rotary scaling).
Result<ModelConfig> LoadModelConfig(const std::string& dir);

// The same for the content of a config.json; `file` is the name for error messages.
Result<ModelConfig> ParseModelConfig(const std::string& text, const std::string& file);

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_MODEL_CONFIG_H_
