// Questions about pictures and clips that keep to a budget: what `ask --budget`, a KEEP of --reduce in milliseconds or
// joules, and requests to the server with a budget have in common.
#ifndef EYESHOT_PLAN_QUESTION_H_
#define EYESHOT_PLAN_QUESTION_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/engine.h"
#include "eyeshot/status.h"
#include "plan/auto.h"
#include "plan/budget.h"
#include "plan/cost.h"
#include "plan/planner.h"
#include "plan/speed.h"
#include "reduce/reduce_spec.h"

namespace eyeshot::plan {

// What a question may cost, and what is planned for it.
struct QuestionLimit {
  Budget budget;
  ReduceSpec reduce;     // AskOptions::reduce, as it was asked for
  bool of_keep = false;  // true: the budget is KEEP of `reduce`, and the detail stays as it is
};
// `budget` as ParseBudget() takes it, or empty; `reduce` as AskOptions::reduce. Nothing: neither has a budget. Errors:
// those of ParseBudget and ParseReduceSpec; kInvalidArgument (both have one, or the view of the whole picture has one
// of its own).
Result<std::optional<QuestionLimit>> LimitOf(std::string_view budget, std::string_view reduce);

// A model as it is loaded, on a CPU whose speed was measured.
struct ModelHere {
  ModelAtHand model;
  LoadedAs loaded;
  MachineSpeed speed;
  std::vector<std::string> doubts;  // why the speed may not hold
  double watts = 0;  // of the machine at work, as the user says it; 0: as `speed` knows
  Knowledge knowledge;  // of answers
};

// How a question is to be asked.
struct QuestionPlan {
  PictureDetail detail;
  std::string reduce;
  bool within = true;  // false: nothing is within the budget, and this is the least there is
  CostEstimate cost;
  std::string why;  // a sentence
  uint64_t state = 0;  // of what the planner had learned
};
// {"detail", "reduce", "within", "planned_ms", "planned_joules" (or null), "why", "doubts", "off"}: `doubts` are
// ModelHere::doubts, `off` what Observe() says of the answer, empty where there is none yet.
std::string QuestionPlanJson(const QuestionPlan& plan, std::span<const std::string> doubts, std::string_view off);

// An answer is planned to have so many tokens, or AskOptions::max_tokens where that is less.
inline constexpr int64_t kPlannedAnswerTokens = 32;

// A workload without pictures, with the answer that `options` may have.
Workload EmptyWorkload(const AskOptions& options);
// Adds what a message shows and says: pictures, clips with the frames that were taken of them, and the length of texts.
void AddParts(std::span<const ContentPart> parts, Workload& workload);
// Whether there is anything to plan. Where nothing is shown there is not: a KEEP that is a budget becomes "none".
bool NeedsPlan(const QuestionLimit& limit, const Workload& workload, AskOptions& options);

// Plans questions of one model, and learns from what they took. Thread-safe.
class QuestionPlanner {
 public:
  // `backend`, which says how weights and steps are laid out, must live longer.
  QuestionPlanner(const Backend& backend, ModelHere here) : backend_(backend), here_(std::move(here)) {}

  // Says in `options` how pictures and clips are looked at: the detail and the reducer that keep to the budget, or the
  // tokens that KEEP buys. A budget that nothing keeps to is answered by the least there is; a KEEP that buys not even
  // one token is an error. Errors: those of PlanFor and KeepWithin; kInvalidArgument (frames are to be compared, and
  // there are pictures). REQUIRES: NeedsPlan().
  Result<QuestionPlan> Plan(const QuestionLimit& limit, const Workload& workload, AskOptions& options) const;

  // Compares an answer with its plan, stage by stage; what was off (StageWatch::kOff) corrects later plans. Returns
  // what that was, in words; empty: nothing. Left out are stages whose work another than the planned one was, because
  // pictures or texts were in a cache, and decoding of answers that were not made `alone`: its steps are shared.
  std::string Observe(const QuestionPlan& plan, const Answer& answer, bool alone = true);

  // An estimate as it is when what was learned is heeded.
  Ledger Corrected(const Ledger& estimate) const;

  const ModelHere& here() const { return here_; }
  const Backend& backend() const { return backend_; }

 private:
  Result<QuestionPlan> PlanDetail(const QuestionLimit& limit, const Workload& workload, const StageWatch& watch,
                                  const AskOptions& options) const;
  Result<QuestionPlan> PlanKeep(const QuestionLimit& limit, const Workload& workload, const StageWatch& watch,
                                const AskOptions& options) const;
  Place place() const { return {.backend = &backend_, .speed = &here_.speed, .watts = here_.watts}; }

  const Backend& backend_;
  const ModelHere here_;
  mutable std::mutex turn_;  // of what follows
  StageWatch watch_;
  uint64_t state_ = 0;  // how often watch_ has changed
};

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_QUESTION_H_
