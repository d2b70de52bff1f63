#include "server/protocol.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"
#include "reduce/reduce_spec.h"

namespace eyeshot::server {
namespace {

constexpr const char* kBody = "the request";
constexpr JsonRules kRules = {.max_values = limits::kMaxBodyValues,
                              .mend = "docs/server.md says what a request holds",
                              .mend_missing = "docs/server.md says what a request holds"};

// More tiles count as more detail. "reference" takes as many as there can be.
int DetailRank(const PictureDetail& detail) {
  switch (detail.kind) {
    case PictureDetail::Kind::kLow: return 0;
    case PictureDetail::Kind::kAuto: return 1;
    case PictureDetail::Kind::kTiles: return 1 + detail.tiles;
    case PictureDetail::Kind::kReference: break;
  }
  return 2 + limits::kMaxDetailTiles;
}

Result<JsonObject> ObjectOf(const Json& json, const std::string& where) {
  return JsonObject::Root(json, where, kRules);
}

// Turns the JSON of a request into a GenerationRequest. Long strings are moved out of the tree, not copied.
class RequestReader {
 public:
  RequestReader(Json& root, const AskOptions& defaults) : root_(root) { request_.options = defaults; }

  Status ReadMessages();
  Status ReadPrompts(const JsonObject& body);
  Status ReadOptions(const JsonObject& body, int64_t context_tokens);
  GenerationRequest Take() { return std::move(request_); }

 private:
  Status ReadMessage(Json& json, const std::string& where);
  Status ReadPart(Json& json, const std::string& where, RequestMessage& message);
  Status ReadMedia(Json& json, const std::string& where, bool video, RequestMessage& message);
  Status ReadSampling(const JsonObject& body);
  Status ReadPictures(const JsonObject& body);
  Status ReadStops(const JsonObject& body);
  Status ReadStreaming(const JsonObject& body);
  Status ReadVideoOptions(const JsonObject& body);
  Status AddText(Json& json, RequestMessage& message);
  Status CountText(size_t bytes);
  Status AddPrompt(Json& json, const JsonObject& body);

  Json& root_;
  GenerationRequest request_;
  size_t media_ = 0;
  size_t text_bytes_ = 0;
  std::optional<PictureDetail> detail_;
};

Result<Role> ParseRole(const JsonObject& message) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string role, message.String("role"));
  if (role == "user") return Role::kUser;
  if (role == "assistant") return Role::kAssistant;
  if (role == "system" || role == "developer") return Role::kSystem;
  return message.Error(StatusCode::kInvalidArgument, "role", "system, user or assistant",
                       "leave tools out: this server has none");
}

Status RequestReader::CountText(size_t bytes) {
  text_bytes_ += bytes;
  if (text_bytes_ <= limits::kMaxPromptBytes) return Status::Ok();
  return LimitError(fmt::format("{}: more than {} bytes of text", kBody, limits::kMaxPromptBytes), "send less text");
}

Status RequestReader::AddText(Json& json, RequestMessage& message) {
  std::string& text = json.get_ref<std::string&>();
  EYESHOT_RETURN_IF_ERROR(CountText(text.size()));
  message.parts.emplace_back(std::move(text));
  return Status::Ok();
}

