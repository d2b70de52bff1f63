// The scheduler: many conversations at a time with one loaded model. Answers are decoded side by side, prompts run in
// chunks and pictures in slices of the tower's layers between their steps, so that nobody's answer stalls; equal
// prefixes and equal pictures are computed once.
//
//   auto scheduler = eyeshot::Scheduler::Create(engine, {});
//   (*scheduler)->Submit({.messages = {eyeshot::Message::User({"Hello"})},
//                         .on_done = [](eyeshot::Result<eyeshot::Answer> answer) { ... }});
#ifndef EYESHOT_SCHEDULER_H_
#define EYESHOT_SCHEDULER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/engine.h"
#include "eyeshot/export.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot {

// A request that has ended.
struct RequestEnd {
  double seconds = 0;  // since it was submitted
  bool answered = false;  // false: an error, or it was cancelled
  bool last = false;      // no other is under way or waits
};

struct SchedulerOptions {
  int sequences = 8;            // answers that are decoded side by side, at most
  int64_t cache_tokens = 0;  // of the key/value cache that all share; 0: one full context, and 1,024 for each other
  size_t queue = 64;  // requests that wait, at most
  uint64_t image_cache_bytes = uint64_t{256} << 20;  // of encoded pictures that are kept for later requests; 0: none
  // How much longer than a decoding step alone a step may take where a slice of a prompt or picture goes with it.
  double slice_share = 1.0;
  // Where a device has queues that run side by side (a GPU): pictures are encoded beside steps of decoding and prompts,
  // which come first, instead of in slices between them. Not with phase_s or an observer of stages, which are about one
  // stage after the other.
  bool encode_beside = true;
  // More than 0: pictures and prompts don't take turns with steps of decoding, but gather until answers were decoded
  // for so long, and are then run to their first tokens while all answers wait. Clocks and threads that follow the
  // stage change seldom then; a first token comes up to so much later, and answers stall for as long as what has
  // gathered takes.
  double phase_s = 0;
  // Where sysfs is ("/sys"), whose counters give the joules of answers: the processor's or, of a GPU, its driver's.
  // What was taken between two readings is shared by work done. Empty: nothing is read.
  std::string energy_sysfs;
  StageObserver* stage_observer = nullptr;  // has to live as long; null: nobody
  // Called by the thread that tells the observer of stages, after on_done. Empty: nobody.
  std::function<void(const RequestEnd&)> on_request_end;
};

// A prompt as it is, without the model's chat template: its text, whose special tokens are read as such, or its ids.
// It has no pictures.
using RawPrompt = std::variant<std::string, std::vector<int32_t>>;

struct GenerateRequest {
  // The whole conversation. Where the last message is the assistant's, the answer goes on from it.
  std::vector<Message> messages;
  // Instead of messages, what the answer goes on from; the options about pictures and answer_start are not looked at.
  std::optional<RawPrompt> prompt;
  // on_text, on_progress, cancel and stage_observer are not looked at.
  AskOptions options;
  // Requests of one client wait behind one another; clients take turns. Empty: a client of its own.
  std::string client;
  std::optional<std::chrono::steady_clock::time_point> deadline;  // then it ends with kCancelled
  // Called by the scheduler's thread, and so may not block: each new piece of the answer, whole UTF-8 characters only.
  std::function<void(std::string_view)> on_text;
  // Called once by the scheduler's thread, as the last.
  std::function<void(Result<Answer>)> on_done;
};

// Since the scheduler began, and now.
struct SchedulerStats {
  int64_t waiting = 0;  // requests in the queue
  int64_t encoding = 0;  // admitted, not in decoding yet
  int64_t decoding = 0;
  int64_t cache_blocks = 0;  // of the key/value cache
  int64_t cache_blocks_used = 0;  // by requests that run
  uint64_t image_cache_bytes = 0;
  uint64_t image_cache_hits = 0;
  uint64_t image_cache_misses = 0;
  uint64_t prompt_tokens = 0;
  uint64_t prompt_tokens_cached = 0;  // that an earlier request's prefix had
  uint64_t completion_tokens = 0;
  uint64_t finished = 0;  // with an answer
  uint64_t failed = 0;  // with an error
  uint64_t cancelled = 0;
  uint64_t preempted = 0;  // put back for lack of room in the cache, and begun again
  uint64_t steps = 0;  // of decoding
  uint64_t step_tokens = 0;  // in them
  uint64_t steps_beside = 0;  // of them, while a device encoded pictures beside
  uint64_t switches = 0;  // from decoding to pictures and prompts, or back
  Joules idle_joules;  // that were counted while no request ran
  Ledger ledger;  // of all finished requests
};

// Thread-safety: all calls may come from any thread.
class EYESHOT_EXPORT Scheduler {
 public:
  // The engine must not be asked through chats of its own meanwhile: they would wait for one another. Errors:
  // kInvalidArgument (an option outside of its range), kOutOfMemory.
  static Result<std::unique_ptr<Scheduler>> Create(std::shared_ptr<Engine> engine, const SchedulerOptions& options);
  // Cancels what runs.
  virtual ~Scheduler() = default;

  // Queues a request; returns its number. Errors, in which case on_done is never called: kBusy (the queue is
  // full), kInvalidArgument (also messages and a prompt together, an id that is none of a text token), kContextFull (it
  // can never fit), kCancelled (draining), those of rendering the prompt.
  virtual Result<uint64_t> Submit(GenerateRequest request) = 0;
  // Ends it soon with FinishReason::kCancelled, or nothing if it has ended.
  virtual void Cancel(uint64_t id) = 0;
  // Takes no more requests; returns when all have ended, or false when `until` has passed.
  virtual bool Drain(std::chrono::steady_clock::time_point until) = 0;

  virtual SchedulerStats stats() const = 0;
  virtual const ModelInfo& info() const = 0;
};

}  // namespace eyeshot

#endif  // EYESHOT_SCHEDULER_H_
