#include "server/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace eyeshot::server {

void Generation::Start(std::vector<GenerateRequest> requests) {
  for (size_t i = 0; i < requests.size(); ++i) choices_.emplace_back();
  exchange_->Attach(shared_from_this());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!Submit(choices_[i], std::move(requests[i]))) return;
  }
}

bool Generation::Submit(Choice& choice, GenerateRequest request) {
  const std::shared_ptr<Generation> self = shared_from_this();
  request.on_text = [self, &choice](std::string_view text) { self->PushText(choice, text); };
  request.on_done = [self, &choice](Result<Answer> answer) { self->Finish(choice, std::move(answer)); };
  choice.number = services_.company.Begin();
  const Result<uint64_t> id = services_.scheduler.Submit(std::move(request));
  bool cancelled = false;
  {
    const std::lock_guard<std::mutex> turn(turn_);
    if (id.ok()) choice.id = *id;
    if (!id.ok()) refusal_ = id.status();
    cancelled = cancelled_;
  }
  if (!id.ok()) {
    services_.company.End(choice.number);
    CancelAll();
    exchange_->Notify();
    return false;
  }
  if (cancelled) services_.scheduler.Cancel(*id);
  return !cancelled;
}

void Generation::PushText(Choice& choice, std::string_view text) noexcept {
  if (choice.first_text_ns.load(std::memory_order_relaxed) == 0) {
    choice.first_text_ns.store(std::chrono::nanoseconds(Clock::now() - options_.arrived).count(),
                               std::memory_order_relaxed);
  }
  if (!options_.stream) return;  // the answer has all of it
  choice.pipe.Push(text);
  exchange_->Notify();
}

void Generation::Finish(Choice& choice, Result<Answer> result) {
  {
    const std::lock_guard<std::mutex> turn(turn_);
    choice.result = std::move(result);
    choice.ended = Clock::now();
    choice.alone = services_.company.End(choice.number);
  }
  exchange_->Notify();
}

void Generation::CancelAll() {
  std::vector<uint64_t> ids;
  {
    const std::lock_guard<std::mutex> turn(turn_);
    cancelled_ = true;
    for (const Choice& choice : choices_) {
      if (choice.id) ids.push_back(*choice.id);
    }
  }
  for (const uint64_t id : ids) services_.scheduler.Cancel(id);
}

std::optional<Status> Generation::Refusal() {
  const std::lock_guard<std::mutex> turn(turn_);
  return refusal_;
}

Result<Answer>* Generation::ResultOf(Choice& choice) {
  const std::lock_guard<std::mutex> turn(turn_);
  return choice.result ? &*choice.result : nullptr;
}

void Generation::OnGone() { CancelAll(); }

void Generation::Pump(HttpExchange& exchange) {
  if (over_) return;
  if (const std::optional<Status> refusal = Refusal()) return Fail(exchange, *refusal, RequestStep::kSubmit);
  bool all = true;
  for (size_t i = 0; i < choices_.size(); ++i) {
    Choice& choice = choices_[i];
    // In this order: when the result is there, so is all of its text.
    Result<Answer>* const result = ResultOf(choice);
    if (options_.stream) WriteText(exchange, i, choice.pipe.Take());
    all = all && result != nullptr;
    if (result == nullptr || std::exchange(choice.finished, true)) continue;
    const Status ended = EndChoice(exchange, i, *result);
    if (!ended.ok()) return Fail(exchange, ended, RequestStep::kRun);
  }
  if (all) EndReply(exchange);
}

// An error ends the whole reply.
Status Generation::EndChoice(HttpExchange& exchange, size_t index, Result<Answer>& result) {
  if (!result.ok()) return result.status();
  if (index == 0) result->ledger.Add(options_.media_ledger);
  Account(index, *result);
  if (result->finish_reason == FinishReason::kCancelled) {
    return {StatusCode::kCancelled, "the answer took too long",
            options_.stream ? "ask for less" : "ask for less, or with \"stream\": true"};
  }
  if (!options_.stream) return Status::Ok();
  BeginStream(exchange);
  // What the pipe had no room for.
  const size_t sent = choices_[index].sent_bytes;
  if (sent < result->text.size()) WriteText(exchange, index, std::string_view(result->text).substr(sent));
  exchange.Write(FinishEvent(options_.name, result->finish_reason, index));
  return Status::Ok();
}

