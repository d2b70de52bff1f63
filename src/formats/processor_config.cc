#include "formats/processor_config.h"

#include <cstdint>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"

namespace eyeshot {
namespace {

constexpr char kImageFile[] = "preprocessor_config.json";
constexpr char kProcessorFile[] = "processor_config.json";
constexpr char kVideoFile[] = "video_preprocessor_config.json";
// Frames a second: more than any camera writes.
constexpr double kMaxFramesPerSecond = 1000.0;
// Pillow's filters are numbered 0 to 5.
constexpr int64_t kMaxFilter = 5;

// {"longest_edge": 512} at `key`.
Status ReadLongestEdge(const JsonObject& object, const std::string& key, int64_t max, int& edge) {
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> size, object.OptionalObject(key));
  if (!size) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const int64_t value, size->Integer("longest_edge", 1, max));
  edge = static_cast<int>(value);
  return Status::Ok();
}

// Three numbers, of red, green and blue.
Status ReadChannels(const JsonObject& object, const std::string& key, double min, std::array<float, 3>& channels) {
  const Json* const value = object.Find(key);
  if (value == nullptr) return Status::Ok();
  Status wrong = object.Error(StatusCode::kCorrupt, key, fmt::format("three numbers in [{}, 1]", min),
                              "correct the file or download it again");
  if (!value->is_array() || value->size() != channels.size()) return wrong;
  for (size_t i = 0; i < channels.size(); ++i) {
    const Json& item = (*value)[i];
    if (!item.is_number() || !(item.get<double>() >= min && item.get<double>() <= 1.0)) return wrong;
    channels[i] = item.get<float>();
  }
  return Status::Ok();
}

Status ReadFlags(const JsonObject& object, ImageProcessorConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(config.do_resize, object.BoolOr("do_resize", config.do_resize));
  EYESHOT_ASSIGN_OR_RETURN(config.do_image_splitting, object.BoolOr("do_image_splitting", config.do_image_splitting));
  EYESHOT_ASSIGN_OR_RETURN(config.do_rescale, object.BoolOr("do_rescale", config.do_rescale));
  EYESHOT_ASSIGN_OR_RETURN(config.do_normalize, object.BoolOr("do_normalize", config.do_normalize));
  return Status::Ok();
}

// The keys of an image processor: preprocessor_config.json, or image_processor of processor_config.json.
Status ReadImageProcessor(const JsonObject& object, ImageProcessorConfig& config) {
  EYESHOT_RETURN_IF_ERROR(ReadFlags(object, config));
  EYESHOT_RETURN_IF_ERROR(ReadLongestEdge(object, "size", limits::kMaxLongestEdge, config.longest_edge));
  EYESHOT_RETURN_IF_ERROR(ReadLongestEdge(object, "max_image_size", limits::kMaxTileSide, config.max_image_edge));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t resample, object.IntegerOr("resample", 0, kMaxFilter, config.resample));
  config.resample = static_cast<int>(resample);
  EYESHOT_ASSIGN_OR_RETURN(config.rescale_factor, object.NumberOr("rescale_factor", 0.0, 1.0, config.rescale_factor));
  EYESHOT_RETURN_IF_ERROR(ReadChannels(object, "image_mean", 0.0, config.mean));
  // The deviation is a divisor: 8-bit values differ by 1/255 at least.
  EYESHOT_RETURN_IF_ERROR(ReadChannels(object, "image_std", 1.0 / 255.0, config.std));
  EYESHOT_ASSIGN_OR_RETURN(config.processor_class, object.StringOr("processor_class", config.processor_class));
  return Status::Ok();
}

// `video_sampling` of the object, {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": 512}}, and `size` beside
// it, which has precedence over video_size.
Status ReadVideoSettings(const JsonObject& object, ImageProcessorConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> sampling, object.OptionalObject("video_sampling"));
  if (!sampling) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(config.video_fps, sampling->Number("fps", 1e-3, kMaxFramesPerSecond));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t frames, sampling->Integer("max_frames", 1, limits::kMaxFramesPerPrompt));
  config.video_max_frames = static_cast<int>(frames);
  config.video_longest_edge = config.max_image_edge;
  EYESHOT_RETURN_IF_ERROR(ReadLongestEdge(*sampling, "video_size", limits::kMaxLongestEdge, config.video_longest_edge));
  return ReadLongestEdge(object, "size", limits::kMaxLongestEdge, config.video_longest_edge);
}

Status ReadImageFile(const std::string& text, const std::string& file, ImageProcessorConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  EYESHOT_RETURN_IF_ERROR(ReadImageProcessor(root, config));
  return ReadVideoSettings(root, config);
}

Status ReadVideoFile(const std::string& text, const std::string& file, ImageProcessorConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  return ReadVideoSettings(root, config);
}

// processor_config.json. Its image_processor counts only where preprocessor_config.json is absent.
Status ReadProcessorFile(const std::string& text, const std::string& file, bool take_image_processor,
                         ImageProcessorConfig& config) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, file));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, file));
  if (take_image_processor) {
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject image, root.Object("image_processor"));
    EYESHOT_RETURN_IF_ERROR(ReadImageProcessor(image, config));
  }
  EYESHOT_ASSIGN_OR_RETURN(const int64_t length,
                           root.IntegerOr("image_seq_len", 1, limits::kMaxContext, config.image_seq_len));
  config.image_seq_len = static_cast<int>(length);
  if (config.processor_class.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(config.processor_class, root.StringOr("processor_class", ""));
  }
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> video, root.OptionalObject("video_processor"));
  return video ? ReadVideoSettings(*video, config) : Status::Ok();
}

}  // namespace

Result<ImageProcessorConfig> ParseProcessorConfig(const std::string& preprocessor_config,
                                                  const std::string& processor_config, const std::string& dir,
                                                  const std::string& video_config) {
  if (preprocessor_config.empty() && processor_config.empty()) {
    return NotFoundError(fmt::format("{}: has neither {} nor {}", dir, kImageFile, kProcessorFile),
                         "name the folder of a downloaded model");
  }
  ImageProcessorConfig config;
  if (!preprocessor_config.empty()) {
    EYESHOT_RETURN_IF_ERROR(ReadImageFile(preprocessor_config, JoinPath(dir, kImageFile), config));
  }
  if (!video_config.empty()) {
    EYESHOT_RETURN_IF_ERROR(ReadVideoFile(video_config, JoinPath(dir, kVideoFile), config));
  }
  if (!processor_config.empty()) {
    EYESHOT_RETURN_IF_ERROR(ReadProcessorFile(processor_config, JoinPath(dir, kProcessorFile),
                                              /*take_image_processor=*/preprocessor_config.empty(), config));
  }
  return config;
}

Result<ImageProcessorConfig> LoadProcessorConfig(const std::string& dir) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string image, ReadConfigIfThere(JoinPath(dir, kImageFile)));
  EYESHOT_ASSIGN_OR_RETURN(const std::string processor, ReadConfigIfThere(JoinPath(dir, kProcessorFile)));
  EYESHOT_ASSIGN_OR_RETURN(const std::string video, ReadConfigIfThere(JoinPath(dir, kVideoFile)));
  return ParseProcessorConfig(image, processor, dir, video);
}

}  // namespace eyeshot
