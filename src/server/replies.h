// What is answered, in the shapes of OpenAI's API.
#ifndef EYESHOT_SERVER_REPLIES_H_
#define EYESHOT_SERVER_REPLIES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "eyeshot/engine.h"
#include "eyeshot/status.h"
#include "server/http.h"

namespace eyeshot::server {

// {"error": {"message", "type", "param", "code"}}
HttpResponse ErrorReply(int status, std::string_view code, std::string_view message);
// In which step of a request an error came up: the same code means different things.
enum class RequestStep { kParse, kMedia, kSubmit, kRun };
HttpResponse ErrorReply(const Status& status, RequestStep step);

// "chatcmpl-" or "cmpl-", and 24 hexadecimal digits that hang on `number` alone.
std::string ReplyId(bool chat, uint64_t number);

// One answer, as its replies name it.
struct ReplyName {
  bool chat = true;  // false: text completion
  std::string id;
  int64_t created = 0;  // seconds since 1970
  std::string model;
};

// How long a request took, beside what its ledger says.
struct ReplyTimes {
  double first_token_ms = 0;  // from the request's arrival
  double total_ms = 0;
};

// The reply to a request without `stream`: a choice for each answer, of which a chat has one. `times`: of all.
// `budget`: PlannedRequest::Json() of one that was planned; empty: it wasn't.
std::string AnswerBody(const ReplyName& name, std::span<const Answer> answers, const ReplyTimes& times,
                       std::string_view budget = {});

// Server-sent events: "data: JSON" and an empty line each. `index`: of the choice.
std::string FirstEvent(const ReplyName& name);  // "" of text completions
std::string TextEvent(const ReplyName& name, std::string_view text, size_t index = 0);
std::string FinishEvent(const ReplyName& name, FinishReason reason, size_t index = 0);
std::string UsageEvent(const ReplyName& name, std::span<const Answer> answers, const ReplyTimes& times,
                       std::string_view budget = {});
std::string ErrorEvent(const Status& status);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

std::string ModelsBody(const ModelInfo& info, int64_t created);
std::string ModelBody(const ModelInfo& info, int64_t created);
std::string TokensBody(std::span<const int32_t> ids, int64_t context_tokens);

// A text as a JSON string, for logs.
std::string Quoted(std::string_view text);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_REPLIES_H_