void Generation::EndReply(HttpExchange& exchange) {
  over_ = true;
  std::vector<Answer> answers;
  for (Choice& choice : choices_) answers.push_back(std::move(**choice.result));
  if (!options_.stream) return exchange.Send({.body = AnswerBody(options_.name, answers, Times(), budget_)});
  if (options_.include_usage) exchange.Write(UsageEvent(options_.name, answers, Times(), budget_));
  exchange.Write(kDoneEvent);
  exchange.End();
}

void Generation::Fail(HttpExchange& exchange, const Status& status, RequestStep step) {
  over_ = true;
  CancelAll();
  if (!begun_) return exchange.Send(ErrorReply(status, step));
  exchange.Write(ErrorEvent(status));
  exchange.Write(kDoneEvent);
  exchange.End();
}

void Generation::BeginStream(HttpExchange& exchange) {
  if (std::exchange(begun_, true)) return;
  exchange.Begin(
      {.content_type = "text/event-stream", .headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}});
  exchange.Write(FirstEvent(options_.name));
}

void Generation::WriteText(HttpExchange& exchange, size_t index, std::string_view text) {
  if (text.empty()) return;
  BeginStream(exchange);
  exchange.Write(TextEvent(options_.name, text, index));
  choices_[index].sent_bytes += text.size();
}

double Generation::SecondsSinceArrival(Clock::time_point when) const {
  return std::chrono::duration<double>(when - options_.arrived).count();
}

ReplyTimes Generation::TimesOf(const Choice& choice) const {
  const double total_ms = SecondsSinceArrival(choice.ended) * 1e3;
  const int64_t first_ns = choice.first_text_ns.load(std::memory_order_relaxed);
  return {.first_token_ms = first_ns == 0 ? total_ms : static_cast<double>(first_ns) * 1e-6, .total_ms = total_ms};
}

// From the first token of any choice to the end of the last.
ReplyTimes Generation::Times() const {
  ReplyTimes times = TimesOf(choices_.front());
  for (const Choice& choice : choices_) {
    const ReplyTimes own = TimesOf(choice);
    times.first_token_ms = std::min(times.first_token_ms, own.first_token_ms);
    times.total_ms = std::max(times.total_ms, own.total_ms);
  }
  return times;
}

void Generation::Account(size_t index, const Answer& answer) {
  const ReplyTimes times = TimesOf(choices_[index]);
  const auto gaps = static_cast<double>(answer.completion_tokens - 1);
  services_.metrics.CountAnswer({.first_token = times.first_token_ms * 1e-3,
                                 .per_token = gaps > 0 ? (times.total_ms - times.first_token_ms) * 1e-3 / gaps : -1.0,
                                 .total = times.total_ms * 1e-3,
                                 .encode = static_cast<double>(answer.ledger.cost(StageId::kEncode).wall_ns) * 1e-9});
  if (index == 0) services_.metrics.AddMedia(options_.media_ledger);
  LogAnswer(index, answer);
  Observe(choices_[index], answer);
}

void Generation::Observe(const Choice& choice, const Answer& answer) {
  if (!options_.planned || answer.finish_reason == FinishReason::kCancelled) return;
  const std::string off = options_.planned->planner->Observe(options_.planned->plan, answer, choice.alone);
  budget_ = options_.planned->Json(off);
  if (!off.empty() && services_.log) services_.log(fmt::format("{} {}; later plans heed it", options_.name.id, off));
}

void Generation::LogAnswer(size_t index, const Answer& answer) const {
  if (!services_.log) return;
  const ReplyTimes times = TimesOf(choices_[index]);
  const std::string choice = choices_.size() > 1 ? fmt::format("[{}]", index) : "";
  std::string line = fmt::format(
      "{}{} prompt={} cached={} visual={} answer={} finish={} first_ms={:.1f} total_ms={:.1f}", options_.name.id,
      choice, answer.prompt_tokens, answer.cached_tokens, answer.visual_tokens, answer.completion_tokens,
      FinishReasonName(answer.finish_reason), times.first_token_ms, times.total_ms);
  if (options_.planned) {
    const plan::QuestionPlan& plan = options_.planned->plan;
    line += fmt::format(" detail={} reduce={} planned_ms={:.1f}", PictureDetailName(plan.detail), plan.reduce,
                        plan.cost.seconds() * 1e3);
  }
  if (services_.log_text) {
    const std::string question = index < options_.questions.size() ? options_.questions[index] : "";
    line += fmt::format(" question={} answer_text={}", Quoted(question), Quoted(answer.text));
  }
  services_.log(line);
}

}  // namespace eyeshot::server
