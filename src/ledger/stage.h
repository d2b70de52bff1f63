// Stage: the scope in which a stage of a run happens, noted in its ledger.
#ifndef EYESHOT_LEDGER_STAGE_H_
#define EYESHOT_LEDGER_STAGE_H_

#include <chrono>
#include <cstdint>

#include "eyeshot/ledger.h"

namespace eyeshot {

// Work that operations did, counted where they are enqueued.
struct OpCounters {
  uint64_t flops = 0;
  uint64_t bytes = 0;
};

// From construction to destruction (or Finish()), one run of stage `id`. Neither allocates nor locks.
// With `counters`, what they grew by in between is charged to the stage.
class Stage {
 public:
  Stage(Ledger& ledger, StageId id, const OpCounters* counters = nullptr)
      : ledger_(&ledger), id_(id), counters_(counters), start_(Clock::now()) {
    if (counters_ != nullptr) before_ = *counters_;
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
    if (counters_ != nullptr) {
      cost_.flops += counters_->flops - before_.flops;
      cost_.bytes += counters_->bytes - before_.bytes;
    }
    ledger_->Add(id_, cost_);
    ledger_ = nullptr;
  }

 private:
  using Clock = std::chrono::steady_clock;

  Ledger* ledger_;
  StageId id_;
  const OpCounters* counters_;
  OpCounters before_;
  StageCost cost_;
  Clock::time_point start_;
};

}  // namespace eyeshot

#endif  // EYESHOT_LEDGER_STAGE_H_