// {"url": ..., "detail": ...}, or the URL alone.
Status RequestReader::ReadMedia(Json& json, const std::string& where, bool video, RequestMessage& message) {
  MediaReference media{.video = video};
  if (++media_ > limits::kMaxImagesPerPrompt) {
    return LimitError(fmt::format("{}: more than {} pictures and videos", kBody, limits::kMaxImagesPerPrompt),
                      "send fewer");
  }
  if (json.is_string()) {
    media.url = std::move(json.get_ref<std::string&>());
  } else {
    EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, ObjectOf(json, where));
    if (object.Has("detail")) {
      EYESHOT_ASSIGN_OR_RETURN(const std::string word, object.String("detail"));
      const Result<PictureDetail> detail = ParsePictureDetail(word);
      if (!detail.ok()) return detail.status().At(where);
      if (!detail_ || DetailRank(*detail) > DetailRank(*detail_)) detail_ = *detail;
    }
    EYESHOT_ASSIGN_OR_RETURN(media.fps, object.NumberOr("fps", 0, 1000, 0));
    EYESHOT_ASSIGN_OR_RETURN(const int64_t frames, object.IntegerOr("max_frames", 0, limits::kMaxFramesPerPrompt, 0));
    media.max_frames = static_cast<int>(frames);
    const auto url = json.find("url");
    if (url == json.end() || !url->is_string()) {
      return object.Error(StatusCode::kCorrupt, "url", "a string", "send data:image/png;base64,...");
    }
    media.url = std::move(url->get_ref<std::string&>());
  }
  message.parts.emplace_back(std::move(media));
  return Status::Ok();
}

Status RequestReader::ReadPart(Json& json, const std::string& where, RequestMessage& message) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject part, ObjectOf(json, where));
  EYESHOT_ASSIGN_OR_RETURN(const std::string type, part.String("type"));
  if (type == "text") {
    const auto text = json.find("text");
    if (text == json.end() || !text->is_string())
      return part.Error(StatusCode::kCorrupt, "text", "a string", kRules.mend);
    return AddText(*text, message);
  }
  if (type != "image_url" && type != "video_url") {
    return part.Error(StatusCode::kUnsupported, "type", "text, image_url or video_url", kRules.mend);
  }
  const auto media = json.find(type);
  if (media == json.end()) return part.Error(StatusCode::kNotFound, type, "an object with a url", kRules.mend);
  return ReadMedia(*media, where + "." + type, type == "video_url", message);
}

Status RequestReader::ReadMessage(Json& json, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, ObjectOf(json, where));
  RequestMessage message;
  EYESHOT_ASSIGN_OR_RETURN(message.role, ParseRole(object));
  const auto content = json.find("content");
  if (content == json.end()) {
    return object.Error(StatusCode::kNotFound, "content", "a string or an array of parts", kRules.mend);
  }
  if (content->is_string()) {
    EYESHOT_RETURN_IF_ERROR(AddText(*content, message));
  } else if (content->is_array() && !content->empty()) {
    for (size_t i = 0; i < content->size(); ++i) {
      EYESHOT_RETURN_IF_ERROR(ReadPart((*content)[i], fmt::format("{}.content[{}]", where, i), message));
    }
  } else {
    return object.Error(StatusCode::kCorrupt, "content", "a string or an array of parts", kRules.mend);
  }
  request_.messages.push_back(std::move(message));
  return Status::Ok();
}

Status RequestReader::ReadMessages() {
  const auto messages = root_.find("messages");
  if (messages == root_.end() || !messages->is_array() || messages->empty()) {
    return InvalidArgumentError(fmt::format("{}: messages is no array with a message", kBody),
                                "send \"messages\": [{\"role\": \"user\", \"content\": ...}]");
  }
  if (messages->size() > limits::kMaxTurns) {
    return LimitError(fmt::format("{}: {} messages, more than {}", kBody, messages->size(), limits::kMaxTurns),
                      "send fewer");
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    EYESHOT_RETURN_IF_ERROR(ReadMessage((*messages)[i], fmt::format("{}: messages[{}]", kBody, i)));
  }
  return Status::Ok();
}

Status PromptError(const JsonObject& body) {
  return body.Error(StatusCode::kInvalidArgument, "prompt", "a string, an array of token ids, or an array of either",
                    "send \"prompt\": \"...\"; pictures go into /v1/chat/completions");
}

