// What clients ask for: bodies of OpenAI's chat completions, completions, and tokenize, as structs.
//
// Unknown keys are ignored, as clients send some that concern other engines; keys that would change the answer and that
// this server can't honour are errors. docs/server.md lists both.
#ifndef EYESHOT_SERVER_PROTOCOL_H_
#define EYESHOT_SERVER_PROTOCOL_H_

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/limits.h"
#include "eyeshot/chat.h"
#include "eyeshot/engine.h"
#include "eyeshot/scheduler.h"
#include "eyeshot/status.h"
#include "formats/json.h"
#include "plan/question.h"

namespace eyeshot::server {

// Where clients ask for more than any context holds, as VLMEvalKit does.
inline constexpr int64_t kMostTokens = 1'000'000'000;

// Of one text completion: each waits and runs as a request of the client's.
inline constexpr size_t kMaxPrompts = limits::kMaxRequestsPerClient;

// A picture or video of a message: a data: URL, or where its bytes are.
struct MediaReference {
  bool video = false;
  std::string url;
  double fps = 0;  // of a video: frames a second, or 0 for the model's
  int max_frames = 0;  // of a video, or 0 for the model's
};

using RequestPart = std::variant<std::string, MediaReference>;

struct RequestMessage {
  Role role = Role::kUser;
  std::vector<RequestPart> parts;
};

struct GenerationRequest {
  std::vector<RequestMessage> messages;  // of a chat
  std::vector<RawPrompt> prompts;  // of a text completion: an answer to each
  AskOptions options;
  std::optional<plan::QuestionLimit> limit;  // what it may cost, by "budget" or "reduce"; PlanRequest() keeps to it
  bool stream = false;
  bool include_usage = false;  // with `stream`: a last event with the usage
};

// Errors of all: kCorrupt (no JSON, a key of another type), kNotFound (a key is missing), kLimitExceeded (a value out
// of its range), kInvalidArgument, kUnsupported. `defaults` are the options of a request that says nothing; max_tokens
// is clipped to `context_tokens`. The detail is the most that any picture asks for: the scheduler has one for all.
Result<GenerationRequest> ParseChatRequest(std::string_view body, const AskOptions& defaults, int64_t context_tokens);
// The prompts are used as they are, without a chat template: a string, token ids, or an array of either.
Result<GenerationRequest> ParseCompletionRequest(std::string_view body, const AskOptions& defaults,
                                                 int64_t context_tokens);
// The same of a body that was read before, with its strings moved out.
Result<GenerationRequest> ReadChatRequest(Json body, const AskOptions& defaults, int64_t context_tokens);
Result<GenerationRequest> ReadCompletionRequest(Json body, const AskOptions& defaults, int64_t context_tokens);
// "question_first", "reduce" and "budget"; what is not said stays. `detail` is the request's own. Errors: those of
// plan::LimitOf(); kInvalidArgument (a budget, and a detail other than "auto").
Status ReadReduction(const JsonObject& body, const std::optional<PictureDetail>& detail, AskOptions& options,
                     std::optional<plan::QuestionLimit>& limit);
// The text of {"prompt": ...}, or {"content": ...} as llama.cpp has it.
Result<std::string> ParseTokenizeRequest(std::string_view body);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_PROTOCOL_H_
