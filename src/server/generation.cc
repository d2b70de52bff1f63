#include "server/generation.h"

#include <fmt/format.h>

#include <utility>

namespace eyeshot::server {

void Generation::Start(GenerateRequest request) {
  const std::shared_ptr<Generation> self = shared_from_this();
  request.on_text = [self](std::string_view text) { self->PushText(text); };
  request.on_done = [self](Result<Answer> answer) { self->Finish(std::move(answer)); };
  exchange_->Attach(self);
  number_ = services_.company.Begin();
  const Result<uint64_t> id = services_.scheduler.Submit(std::move(request));
  if (!id.ok()) {
    services_.company.End(number_);
    exchange_->Send(ErrorReply(id.status(), RequestStep::kSubmit));
    return;
  }
  bool gone = false;
  {
    const std::lock_guard<std::mutex> turn(turn_);
    id_ = *id;
    gone = gone_;
  }
  if (gone) services_.scheduler.Cancel(*id);
}

void Generation::PushText(std::string_view text) noexcept {
  if (first_text_ns_.load(std::memory_order_relaxed) == 0) {
    first_text_ns_.store(std::chrono::nanoseconds(Clock::now() - options_.arrived).count(), std::memory_order_relaxed);
  }
  if (!options_.stream) return;  // the answer has all of it
  pipe_.Push(text);
  exchange_->Notify();
}

void Generation::Finish(Result<Answer> answer) {
  {
    const std::lock_guard<std::mutex> turn(turn_);
    answer_ = std::move(answer);
    ended_ = Clock::now();
    alone_ = services_.company.End(number_);
  }
  exchange_->Notify();
}

std::optional<Result<Answer>> Generation::TakeAnswer() {
  const std::lock_guard<std::mutex> turn(turn_);
  return std::exchange(answer_, std::nullopt);
}

void Generation::OnGone() {
  std::optional<uint64_t> id;
  {
    const std::lock_guard<std::mutex> turn(turn_);
    gone_ = true;
    id = id_;
  }
  if (id) services_.scheduler.Cancel(*id);
}

void Generation::Pump(HttpExchange& exchange) {
  if (over_) return;
  // In this order: when the answer is there, so is all of its text.
  std::optional<Result<Answer>> answer = TakeAnswer();
  if (answer && answer->ok()) (*answer)->ledger.Add(options_.media_ledger);
  if (options_.stream) WriteText(exchange, pipe_.Take());
  if (!answer) return;
  over_ = true;
  if (answer->ok()) Account(**answer);
  if (options_.stream && (begun_ || answer->ok())) {
    EndStream(exchange, *answer);
  } else {
    Reply(exchange, *answer);
  }
}

void Generation::BeginStream(HttpExchange& exchange) {
  if (std::exchange(begun_, true)) return;
  exchange.Begin(
      {.content_type = "text/event-stream", .headers = {{"Cache-Control", "no-store"}, {"X-Accel-Buffering", "no"}}});
  exchange.Write(FirstEvent(options_.name));
}

void Generation::WriteText(HttpExchange& exchange, std::string_view text) {
  if (text.empty()) return;
  BeginStream(exchange);
  exchange.Write(TextEvent(options_.name, text));
  sent_bytes_ += text.size();
}

void Generation::EndStream(HttpExchange& exchange, const Result<Answer>& answer) {
  BeginStream(exchange);
  // What the pipe had no room for.
  if (answer.ok() && sent_bytes_ < answer->text.size()) {
    WriteText(exchange, std::string_view(answer->text).substr(sent_bytes_));
  }
  const bool timed_out = answer.ok() && answer->finish_reason == FinishReason::kCancelled;
  if (!answer.ok() || timed_out) {
    exchange.Write(ErrorEvent(answer.ok() ? Status(StatusCode::kCancelled, "the answer took too long", "ask for less")
                                          : answer.status()));
  } else {
    exchange.Write(FinishEvent(options_.name, answer->finish_reason));
    if (options_.include_usage) exchange.Write(UsageEvent(options_.name, *answer, Times(), budget_));
  }
  exchange.Write(kDoneEvent);
  exchange.End();
}

void Generation::Reply(HttpExchange& exchange, const Result<Answer>& answer) {
  if (!answer.ok()) return exchange.Send(ErrorReply(answer.status(), RequestStep::kRun));
  if (answer->finish_reason == FinishReason::kCancelled) {
    return exchange.Send(
        ErrorReply(Status(StatusCode::kCancelled, "the answer took too long", "ask for less, or with \"stream\": true"),
                   RequestStep::kRun));
  }
  exchange.Send({.body = AnswerBody(options_.name, *answer, Times(), budget_)});
}

double Generation::SecondsSinceArrival(Clock::time_point when) const {
  return std::chrono::duration<double>(when - options_.arrived).count();
}

ReplyTimes Generation::Times() const {
  const double total_ms = SecondsSinceArrival(ended_) * 1e3;
  const int64_t first_ns = first_text_ns_.load(std::memory_order_relaxed);
  return {.first_token_ms = first_ns == 0 ? total_ms : static_cast<double>(first_ns) * 1e-6, .total_ms = total_ms};
}

void Generation::Account(const Answer& answer) {
  const ReplyTimes times = Times();
  const auto gaps = static_cast<double>(answer.completion_tokens - 1);
  services_.metrics.CountAnswer({.first_token = times.first_token_ms * 1e-3,
                                 .per_token = gaps > 0 ? (times.total_ms - times.first_token_ms) * 1e-3 / gaps : -1.0,
                                 .total = times.total_ms * 1e-3,
                                 .encode = static_cast<double>(answer.ledger.cost(StageId::kEncode).wall_ns) * 1e-9});
  services_.metrics.AddMedia(options_.media_ledger);
  LogAnswer(answer);
  Observe(answer);
}

void Generation::Observe(const Answer& answer) {
  if (!options_.planned || answer.finish_reason == FinishReason::kCancelled) return;
  const std::string off = options_.planned->planner->Observe(options_.planned->plan, answer, alone_);
  budget_ = options_.planned->Json(off);
  if (!off.empty() && services_.log) services_.log(fmt::format("{} {}; later plans heed it", options_.name.id, off));
}

void Generation::LogAnswer(const Answer& answer) const {
  if (!services_.log) return;
  const ReplyTimes times = Times();
  std::string line = fmt::format("{} prompt={} cached={} visual={} answer={} finish={} first_ms={:.1f} total_ms={:.1f}",
                                 options_.name.id, answer.prompt_tokens, answer.cached_tokens, answer.visual_tokens,
                                 answer.completion_tokens, FinishReasonName(answer.finish_reason), times.first_token_ms,
                                 times.total_ms);
  if (options_.planned) {
    const plan::QuestionPlan& plan = options_.planned->plan;
    line += fmt::format(" detail={} reduce={} planned_ms={:.1f}", PictureDetailName(plan.detail), plan.reduce,
                        plan.cost.seconds() * 1e3);
  }
  if (services_.log_text) {
    line += fmt::format(" question={} answer_text={}", Quoted(options_.question), Quoted(answer.text));
  }
  services_.log(line);
}

}  // namespace eyeshot::server
