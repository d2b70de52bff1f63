#include "formats/model_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot {
namespace {

constexpr std::array<std::string_view, 3> kModelTypes = {"smolvlm", "idefics3", "llama"};
// The published files name the same tower in four ways.
constexpr std::array<std::string_view, 4> kVisionTypes = {"idefics3", "idefics3_vision", "siglip_vision_model",
                                                          "smolvlm_vision"};
constexpr std::array<std::string_view, 1> kTextTypes = {"llama"};
constexpr std::array<std::string_view, 1> kVisionActivations = {"gelu_pytorch_tanh"};
constexpr std::array<std::string_view, 1> kTextActivations = {"silu"};
constexpr std::array<std::string_view, 3> kConnectorTypes = {"pixel_shuffle", "elastic", "quecc"};  // by their number
constexpr std::array<std::string_view, 2> kConnectorActivations = {"gelu", "gelu_pytorch_tanh"};

// Rotary bases of published models lie between 10^4 and 10^6.
constexpr double kMaxRopeTheta = 1e9;
constexpr char kMendModel[] = "use a model of the SmolVLM family";

// Reads the string at `key` into `value`, whose present value is the default; it must be one of `known`.
Status CheckKnown(const JsonObject& object, const std::string& key, std::span<const std::string_view> known,
                  std::string& value) {
  EYESHOT_ASSIGN_OR_RETURN(value, object.StringOr(key, value));
  if (std::find(known.begin(), known.end(), value) != known.end()) return Status::Ok();
  return object.Error(StatusCode::kUnsupported, key, fmt::format("one of: {}", fmt::join(known, ", ")), kMendModel);
}

// Reads an integer in [1, max] into `value`, whose present value is the default.
Status ReadSize(const JsonObject& object, const std::string& key, int64_t max, int64_t& value) {
  EYESHOT_ASSIGN_OR_RETURN(value, object.IntegerOr(key, 1, max, value));
  return Status::Ok();
}

Status ReadRequiredSize(const JsonObject& object, const std::string& key, int64_t max, int64_t& value) {
  EYESHOT_ASSIGN_OR_RETURN(value, object.Integer(key, 1, max));
  return Status::Ok();
}

Status ReadEpsilon(const JsonObject& object, const std::string& key, float& value) {
  EYESHOT_ASSIGN_OR_RETURN(const double epsilon, object.NumberOr(key, 0.0, 1.0, value));
  value = static_cast<float>(epsilon);
  return Status::Ok();
}

// Two sizes of which the second must divide the first.
Status CheckDivides(const JsonObject& object, const std::string& key, int64_t whole, const std::string& part_key,
                    int64_t part) {
  if (whole % part == 0) return Status::Ok();
  return object.Error(StatusCode::kCorrupt, key, fmt::format("a multiple of {} ({})", object.PathOf(part_key), part),
                      "correct one of the two keys or download the file again");
}

Status CheckHeadDim(const JsonObject& object, const std::string& heads_key, int64_t head_dim) {
  if (head_dim <= limits::kMaxHeadDim) return Status::Ok();
  return object.Error(StatusCode::kLimitExceeded, heads_key,
                      fmt::format("enough heads that each has at most {} of the {} columns", limits::kMaxHeadDim,
                                  object.PathOf("hidden_size")),
                      kMendModel);
}

Status ReadVision(const JsonObject& object, VisionConfig& vision) {
  std::string model_type(kVisionTypes[0]);
  EYESHOT_RETURN_IF_ERROR(CheckKnown(object, "model_type", kVisionTypes, model_type));
  EYESHOT_RETURN_IF_ERROR(CheckKnown(object, "hidden_act", kVisionActivations, vision.hidden_act));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "hidden_size", limits::kMaxWidth, vision.hidden_size));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "intermediate_size", limits::kMaxWidth, vision.intermediate_size));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "num_hidden_layers", limits::kMaxLayers, vision.num_layers));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "num_attention_heads", limits::kMaxHeads, vision.num_heads));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "image_size", limits::kMaxTileSide, vision.image_size));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "patch_size", limits::kMaxPatchSize, vision.patch_size));
  EYESHOT_RETURN_IF_ERROR(ReadEpsilon(object, "layer_norm_eps", vision.layer_norm_eps));
  EYESHOT_ASSIGN_OR_RETURN(vision.num_channels, object.IntegerOr("num_channels", 3, 3, vision.num_channels));
  EYESHOT_RETURN_IF_ERROR(
      CheckDivides(object, "hidden_size", vision.hidden_size, "num_attention_heads", vision.num_heads));
  EYESHOT_RETURN_IF_ERROR(CheckHeadDim(object, "num_attention_heads", vision.head_dim()));
  if (vision.patch_size > vision.image_size) {
    return object.Error(StatusCode::kCorrupt, "patch_size",
                        fmt::format("at most {} ({})", object.PathOf("image_size"), vision.image_size),
                        "correct one of the two keys or download the file again");
  }
  return Status::Ok();
}

