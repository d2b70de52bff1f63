#include "server/estimate.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"
#include "media/frame_sampling.h"
#include "server/protocol.h"

namespace eyeshot::server {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kBody = "the request";
constexpr const char* kMend = "docs/server.md says what a request holds";
// Frames a second of a video that nobody has opened: which of them are taken hangs on it by less than one's length.
constexpr double kStreamFps = 30;
constexpr JsonRules kRules = {.max_values = limits::kMaxBodyValues, .mend = kMend, .mend_missing = kMend};

// [{"width": 1024, "height": 768}, ...]
Status ReadPictures(const JsonObject& body, EstimateRequest& request) {
  const Json* const pictures = body.Find("pictures");
  if (pictures == nullptr) return Status::Ok();
  if (!pictures->is_array() || pictures->size() > limits::kMaxImagesPerPrompt) {
    return body.Error(StatusCode::kLimitExceeded, "pictures",
                      fmt::format("an array of at most {} sizes", limits::kMaxImagesPerPrompt), kMend);
  }
  for (size_t i = 0; i < pictures->size(); ++i) {
    const std::string where = fmt::format("{}: pictures[{}]", kBody, i);
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject size, JsonObject::Root((*pictures)[i], where, kRules));
    EYESHOT_ASSIGN_OR_RETURN(const int64_t width, size.Integer("width", 1, limits::kMaxImageSide));
    EYESHOT_ASSIGN_OR_RETURN(const int64_t height, size.Integer("height", 1, limits::kMaxImageSide));
    request.pictures.emplace_back(static_cast<int>(width), static_cast<int>(height));
  }
  return Status::Ok();
}

// The frames that are taken of a video: of `duration_s` seconds, or all of `frames` that are sent.
Result<EstimateClip> ReadVideo(const JsonObject& video, const VideoOptions& defaults) {
  EstimateClip clip;
  EYESHOT_ASSIGN_OR_RETURN(const int64_t width, video.IntegerOr("width", 0, limits::kMaxImageSide, 0));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t height, video.IntegerOr("height", 0, limits::kMaxImageSide, 0));
  clip.width = static_cast<int>(width);
  clip.height = static_cast<int>(height);
  EYESHOT_ASSIGN_OR_RETURN(const double said_fps, video.NumberOr("fps", 0, 1000, 0));
  const double fps = said_fps > 0 ? said_fps : defaults.fps;
  if (video.Has("frames")) {
    EYESHOT_ASSIGN_OR_RETURN(const int64_t frames, video.Integer("frames", 1, limits::kMaxFramesPerPrompt));
    clip.duration_s = static_cast<double>(frames) / fps;
    if (clip.duration_s > static_cast<double>(limits::kMaxVideoSeconds)) {
      return video.Error(StatusCode::kLimitExceeded, "fps",
                         fmt::format("so many that {} frames are {} seconds at most", frames, limits::kMaxVideoSeconds),
                         kMend);
    }
    for (int64_t i = 0; i < frames; ++i) clip.timestamps_s.push_back(static_cast<double>(i) / fps);
    return clip;
  }
  EYESHOT_ASSIGN_OR_RETURN(clip.duration_s,
                           video.Number("duration_s", 0, static_cast<double>(limits::kMaxVideoSeconds)));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t most, video.IntegerOr("max_frames", 0, limits::kMaxFramesPerPrompt, 0));
  const auto in_file = static_cast<int64_t>(std::max(1.0, std::round(clip.duration_s * kStreamFps)));
  for (const int64_t frame :
       media::UniformFrames(in_file, clip.duration_s, kStreamFps, fps,
                            static_cast<int>(most > 0 ? most : static_cast<int64_t>(defaults.max_frames)))) {
    clip.timestamps_s.push_back(static_cast<double>(frame) / kStreamFps);
  }
  return clip;
}

