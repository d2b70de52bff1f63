#include "runtime/scheduler_request.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <variant>

#include "base/error.h"
#include "reduce/reduce_spec.h"
#include "reduce/reducer.h"
#include "runtime/engine_parts.h"

namespace eyeshot {
namespace {

// No token decodes to more bytes than this on average; a longer one makes the text grow, once.
constexpr size_t kBytesPerToken = 16;

// The last message's text, if it is the assistant's, which is then taken away. Error: kInvalidArgument.
Status TakeBeginning(std::vector<Message>& messages, std::string& beginning) {
  if (messages.empty() || messages.back().role != Role::kAssistant) return Status::Ok();
  for (const ContentPart& part : messages.back().parts) {
    const auto* const text = std::get_if<std::string>(&part);
    if (text == nullptr) return InvalidArgumentError("an answer that begins with a picture", "begin it with text");
    beginning += *text;
  }
  messages.pop_back();
  return Status::Ok();
}

}  // namespace

Result<bool> ScheduledRequest::PlanMessages(int64_t context, const VisualHash& salt) {
  const AskOptions& options = request.options;
  EYESHOT_ASSIGN_OR_RETURN(const ReduceSpec reduce, ParseReduceSpec(options.reduce));
  if (reduce.reducer != nullptr && reduce.reducer->counts_by_content) {
    return UnsupportedError(fmt::format("{} side by side with other requests: how many tokens each frame keeps shows "
                                        "only when it is encoded",
                                        options.reduce),
                            "use another reducer (stride)");
  }
  std::vector<Message> messages = std::move(request.messages);
  std::string beginning;
  EYESHOT_RETURN_IF_ERROR(TakeBeginning(messages, beginning));
  const bool goes_on = !beginning.empty();
  if (!goes_on) beginning = options.answer_start;
  if (messages.empty()) return InvalidArgumentError("the conversation is empty", "say something");
  if (options.question_first) PutTextsFirst(messages.back().parts);
  for (Message& message : messages) {
    EYESHOT_RETURN_IF_ERROR(conversation.Add(std::move(message), options.detail, reduce));
  }
  EYESHOT_RETURN_IF_ERROR(conversation.PlanToFit(options.detail, context, beginning).status());
  std::vector<Visual>& visuals = conversation.visuals();
  for (size_t i = 0; i < visuals.size(); ++i) {
    hashes.push_back(HashOf(visuals[i], salt));
    uint64_t key = 0;
    std::memcpy(&key, hashes.back().data(), sizeof(key));
    conversation.SetKey(i, key);
  }
  EYESHOT_ASSIGN_OR_RETURN(plan, conversation.Plan(beginning));
  return goes_on;
}

Status ScheduledRequest::Render(const VisionLanguageModel& model, int64_t context, const VisualHash& salt) {
  const AskOptions& options = request.options;
  EYESHOT_RETURN_IF_ERROR(CheckOptions(options));
  bool goes_on = request.prompt.has_value();
  if (goes_on && !request.messages.empty()) {
    return InvalidArgumentError("messages and a prompt together", "send one of them");
  }
  if (goes_on) {
    EYESHOT_ASSIGN_OR_RETURN(plan, conversation.PlanRaw(*request.prompt, context));
    request.prompt.reset();
  } else {
    EYESHOT_ASSIGN_OR_RETURN(goes_on, PlanMessages(context, salt));
  }
  limit = std::min<int64_t>(options.max_tokens, conversation.AnswerRoom(plan, context));
  prompt_tokens = static_cast<int64_t>(plan.ids.size());
  tokens.reserve(static_cast<size_t>(limit));
  text.emplace(options.stop, static_cast<size_t>(limit) * kBytesPerToken + 64, goes_on);
  answer.prompt_tokens = prompt_tokens;
  answer.visual_tokens = plan.visual_tokens;
  answer.tiles = plan.tiles;
  answer.context_tokens = context;
  AddPictureCosts(model, conversation.visuals(), answer.ledger);
  return Status::Ok();
}

void ScheduledRequest::AddShare(const Ledger& whole, double share) {
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto stage = static_cast<StageId>(i);
    StageCost cost = whole.cost(stage);
    if (cost.runs == 0) continue;
    const auto part = [&](uint64_t value) {
      return static_cast<uint64_t>(std::llround(static_cast<double>(value) * share));
    };
    const uint64_t took = std::max(cost.wall_ns, cost.device_ns);
    energy.AddWork(stage, static_cast<double>(took) * share);
    cost.wall_ns = part(took);
    cost.device_ns = part(cost.device_ns);
    cost.bytes = part(cost.bytes);
    cost.flops = part(cost.flops);
    cost.tokens = part(cost.tokens);
    answer.ledger.Add(stage, cost);
  }
}

}  // namespace eyeshot
