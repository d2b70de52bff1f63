// A request on its way through the scheduler.
#ifndef EYESHOT_RUNTIME_SCHEDULER_REQUEST_H_
#define EYESHOT_RUNTIME_SCHEDULER_REQUEST_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "energy/meters/live_shares.h"
#include "eyeshot/scheduler.h"
#include "models/model.h"
#include "runtime/answer_text.h"
#include "runtime/conversation.h"
#include "runtime/image_cache.h"
#include "runtime/kv_sequence.h"

namespace eyeshot {

struct ScheduledRequest {
  ScheduledRequest(uint64_t number, GenerateRequest asked, const VisionLanguageModel& model)
      : id(number), request(std::move(asked)), conversation(model) {}

  // Plans the prompt, names its pictures by what they show, and sets how long the answer may be. `salt` is the
  // process's. Errors: those of Scheduler::Submit().
  Status Render(const VisionLanguageModel& model, int64_t context, const VisualHash& salt);
  // The part of it for messages. True: the answer goes on from a text that the last of them began.
  Result<bool> PlanMessages(int64_t context, const VisualHash& salt);

  // Charges its part of what several have cost together, which is also its part of the work that counters of energy are
  // shared by. A stage that nobody waited for took as long as the device.
  void AddShare(const Ledger& whole, double share);

  uint64_t id;
  uint64_t submitted_ns = SteadyNowNs();
  GenerateRequest request;
  Conversation conversation;
  PromptPlan plan;  // after a preemption the tokens of the answer so far belong to it
  std::vector<VisualHash> hashes;  // of the conversation's visuals
  // Visuals that must be encoded: which of the conversation's, and its tiles.
  struct WaitingVisual {
    size_t index = 0;
    Tiles tiles;
  };
  std::vector<WaitingVisual> waiting;
  Status failure;  // of preprocessing
  std::unique_ptr<KvSequence> sequence;
  std::optional<AnswerText> text;
  Answer answer;
  EnergyAccount energy;
  std::vector<int32_t> tokens;  // of the answer
  int64_t limit = 0;  // of them
  int64_t prompt_tokens = 0;  // of the plan as it was asked
  std::vector<size_t> encoding;  // visuals that are in the encoder
  std::atomic<bool> cancelled{false};

  bool Expired(std::chrono::steady_clock::time_point now) const {
    return cancelled.load(std::memory_order_relaxed) || (request.deadline && now >= *request.deadline);
  }
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_SCHEDULER_REQUEST_H_
