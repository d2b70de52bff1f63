// The lines of OpenAI's batch files: requests, and their answers.
#ifndef EYESHOT_SERVER_BATCH_LINES_H_
#define EYESHOT_SERVER_BATCH_LINES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "eyeshot/status.h"
#include "formats/json.h"

namespace eyeshot::server {

// {"custom_id", "method": "POST", "url": "/v1/chat/completions" or "/v1/completions", "body": {...}}
struct BatchRequest {
  std::string custom_id;
  bool chat = true;  // false: a text completion
  Json body;         // an object; whether the server takes it is not looked at here
};

// `where` names the line in errors: "in.jsonl:3". Errors: kCorrupt, kNotFound, kLimitExceeded, kInvalidArgument (no
// custom_id, one too long), kUnsupported (another method or url).
Result<BatchRequest> ParseBatchRequest(std::string_view line, const std::string& where);

// What was asked, of whom, by which name: other requests have other numbers (the first 64 bits of a SHA-256).
// `settings` is all that counts beside the request. The order of keys and spaces between them don't count.
uint64_t DigestOf(const BatchRequest& request, std::string_view settings);

// {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}, with a line break. Both ids
// hold the digest. `body`: JSON.
std::string BatchAnswerLine(std::string_view custom_id, uint64_t digest, int status, std::string_view body);
// What each such line begins with.
inline constexpr std::string_view kBatchAnswerStart = R"({"id":"batch_req_)";

// What a later run has to know of an answer.
struct BatchAnswer {
  std::string custom_id;
  uint64_t digest = 0;
  int status = 0;
};
// Errors: kCorrupt, kNotFound, kLimitExceeded (no line that BatchAnswerLine() made).
Result<BatchAnswer> ParseBatchAnswer(std::string_view line, const std::string& where);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_BATCH_LINES_H_