// Plain rotary embeddings only: `scaling` is rope_scaling or rope_parameters.
Status CheckRopeType(const JsonObject& scaling) {
  for (const char* key : {"rope_type", "type"}) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string type, scaling.StringOr(key, "default"));
    if (type != "default") {
      return scaling.Error(StatusCode::kUnsupported, key, "\"default\" (no scaling of rotary embeddings)", kMendModel);
    }
  }
  return Status::Ok();
}

// transformers 4 writes rope_theta and rope_scaling, transformers 5 rope_parameters.
Status ReadRope(const JsonObject& object, double& theta) {
  EYESHOT_ASSIGN_OR_RETURN(theta, object.NumberOr("rope_theta", 1.0, kMaxRopeTheta, theta));
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> scaling, object.OptionalObject("rope_scaling"));
  if (scaling) EYESHOT_RETURN_IF_ERROR(CheckRopeType(*scaling));
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> parameters, object.OptionalObject("rope_parameters"));
  if (!parameters) return Status::Ok();
  EYESHOT_RETURN_IF_ERROR(CheckRopeType(*parameters));
  EYESHOT_ASSIGN_OR_RETURN(theta, parameters->NumberOr("rope_theta", 1.0, kMaxRopeTheta, theta));
  return Status::Ok();
}

// The decoder's projections have no biases here.
Status CheckNoBias(const JsonObject& object) {
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    EYESHOT_ASSIGN_OR_RETURN(const bool bias, object.BoolOr(key, false));
    if (bias) return object.Error(StatusCode::kUnsupported, key, "false", kMendModel);
  }
  return Status::Ok();
}

Status ReadText(const JsonObject& object, TextConfig& text) {
  std::string model_type(kTextTypes[0]);
  EYESHOT_RETURN_IF_ERROR(CheckKnown(object, "model_type", kTextTypes, model_type));
  EYESHOT_RETURN_IF_ERROR(CheckKnown(object, "hidden_act", kTextActivations, text.hidden_act));
  EYESHOT_RETURN_IF_ERROR(CheckNoBias(object));
  EYESHOT_RETURN_IF_ERROR(ReadRequiredSize(object, "hidden_size", limits::kMaxWidth, text.hidden_size));
  EYESHOT_RETURN_IF_ERROR(ReadRequiredSize(object, "intermediate_size", limits::kMaxWidth, text.intermediate_size));
  EYESHOT_RETURN_IF_ERROR(ReadRequiredSize(object, "num_hidden_layers", limits::kMaxLayers, text.num_layers));
  EYESHOT_RETURN_IF_ERROR(ReadRequiredSize(object, "num_attention_heads", limits::kMaxHeads, text.num_heads));
  constexpr auto kMaxIds = static_cast<int64_t>(limits::kMaxVocabulary);
  EYESHOT_RETURN_IF_ERROR(ReadRequiredSize(object, "vocab_size", kMaxIds, text.vocab_size));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "max_position_embeddings", limits::kMaxContext, text.max_positions));
  EYESHOT_RETURN_IF_ERROR(ReadEpsilon(object, "rms_norm_eps", text.rms_norm_eps));
  EYESHOT_RETURN_IF_ERROR(ReadRope(object, text.rope_theta));

  EYESHOT_RETURN_IF_ERROR(CheckDivides(object, "hidden_size", text.hidden_size, "num_attention_heads", text.num_heads));
  text.num_kv_heads = text.num_heads;
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "num_key_value_heads", limits::kMaxHeads, text.num_kv_heads));
  EYESHOT_RETURN_IF_ERROR(
      CheckDivides(object, "num_attention_heads", text.num_heads, "num_key_value_heads", text.num_kv_heads));
  text.head_dim = text.hidden_size / text.num_heads;
  EYESHOT_RETURN_IF_ERROR(CheckHeadDim(object, "num_attention_heads", text.head_dim));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "head_dim", limits::kMaxHeadDim, text.head_dim));
  if (text.head_dim % 2 == 0) return Status::Ok();
  return object.Error(StatusCode::kCorrupt, "head_dim", "an even number, since rotary embeddings turn pairs",
                      "correct the key or download the file again");
}

// A list of integers in [min, max], each larger than the one before.
Status ReadAscending(const JsonObject& object, const std::string& key, int64_t min, int64_t max,
                     std::vector<int64_t>& values) {
  Status wrong = object.Error(StatusCode::kCorrupt, key,
                              fmt::format("a list of one or more ascending integers of {} to {}", min, max),
                              "correct the key or download the file again");
  const Json* const list = object.Find(key);
  if (list == nullptr || !list->is_array() || list->empty()) return wrong;
  for (const Json& element : *list) {
    if (!element.is_number_integer()) return wrong;
    const auto value = element.get<int64_t>();
    if (value < min || value > max || (!values.empty() && value <= values.back())) return wrong;
    values.push_back(value);
  }
  return Status::Ok();
}

