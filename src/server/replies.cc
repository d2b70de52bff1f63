#include "server/replies.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/splitmix64.h"

namespace eyeshot::server {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string Dump(const OrderedJson& json) { return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace); }
std::string Event(const OrderedJson& json) { return "data: " + Dump(json) + "\n\n"; }

std::string_view TypeOf(int status) {
  if (status == 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

OrderedJson ErrorJson(int status, std::string_view code, std::string_view message) {
  return {{"error", {{"message", message}, {"type", TypeOf(status)}, {"param", nullptr}, {"code", code}}}};
}

// OpenAI's words: a full context is a length too.
std::string_view FinishWord(FinishReason reason) { return reason == FinishReason::kStop ? "stop" : "length"; }

// Of the stages; where nobody knows them, of the GPU as a whole.
Joules TotalJoules(const Ledger& ledger) {
  const Joules total = ledger.total_joules();
  return total.source == EnergySource::kNone && ledger.gpu() ? ledger.gpu()->joules : total;
}

// What several answers took together. Their reasons to end stay each answer's own.
Answer Sum(std::span<const Answer> answers) {
  Answer sum = answers.front();
  for (const Answer& answer : answers.subspan(1)) {
    sum.prompt_tokens += answer.prompt_tokens;
    sum.completion_tokens += answer.completion_tokens;
    sum.cached_tokens += answer.cached_tokens;
    sum.visual_tokens += answer.visual_tokens;
    sum.tiles += answer.tiles;
    sum.ledger.Add(answer.ledger);
  }
  return sum;
}

OrderedJson UsageJson(std::span<const Answer> answers, const ReplyTimes& times, std::string_view budget) {
  const Answer answer = Sum(answers);
  OrderedJson finish = OrderedJson::array();
  for (const Answer& one : answers) finish.push_back(FinishReasonName(one.finish_reason));
  if (finish.size() == 1) finish = finish.front();
  OrderedJson usage = {{"prompt_tokens", answer.prompt_tokens},
                       {"completion_tokens", answer.completion_tokens},
                       {"total_tokens", answer.prompt_tokens + answer.completion_tokens},
                       {"prompt_tokens_details", {{"cached_tokens", answer.cached_tokens}}},
                       {"eyeshot",
                        {{"visual_tokens", answer.visual_tokens},
                         {"tiles", answer.tiles},
                         {"context_tokens", answer.context_tokens},
                         {"finish_reason", finish},
                         {"first_token_ms", times.first_token_ms},
                         {"total_ms", times.total_ms},
                         {"pictures", OrderedJson::parse(answer.ledger.PicturesJson())},
                         {"stages", OrderedJson::parse(answer.ledger.Json())},
                         {"joules", OrderedJson::parse(JoulesAsJson(TotalJoules(answer.ledger)))}}}};
  if (!budget.empty()) usage["eyeshot"]["budget"] = OrderedJson::parse(budget);
  return usage;
}

OrderedJson ReplyJson(const ReplyName& name, bool chunk) {
  const char* const object = name.chat ? (chunk ? "chat.completion.chunk" : "chat.completion") : "text_completion";
  return {{"id", name.id}, {"object", object}, {"created", name.created}, {"model", name.model}};
}

// `delta`: {"content": TEXT}, and in a chat {"role": ...} too; empty: nothing is new but `finish`, which else is null.
OrderedJson ChunkJson(const ReplyName& name, size_t index, const OrderedJson& delta, const OrderedJson& finish) {
  OrderedJson chunk = ReplyJson(name, true);
  OrderedJson choice = {{"index", index}};
  if (name.chat) {
    choice["delta"] = delta;
  } else {
    choice["text"] = delta.value("content", "");
    choice["logprobs"] = nullptr;
  }
  choice["finish_reason"] = finish;
  chunk["choices"] = OrderedJson::array({std::move(choice)});
  return chunk;
}

OrderedJson ChoiceJson(const ReplyName& name, size_t index, const Answer& answer) {
  OrderedJson choice = {{"index", index}};
  if (name.chat) {
    choice["message"] = {{"role", "assistant"}, {"content", answer.text}};
  } else {
    choice["text"] = answer.text;
    choice["logprobs"] = nullptr;
  }
  choice["finish_reason"] = FinishWord(answer.finish_reason);
  return choice;
}

OrderedJson ModelJson(const ModelInfo& info, int64_t created) {
  return {{"id", info.name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "eyeshot"},
          {"max_model_len", info.context_tokens},
          {"eyeshot",
           {{"family", info.family},
            {"device", info.device},
            {"precision", info.precision},
            {"threads", info.threads},
            {"parameters", info.parameters},
            {"has_vision", info.has_vision}}}};
}

struct ErrorKind {
  int status;
  std::string_view code;
};

ErrorKind KindOf(StatusCode code, RequestStep step) {
  switch (code) {
    case StatusCode::kContextFull: return {400, "context_length_exceeded"};
    case StatusCode::kOutOfMemory: return {503, "out_of_memory"};
    case StatusCode::kCancelled: return {503, step == RequestStep::kSubmit ? "shutting_down" : "timeout"};
    case StatusCode::kBusy: return {429, "queue_full"};
    case StatusCode::kLimitExceeded:
      return step == RequestStep::kMedia ? ErrorKind{413, "media_too_large"} : ErrorKind{400, "limit_exceeded"};
    case StatusCode::kUnsupported:
      return step == RequestStep::kMedia ? ErrorKind{415, "unsupported_media"} : ErrorKind{400, "unsupported"};
    case StatusCode::kCorrupt:
      return step == RequestStep::kMedia ? ErrorKind{422, "invalid_media"} : ErrorKind{400, "invalid_request"};
    case StatusCode::kNotFound:
      return step == RequestStep::kMedia ? ErrorKind{422, "media_not_found"} : ErrorKind{400, "invalid_request"};
    case StatusCode::kIo: return step == RequestStep::kMedia ? ErrorKind{422, "media_not_read"} : ErrorKind{500, "io"};
    default: return {400, "invalid_request"};
  }
}

}  // namespace

HttpResponse ErrorReply(int status, std::string_view code, std::string_view message) {
  HttpResponse response{.status = status, .body = Dump(ErrorJson(status, code, message))};
  if (status == 429 || status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse ErrorReply(const Status& status, RequestStep step) {
  const ErrorKind kind = KindOf(status.code(), step);
  return ErrorReply(kind.status, kind.code, status.message());
}

std::string ReplyId(bool chat, uint64_t number) {
  return fmt::format("{}-{:016x}{:08x}", chat ? "chatcmpl" : "cmpl", SplitMix64(number), number & 0xFFFFFFFF);
}

std::string AnswerBody(const ReplyName& name, std::span<const Answer> answers, const ReplyTimes& times,
                       std::string_view budget) {
  OrderedJson reply = ReplyJson(name, false);
  OrderedJson choices = OrderedJson::array();
  for (size_t i = 0; i < answers.size(); ++i) choices.push_back(ChoiceJson(name, i, answers[i]));
  reply["choices"] = std::move(choices);
  reply["usage"] = UsageJson(answers, times, budget);
  return Dump(reply);
}

std::string FirstEvent(const ReplyName& name) {
  if (!name.chat) return {};
  return Event(ChunkJson(name, 0, {{"role", "assistant"}, {"content", ""}}, nullptr));
}

std::string TextEvent(const ReplyName& name, std::string_view text, size_t index) {
  return Event(ChunkJson(name, index, {{"content", text}}, nullptr));
}

std::string FinishEvent(const ReplyName& name, FinishReason reason, size_t index) {
  return Event(ChunkJson(name, index, OrderedJson::object(), FinishWord(reason)));
}

std::string UsageEvent(const ReplyName& name, std::span<const Answer> answers, const ReplyTimes& times,
                       std::string_view budget) {
  OrderedJson chunk = ReplyJson(name, true);
  chunk["choices"] = OrderedJson::array();
  chunk["usage"] = UsageJson(answers, times, budget);
  return Event(chunk);
}

std::string ErrorEvent(const Status& status) {
  const ErrorKind kind = KindOf(status.code(), RequestStep::kRun);
  return Event(ErrorJson(kind.status, kind.code, status.message()));
}

std::string ModelsBody(const ModelInfo& info, int64_t created) {
  return Dump({{"object", "list"}, {"data", OrderedJson::array({ModelJson(info, created)})}});
}

std::string ModelBody(const ModelInfo& info, int64_t created) { return Dump(ModelJson(info, created)); }

std::string TokensBody(std::span<const int32_t> ids, int64_t context_tokens) {
  return Dump({{"count", ids.size()},
               {"max_model_len", context_tokens},
               {"tokens", std::vector<int32_t>(ids.begin(), ids.end())}});
}

std::string Quoted(std::string_view text) { return Dump(text); }

}  // namespace eyeshot::server
