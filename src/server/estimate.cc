#include "server/estimate.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"
#include "server/protocol.h"

namespace eyeshot::server {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* kBody = "the request";
constexpr const char* kMend = "docs/server.md says what a request holds";
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

Status ReadOptions(const JsonObject& body, int64_t context_tokens, AskOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(const int64_t tokens, body.IntegerOr("max_tokens", 1, kMostTokens, options.max_tokens));
  options.max_tokens = static_cast<int>(std::min(tokens, context_tokens));
  EYESHOT_ASSIGN_OR_RETURN(const std::string detail, body.StringOr("detail", PictureDetailName(options.detail)));
  const Result<PictureDetail> parsed = ParsePictureDetail(detail);
  if (!parsed.ok()) return parsed.status().At(kBody);
  options.detail = *parsed;
  return ReadReduction(body, options);
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

Result<EstimateRequest> ParseEstimateRequest(std::string_view body, const AskOptions& defaults,
                                             int64_t context_tokens) {
  EYESHOT_ASSIGN_OR_RETURN(const Json root, ParseJsonTree(body, kBody, kRules));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(root, kBody, kRules));
  EstimateRequest request{.options = defaults};
  EYESHOT_RETURN_IF_ERROR(ReadPictures(object, request));
  EYESHOT_ASSIGN_OR_RETURN(request.text, object.StringOr("text", ""));
  if (request.text.size() > limits::kMaxPromptBytes) {
    return LimitError(
        fmt::format("{}: {} bytes of text, more than {}", kBody, request.text.size(), limits::kMaxPromptBytes),
        "send less text");
  }
  EYESHOT_ASSIGN_OR_RETURN(request.earlier_tokens, object.IntegerOr("earlier_tokens", 0, limits::kMaxCacheTokens, 0));
  EYESHOT_RETURN_IF_ERROR(ReadOptions(object, context_tokens, request.options));
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
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace eyeshot::server