// A text or token ids.
Status RequestReader::AddPrompt(Json& json, const JsonObject& body) {
  if (json.is_string()) {
    std::string& text = json.get_ref<std::string&>();
    EYESHOT_RETURN_IF_ERROR(CountText(text.size()));
    request_.prompts.emplace_back(std::move(text));
    return Status::Ok();
  }
  if (!json.is_array()) return PromptError(body);
  std::vector<int32_t> ids;
  ids.reserve(json.size());
  for (const Json& id : json) {
    if (!id.is_number_integer()) return PromptError(body);
    const auto value = id.get<int64_t>();
    if (value < 0 || value > std::numeric_limits<int32_t>::max()) {
      return InvalidArgumentError(fmt::format("{}: prompt holds {}, which is no token id", kBody, id.dump()),
                                  "use ids of this model, as /tokenize gives them");
    }
    ids.push_back(static_cast<int32_t>(value));
  }
  request_.prompts.emplace_back(std::move(ids));
  return Status::Ok();
}

Status RequestReader::ReadPrompts(const JsonObject& body) {
  const auto found = root_.find("prompt");
  if (found == root_.end()) return PromptError(body);
  const bool one = !found->is_array() || (!found->empty() && found->front().is_number());
  if (one) return AddPrompt(*found, body);
  if (found->empty()) return PromptError(body);
  if (found->size() > kMaxPrompts) {
    return LimitError(fmt::format("{}: {} prompts, more than {}", kBody, found->size(), kMaxPrompts),
                      "send several requests");
  }
  for (Json& prompt : *found) EYESHOT_RETURN_IF_ERROR(AddPrompt(prompt, body));
  return Status::Ok();
}

Status RequestReader::ReadSampling(const JsonObject& body) {
  SamplingOptions& sampling = request_.options.sampling;
  EYESHOT_ASSIGN_OR_RETURN(const double temperature, body.NumberOr("temperature", 0, 100, sampling.temperature));
  EYESHOT_ASSIGN_OR_RETURN(const double top_p, body.NumberOr("top_p", 0, 1, sampling.top_p));
  EYESHOT_ASSIGN_OR_RETURN(const double min_p, body.NumberOr("min_p", 0, 1, sampling.min_p));
  EYESHOT_ASSIGN_OR_RETURN(const double penalty,
                           body.NumberOr("repetition_penalty", 1e-3, 1e3, sampling.repetition_penalty));
  // vLLM's clients write -1 for "all".
  EYESHOT_ASSIGN_OR_RETURN(const int64_t top_k,
                           body.IntegerOr("top_k", -1, std::numeric_limits<int>::max(), sampling.top_k));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t seed,
                           body.IntegerOr("seed", std::numeric_limits<int64_t>::min(),
                                          std::numeric_limits<int64_t>::max(), static_cast<int64_t>(sampling.seed)));
  sampling.temperature = static_cast<float>(temperature);
  sampling.top_p = std::max(static_cast<float>(top_p), 1e-6f);  // 0: the likeliest token alone
  sampling.min_p = static_cast<float>(min_p);
  sampling.repetition_penalty = static_cast<float>(penalty);
  sampling.top_k = static_cast<int>(std::max<int64_t>(top_k, 0));
  sampling.seed = static_cast<uint64_t>(seed);
  return Status::Ok();
}

// The detail of the parts, and how their visual tokens are made fewer.
Status RequestReader::ReadPictures(const JsonObject& body) {
  if (detail_) request_.options.detail = *detail_;
  return ReadReduction(body, detail_, request_.options, request_.limit);
}

Status RequestReader::ReadStops(const JsonObject& body) {
  const Json* const stop = body.Find("stop");
  if (stop == nullptr) return Status::Ok();
  const auto error = [&] {
    return body.Error(StatusCode::kInvalidArgument, "stop",
                      fmt::format("a string, or up to {} of 1 to {} bytes", limits::kMaxStops, limits::kMaxStopBytes),
                      kRules.mend);
  };
  const Json::array_t one = {*stop};
  if (!stop->is_string() && !stop->is_array()) return error();
  const Json::array_t& stops = stop->is_array() ? stop->get_ref<const Json::array_t&>() : one;
  if (stops.size() > limits::kMaxStops) return error();
  request_.options.stop.clear();
  for (const Json& text : stops) {
    if (!text.is_string()) return error();
    const std::string& string = text.get_ref<const std::string&>();
    if (string.empty() || string.size() > limits::kMaxStopBytes) return error();
    request_.options.stop.push_back(string);
  }
  return Status::Ok();
}

