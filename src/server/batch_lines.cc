#include "server/batch_lines.h"

#include <charconv>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "server/replies.h"

namespace eyeshot::server {
namespace {

// A body's values, and those around it.
constexpr JsonRules kRequestRules = {.max_values = limits::kMaxBodyValues + 16,
                                     .mend = "correct the line: docs/batch.md says what it holds",
                                     .mend_missing = "correct the line: docs/batch.md says what it holds"};
constexpr const char* kMendOutput = "name another file for the answers: this one has something else";
constexpr JsonRules kAnswerRules = {
    .max_values = limits::kMaxBodyValues, .mend = kMendOutput, .mend_missing = kMendOutput};
constexpr int kHexDigits = 16;

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Result<std::string> ReadCustomId(const JsonObject& object) {
  EYESHOT_ASSIGN_OR_RETURN(std::string id, object.String("custom_id"));
  if (!id.empty() && id.size() <= limits::kMaxCustomIdBytes) return id;
  return object.Error(StatusCode::kInvalidArgument, "custom_id",
                      fmt::format("a name of 1 to {} bytes", limits::kMaxCustomIdBytes),
                      "give each request a name of its own");
}

}  // namespace

Result<BatchRequest> ParseBatchRequest(std::string_view line, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(Json root, ParseJsonTree(line, where, kRequestRules));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(root, where, kRequestRules));
  BatchRequest request;
  EYESHOT_ASSIGN_OR_RETURN(request.custom_id, ReadCustomId(object));
  EYESHOT_ASSIGN_OR_RETURN(const std::string method, object.String("method"));
  if (method != "POST") return object.Error(StatusCode::kUnsupported, "method", "POST", kRequestRules.mend);
  EYESHOT_ASSIGN_OR_RETURN(const std::string url, object.String("url"));
  request.chat = url == "/v1/chat/completions";
  if (!request.chat && url != "/v1/completions") {
    return object.Error(StatusCode::kUnsupported, "url", "/v1/chat/completions or /v1/completions", kRequestRules.mend);
  }
  EYESHOT_RETURN_IF_ERROR(object.Object("body").status());
  request.body = std::move(root["body"]);
  return request;
}

uint64_t DigestOf(const BatchRequest& request, std::string_view settings) {
  Sha256 sha;
  sha.Update(BytesOf(settings));
  sha.Update(BytesOf(Quoted(request.custom_id)));
  sha.Update(BytesOf(request.chat ? "chat" : "completion"));
  sha.Update(BytesOf(request.body.dump()));
  const std::array<uint8_t, 32> bytes = sha.Finish();
  uint64_t digest = 0;
  for (size_t i = 0; i < sizeof(digest); ++i) digest = digest << 8 | bytes[i];
  return digest;
}

std::string BatchAnswerLine(std::string_view custom_id, uint64_t digest, int status, std::string_view body) {
  return fmt::format(
      R"({}{:016x}","custom_id":{},"response":{{"status_code":{},"request_id":"req_{:016x}","body":{}}},"error":null}})"
      "\n",
      kBatchAnswerStart, digest, Quoted(custom_id), status, digest, body);
}

Result<BatchAnswer> ParseBatchAnswer(std::string_view line, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const Json root, ParseJsonTree(line, where, kAnswerRules));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(root, where, kAnswerRules));
  BatchAnswer answer;
  EYESHOT_ASSIGN_OR_RETURN(answer.custom_id, object.String("custom_id"));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject response, object.Object("response"));
  EYESHOT_ASSIGN_OR_RETURN(const int64_t status, response.Integer("status_code", 100, 599));
  answer.status = static_cast<int>(status);
  constexpr std::string_view kPrefix = "req_";
  EYESHOT_ASSIGN_OR_RETURN(const std::string id, response.String("request_id"));
  const char* const end = id.data() + id.size();
  if (id.size() == kPrefix.size() + kHexDigits && id.starts_with(kPrefix) &&
      std::from_chars(id.data() + kPrefix.size(), end, answer.digest, 16).ptr == end) {
    return answer;
  }
  return response.Error(StatusCode::kCorrupt, "request_id", "one that `eyeshot batch` writes", kMendOutput);
}

}  // namespace eyeshot::server
