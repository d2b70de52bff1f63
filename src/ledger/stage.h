// Stage: the scope in which a stage of a run happens, noted in its ledger.
#ifndef EYESHOT_LEDGER_STAGE_H_
#define EYESHOT_LEDGER_STAGE_H_

#include <chrono>
#include <cstdint>
#include <span>

#include "eyeshot/ledger.h"

namespace eyeshot {

// Work that operations did, counted where they are enqueued.
struct OpCounters {
  uint64_t flops = 0;
  uint64_t bytes = 0;
};

// A queue of work whose stages are noted. Where work is done when it is enqueued, as on a CPU, this class is all that
// is needed. A device's queue derives from it: stages then overlap what the host does, and their time is the device's.
class StageQueue {
 public:
  virtual ~StageQueue() = default;
  OpCounters counters;

  // A stage begins with what is enqueued next. Doesn't wait.
  virtual void BeginStage() {}
  // It ends with what was enqueued last. Doesn't wait. True: the queue keeps the cost, until Collect() can say how
  // long the device was at it.
  virtual bool EndStage(StageId id, const StageCost& cost) {
    static_cast<void>(id);
    static_cast<void>(cost);
    return false;
  }
  // Adds the costs that were kept to `ledger`, and forgets them: of stages, in their order, that the device has done.
  virtual void Collect(Ledger& ledger) { static_cast<void>(ledger); }
};

// A stage whose cost a queue kept.
struct KeptStage {
  StageId id = StageId::kLoad;
  StageCost cost;
};
// The host waits for a device in the last of `stages`, also for what was enqueued by those before it: each is given
// what its device time exceeds its own wall time, out of the time that the last one did nothing but wait. The sum
// stays.
void ShareWaiting(std::span<KeptStage> stages);

// From construction to destruction (or Finish()), one run of stage `id`. Neither allocates nor locks.
// With `queue`, what its counters grew by in between is charged to the stage, and a device's time is taken.
class Stage {
 public:
  Stage(Ledger& ledger, StageId id, StageQueue* queue = nullptr)
      : ledger_(&ledger), id_(id), queue_(queue), start_(Clock::now()) {
    ledger.Begin(id);
    if (queue_ != nullptr) {
      before_ = queue_->counters;
      queue_->BeginStage();
    }
    cost_.runs = 1;
  }
  ~Stage() { Finish(); }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void AddBytes(uint64_t bytes) { cost_.bytes += bytes; }
  void AddFlops(uint64_t flops) { cost_.flops += flops; }
  void AddTokens(uint64_t tokens) { cost_.tokens += tokens; }

  // Ends the stage now. Later calls do nothing.
  void Finish() {
    if (ledger_ == nullptr) return;
    const auto elapsed = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start_);
    cost_.wall_ns = static_cast<uint64_t>(elapsed.count());
    if (queue_ != nullptr) {
      cost_.flops += queue_->counters.flops - before_.flops;
      cost_.bytes += queue_->counters.bytes - before_.bytes;
    }
    if (queue_ == nullptr || !queue_->EndStage(id_, cost_)) ledger_->Add(id_, cost_);
    const auto begin = std::chrono::duration_cast<std::chrono::nanoseconds>(start_.time_since_epoch());
    const auto begin_ns = static_cast<uint64_t>(begin.count());
    ledger_->AddRun({id_, begin_ns, begin_ns + cost_.wall_ns});
    ledger_ = nullptr;
  }

 private:
  using Clock = std::chrono::steady_clock;

  Ledger* ledger_;
  StageId id_;
  StageQueue* queue_;
  OpCounters before_;
  StageCost cost_;
  Clock::time_point start_;
};

}  // namespace eyeshot

#endif  // EYESHOT_LEDGER_STAGE_H_