Status RequestReader::ReadStreaming(const JsonObject& body) {
  EYESHOT_ASSIGN_OR_RETURN(request_.stream, body.BoolOr("stream", false));
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> options, body.OptionalObject("stream_options"));
  if (options) {
    EYESHOT_ASSIGN_OR_RETURN(request_.include_usage, options->BoolOr("include_usage", false));
  }
  return Status::Ok();
}

// {"media_io_kwargs": {"video": {"num_frames": 16, "fps": 1}}}, as vLLM's clients say it for all videos.
Status RequestReader::ReadVideoOptions(const JsonObject& body) {
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> media, body.OptionalObject("media_io_kwargs"));
  if (!media) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const std::optional<JsonObject> video, media->OptionalObject("video"));
  if (!video) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const int64_t frames,
                           video->IntegerOr("num_frames", -1, std::numeric_limits<int>::max(), 0));
  EYESHOT_ASSIGN_OR_RETURN(const double fps, video->NumberOr("fps", -1, 1000, 0));
  for (RequestMessage& message : request_.messages) {
    for (RequestPart& part : message.parts) {
      auto* const reference = std::get_if<MediaReference>(&part);
      if (reference == nullptr || !reference->video) continue;
      if (reference->max_frames == 0 && frames > 0) {
        reference->max_frames = static_cast<int>(std::min<int64_t>(frames, limits::kMaxFramesPerPrompt));
      }
      if (reference->fps == 0 && fps > 0) reference->fps = fps;
    }
  }
  return Status::Ok();
}

// Keys that would change the answer, and the only values that this server can honour.
Status CheckUnsupported(const JsonObject& body) {
  constexpr const char* kMend = "leave it out";
  for (const char* key : {"tools", "functions", "logit_bias", "suffix", "prompt_embeds"}) {
    const Json* const value = body.Find(key);
    if (value != nullptr && !value->empty()) return body.Error(StatusCode::kUnsupported, key, "nothing", kMend);
  }
  for (const char* key : {"frequency_penalty", "presence_penalty"}) {
    const Json* const value = body.Find(key);
    if (value != nullptr && *value != 0) {
      return body.Error(StatusCode::kUnsupported, key, "0", "use repetition_penalty, or leave it out");
    }
  }
  for (const char* key : {"n", "best_of"}) {
    const Json* const value = body.Find(key);
    if (value != nullptr && *value != 1) {
      return body.Error(StatusCode::kUnsupported, key, "1", "send a request for each answer");
    }
  }
  for (const char* key : {"logprobs", "prompt_logprobs", "echo", "use_beam_search"}) {
    const Json* const value = body.Find(key);
    if (value != nullptr && *value != false) return body.Error(StatusCode::kUnsupported, key, "false or null", kMend);
  }
  const Json* const format = body.Find("response_format");
  if (format != nullptr && (!format->is_object() || format->value("type", Json()) != "text")) {
    return body.Error(StatusCode::kUnsupported, "response_format", "{\"type\": \"text\"}", kMend);
  }
  return Status::Ok();
}

Status RequestReader::ReadOptions(const JsonObject& body, int64_t context_tokens) {
  AskOptions& options = request_.options;
  const char* const key = body.Has("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  EYESHOT_ASSIGN_OR_RETURN(const int64_t tokens, body.IntegerOr(key, 1, kMostTokens, options.max_tokens));
  options.max_tokens = static_cast<int>(std::min(tokens, context_tokens));
  EYESHOT_ASSIGN_OR_RETURN(options.ignore_end, body.BoolOr("ignore_eos", options.ignore_end));
  EYESHOT_ASSIGN_OR_RETURN(const bool skip, body.BoolOr("skip_special_tokens", !options.special_tokens));
  options.special_tokens = !skip;
  EYESHOT_RETURN_IF_ERROR(ReadPictures(body));
  EYESHOT_RETURN_IF_ERROR(ReadSampling(body));
  EYESHOT_RETURN_IF_ERROR(ReadStops(body));
  EYESHOT_RETURN_IF_ERROR(ReadStreaming(body));
  EYESHOT_RETURN_IF_ERROR(ReadVideoOptions(body));
  return CheckUnsupported(body);
}

}  // namespace

