#include "formats/generation_config.h"

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot {
namespace {

constexpr auto kMaxId = static_cast<int64_t>(limits::kMaxVocabulary) - 1;
// Ids of an eos list; published lists have at most a handful.
constexpr size_t kMaxEosIds = 64;

// An id, or a list of ids.
Status ReadEos(const JsonObject& object, std::vector<int32_t>& ids) {
  const Json* const value = object.Find("eos_token_id");
  if (value == nullptr) return Status::Ok();
  Status wrong = object.Error(StatusCode::kCorrupt, "eos_token_id",
                              fmt::format("an integer in [0, {}] or a list of at most {}", kMaxId, kMaxEosIds),
                              "correct the file or download it again");
  const Json list = value->is_array() ? *value : Json::array({*value});
  if (list.size() > kMaxEosIds) return wrong;
  for (const Json& item : list) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > static_cast<uint64_t>(kMaxId)) return wrong;
    ids.push_back(item.get<int32_t>());
  }
  return Status::Ok();
}

Status ReadId(const JsonObject& object, const std::string& key, std::optional<int32_t>& id) {
  if (!object.Has(key)) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const int64_t value, object.Integer(key, 0, kMaxId));
  id = static_cast<int32_t>(value);
  return Status::Ok();
}

Status ReadNumber(const JsonObject& object, const std::string& key, double max, std::optional<double>& number) {
  if (!object.Has(key)) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(number, object.Number(key, 0.0, max));
  return Status::Ok();
}

Status ReadCount(const JsonObject& object, const std::string& key, int64_t max, std::optional<int64_t>& count) {
  if (!object.Has(key)) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(count, object.Integer(key, 0, max));
  return Status::Ok();
}

Status ReadSampling(const JsonObject& object, GenerationConfig& config) {
  if (object.Has("do_sample")) {
    EYESHOT_ASSIGN_OR_RETURN(config.do_sample, object.BoolOr("do_sample", false));
  }
  // Beyond a temperature or penalty of 100 every distribution is flat.
  EYESHOT_RETURN_IF_ERROR(ReadNumber(object, "temperature", 100.0, config.temperature));
  EYESHOT_RETURN_IF_ERROR(ReadNumber(object, "repetition_penalty", 100.0, config.repetition_penalty));
  EYESHOT_RETURN_IF_ERROR(ReadNumber(object, "top_p", 1.0, config.top_p));
  EYESHOT_RETURN_IF_ERROR(ReadNumber(object, "min_p", 1.0, config.min_p));
  EYESHOT_RETURN_IF_ERROR(ReadCount(object, "top_k", kMaxId + 1, config.top_k));
  return ReadCount(object, "max_new_tokens", limits::kMaxContext, config.max_new_tokens);
}

Status ReadGenerationFile(const std::string& text, const std::string& path, GenerationConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, path));
  EYESHOT_RETURN_IF_ERROR(ReadEos(root, config.eos_token_ids));
  EYESHOT_RETURN_IF_ERROR(ReadId(root, "bos_token_id", config.bos_token_id));
  EYESHOT_RETURN_IF_ERROR(ReadId(root, "pad_token_id", config.pad_token_id));
  return ReadSampling(root, config);
}

// Fills in from an object of config.json what is not known yet. Its pad token is known to lie outside of the
// vocabulary in published files (SmolVLM2-500M: 128002), so it is not taken.
Status FillIds(const JsonObject& object, GenerationConfig& config) {
  if (config.eos_token_ids.empty()) EYESHOT_RETURN_IF_ERROR(ReadEos(object, config.eos_token_ids));
  if (!config.bos_token_id) EYESHOT_RETURN_IF_ERROR(ReadId(object, "bos_token_id", config.bos_token_id));
  return Status::Ok();
}

Status FillFromModelConfig(const std::string& text, const std::string& path, GenerationConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, path));
  EYESHOT_RETURN_IF_ERROR(FillIds(root, config));
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> decoder, root.OptionalObject("text_config"));
  return decoder ? FillIds(*decoder, config) : Status::Ok();
}

constexpr char kGenerationFile[] = "generation_config.json";
constexpr char kModelFile[] = "config.json";

}  // namespace

Result<GenerationConfig> ParseGenerationConfig(const std::string& generation_config, const std::string& model_config,
                                               const std::string& dir) {
  GenerationConfig config;
  if (!generation_config.empty()) {
    EYESHOT_RETURN_IF_ERROR(ReadGenerationFile(generation_config, JoinPath(dir, kGenerationFile), config));
  }
  if (!model_config.empty()) {
    EYESHOT_RETURN_IF_ERROR(FillFromModelConfig(model_config, JoinPath(dir, kModelFile), config));
  }
  return config;
}

Result<GenerationConfig> LoadGenerationConfig(const std::string& dir) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string own, ReadConfigIfThere(JoinPath(dir, kGenerationFile)));
  EYESHOT_ASSIGN_OR_RETURN(const std::string model, ReadConfigIfThere(JoinPath(dir, kModelFile)));
  return ParseGenerationConfig(own, model, dir);
}

}  // namespace eyeshot