// [{"duration_s": 12.5}, ...]
Status ReadVideos(const JsonObject& body, const VideoOptions& defaults, EstimateRequest& request) {
  const Json* const videos = body.Find("videos");
  if (videos == nullptr) return Status::Ok();
  size_t frames = 0;
  for (size_t i = 0; videos->is_array() && i < videos->size(); ++i) {
    const std::string where = fmt::format("{}: videos[{}]", kBody, i);
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject video, JsonObject::Root((*videos)[i], where, kRules));
    EYESHOT_ASSIGN_OR_RETURN(EstimateClip clip, ReadVideo(video, defaults));
    frames += clip.timestamps_s.size();
    if (frames > limits::kMaxFramesPerPrompt) break;
    request.clips.push_back(std::move(clip));
  }
  if (videos->is_array() && frames <= limits::kMaxFramesPerPrompt) return Status::Ok();
  return body.Error(StatusCode::kLimitExceeded, "videos",
                    fmt::format("an array of videos with {} frames at most", limits::kMaxFramesPerPrompt), kMend);
}

Status ReadOptions(const JsonObject& body, int64_t context_tokens, EstimateRequest& request) {
  AskOptions& options = request.options;
  EYESHOT_ASSIGN_OR_RETURN(const int64_t tokens, body.IntegerOr("max_tokens", 1, kMostTokens, options.max_tokens));
  options.max_tokens = static_cast<int>(std::min(tokens, context_tokens));
  std::optional<PictureDetail> detail;
  if (body.Has("detail")) {
    EYESHOT_ASSIGN_OR_RETURN(const std::string word, body.String("detail"));
    const Result<PictureDetail> parsed = ParsePictureDetail(word);
    if (!parsed.ok()) return parsed.status().At(kBody);
    options.detail = *parsed;
    detail = *parsed;
  }
  return ReadReduction(body, detail, options, request.limit);
}

OrderedJson PredictionJson(const Prediction& prediction) {
  OrderedJson stages = OrderedJson::array();
  for (const OrderedJson& stage : OrderedJson::parse(prediction.ledger.Json())) {
    if (stage["wall_ms"] > 0) stages.push_back({{"name", stage["name"]}, {"wall_ms", stage["wall_ms"]}});
  }
  return {{"first_token_ms", static_cast<double>(prediction.ledger.total_wall_ns()) * 1e-6},
          {"token_ms", prediction.token_ms},
          {"stages", std::move(stages)},
          {"from", prediction.from},
          {"doubts", prediction.doubts}};
}

}  // namespace

Result<EstimateRequest> ParseEstimateRequest(std::string_view body, const AskOptions& defaults, int64_t context_tokens,
                                             const VideoOptions& video) {
  EYESHOT_ASSIGN_OR_RETURN(const Json root, ParseJsonTree(body, kBody, kRules));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(root, kBody, kRules));
  EstimateRequest request{.options = defaults};
  EYESHOT_RETURN_IF_ERROR(ReadPictures(object, request));
  EYESHOT_RETURN_IF_ERROR(ReadVideos(object, video, request));
  EYESHOT_ASSIGN_OR_RETURN(request.text, object.StringOr("text", ""));
  if (request.text.size() > limits::kMaxPromptBytes) {
    return LimitError(
        fmt::format("{}: {} bytes of text, more than {}", kBody, request.text.size(), limits::kMaxPromptBytes),
        "send less text");
  }
  EYESHOT_ASSIGN_OR_RETURN(request.earlier_tokens, object.IntegerOr("earlier_tokens", 0, limits::kMaxCacheTokens, 0));
  EYESHOT_RETURN_IF_ERROR(ReadOptions(object, context_tokens, request));
  return request;
}

std::string EstimateBody(const Estimate& estimate) {
  OrderedJson json = {{"tiles", estimate.tiles},
                      {"visual_tokens", estimate.visual_tokens},
                      {"prompt_tokens", estimate.prompt_tokens},
                      {"answer_tokens", estimate.answer_tokens},
                      {"context_tokens", estimate.context_tokens},
                      {"pictures", OrderedJson::parse(estimate.pictures.PicturesJson())},
                      {"predicted", nullptr},
                      {"not_predicted", nullptr}};
  if (estimate.prediction) {
    json["predicted"] = PredictionJson(*estimate.prediction);
  } else {
    json["not_predicted"] = estimate.not_predicted;
  }
  if (estimate.planned) json["budget"] = OrderedJson::parse(estimate.planned->Json(""));
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace eyeshot::server