Status ReadReduction(const JsonObject& body, const std::optional<PictureDetail>& detail, AskOptions& options,
                     std::optional<plan::QuestionLimit>& limit) {
  EYESHOT_ASSIGN_OR_RETURN(options.question_first, body.BoolOr("question_first", options.question_first));
  EYESHOT_ASSIGN_OR_RETURN(options.reduce, body.StringOr("reduce", options.reduce));
  const Result<ReduceSpec> reduce = ParseReduceSpec(options.reduce);
  if (!reduce.ok()) return reduce.status().At(fmt::format("{}: reduce", kBody));
  EYESHOT_ASSIGN_OR_RETURN(const std::string budget, body.StringOr("budget", ""));
  Result<std::optional<plan::QuestionLimit>> asked = plan::LimitOf(budget, options.reduce);
  if (!asked.ok()) return asked.status().At(fmt::format("{}: {}", kBody, budget.empty() ? "reduce" : "budget"));
  limit = *std::move(asked);
  if (budget.empty() || !detail || detail->kind == PictureDetail::Kind::kAuto) return Status::Ok();
  return InvalidArgumentError(
      fmt::format("{}: the detail {} and a budget, which chooses the detail", kBody, PictureDetailName(*detail)),
      "leave one of them out");
}

Result<GenerationRequest> ReadChatRequest(Json body, const AskOptions& defaults, int64_t context_tokens) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, ObjectOf(body, kBody));
  RequestReader reader(body, defaults);
  EYESHOT_RETURN_IF_ERROR(reader.ReadMessages());
  EYESHOT_RETURN_IF_ERROR(reader.ReadOptions(object, context_tokens));
  return reader.Take();
}

Result<GenerationRequest> ReadCompletionRequest(Json body, const AskOptions& defaults, int64_t context_tokens) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, ObjectOf(body, kBody));
  RequestReader reader(body, defaults);
  EYESHOT_RETURN_IF_ERROR(reader.ReadPrompts(object));
  EYESHOT_RETURN_IF_ERROR(reader.ReadOptions(object, context_tokens));
  return reader.Take();
}

Result<GenerationRequest> ParseChatRequest(std::string_view body, const AskOptions& defaults, int64_t context_tokens) {
  EYESHOT_ASSIGN_OR_RETURN(Json root, ParseJsonTree(body, kBody, kRules));
  return ReadChatRequest(std::move(root), defaults, context_tokens);
}

Result<GenerationRequest> ParseCompletionRequest(std::string_view body, const AskOptions& defaults,
                                                 int64_t context_tokens) {
  EYESHOT_ASSIGN_OR_RETURN(Json root, ParseJsonTree(body, kBody, kRules));
  return ReadCompletionRequest(std::move(root), defaults, context_tokens);
}

Result<std::string> ParseTokenizeRequest(std::string_view body) {
  EYESHOT_ASSIGN_OR_RETURN(Json root, ParseJsonTree(body, kBody, kRules));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, ObjectOf(root, kBody));
  EYESHOT_ASSIGN_OR_RETURN(std::string text, object.String(object.Has("content") ? "content" : "prompt"));
  if (text.size() > limits::kMaxPromptBytes) {
    return LimitError(fmt::format("{}: {} bytes of text, more than {}", kBody, text.size(), limits::kMaxPromptBytes),
                      "send less");
  }
  return text;
}

}  // namespace eyeshot::server