Status ReadElastic(const JsonObject& object, const ModelConfig& config, ConnectorConfig& connector) {
  const int64_t per_tile = config.visual_tokens_per_tile();
  EYESHOT_RETURN_IF_ERROR(ReadAscending(object, "reduced_tokens", 1, per_tile - 1, connector.reduced_tokens));
  for (const int64_t tokens : connector.reduced_tokens) {
    const auto side = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(tokens))));
    if (side * side == tokens && config.visual_tokens_per_side() % side == 0) continue;
    return object.Error(
        StatusCode::kCorrupt, "reduced_tokens",
        fmt::format("squares of divisors of the {} visual tokens of a tile's side", config.visual_tokens_per_side()),
        "correct the key or download the file again");
  }
  return Status::Ok();
}

Status ReadQuecc(const JsonObject& object, const VisionConfig& vision, ConnectorConfig& connector) {
  EYESHOT_RETURN_IF_ERROR(CheckKnown(object, "hidden_act", kConnectorActivations, connector.hidden_act));
  EYESHOT_RETURN_IF_ERROR(ReadEpsilon(object, "layer_norm_eps", connector.layer_norm_eps));
  EYESHOT_RETURN_IF_ERROR(ReadSize(object, "num_attention_heads", limits::kMaxHeads, connector.num_heads));
  if (vision.hidden_size % connector.num_heads != 0) {
    return object.Error(StatusCode::kCorrupt, "num_attention_heads",
                        fmt::format("a divisor of vision_config.hidden_size ({})", vision.hidden_size),
                        "correct one of the two keys or download the file again");
  }
  EYESHOT_RETURN_IF_ERROR(CheckHeadDim(object, "num_attention_heads", vision.hidden_size / connector.num_heads));
  EYESHOT_ASSIGN_OR_RETURN(connector.query_layer, object.Integer("query_layer", 0, vision.num_layers));
  return ReadAscending(object, "key_layers", 0, vision.num_layers, connector.key_layers);
}

Status ReadConnector(const JsonObject& root, ModelConfig& config) {
  using Type = ConnectorConfig::Type;
  std::string name(kConnectorTypes.front());
  EYESHOT_RETURN_IF_ERROR(CheckKnown(root, "connector_type", kConnectorTypes, name));
  const auto* const known = std::find(kConnectorTypes.begin(), kConnectorTypes.end(), name);
  config.connector.type = static_cast<Type>(known - kConnectorTypes.begin());
  if (config.connector.type == Type::kPixelShuffle) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, root.Object("connector_config"));
  return config.connector.type == Type::kElastic ? ReadElastic(object, config, config.connector)
                                                 : ReadQuecc(object, config.vision, config.connector);
}

// What the parts must agree upon.
Status CheckTogether(const JsonObject& root, const ModelConfig& config) {
  const int64_t side = config.vision.patches_per_side();
  if (side % config.scale_factor != 0) {
    return root.Error(StatusCode::kCorrupt, "scale_factor",
                      fmt::format("a divisor of the {} patches of a tile's side (image_size {} / patch_size {})", side,
                                  config.vision.image_size, config.vision.patch_size),
                      "correct one of the keys or download the file again");
  }
  if (config.image_token_id >= config.text.vocab_size) {
    return root.Error(StatusCode::kCorrupt, "image_token_id",
                      fmt::format("less than text_config.vocab_size ({})", config.text.vocab_size),
                      "correct one of the two keys or download the file again");
  }
  return Status::Ok();
}

}  // namespace

std::string_view ConnectorTypeName(ConnectorConfig::Type type) { return kConnectorTypes[static_cast<size_t>(type)]; }

Result<ModelConfig> ParseModelConfig(const std::string& text, const std::string& file) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  ModelConfig config;
  EYESHOT_ASSIGN_OR_RETURN(config.model_type, root.String("model_type"));
  EYESHOT_RETURN_IF_ERROR(CheckKnown(root, "model_type", kModelTypes, config.model_type));
  EYESHOT_ASSIGN_OR_RETURN(config.tie_word_embeddings, root.BoolOr("tie_word_embeddings", false));
  if (!config.has_vision()) {
    config.image_token_id = -1;
    EYESHOT_RETURN_IF_ERROR(ReadText(root, config.text));
    return config;
  }
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject vision, root.Object("vision_config"));
  EYESHOT_RETURN_IF_ERROR(ReadVision(vision, config.vision));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject decoder, root.Object("text_config"));
  EYESHOT_RETURN_IF_ERROR(ReadText(decoder, config.text));
  EYESHOT_RETURN_IF_ERROR(ReadSize(root, "scale_factor", limits::kMaxScaleFactor, config.scale_factor));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t image_token, root.Integer("image_token_id", 0, limits::kMaxVocabulary - 1));
  config.image_token_id = static_cast<int32_t>(image_token);
  EYESHOT_RETURN_IF_ERROR(CheckTogether(root, config));
  EYESHOT_RETURN_IF_ERROR(ReadConnector(root, config));
  return config;
}

Result<ModelConfig> LoadModelConfig(const std::string& dir) {
  const std::string path = JoinPath(dir, "config.json");
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxConfigBytes));
  return ParseModelConfig(text, path);
}

}  // namespace eyeshot
