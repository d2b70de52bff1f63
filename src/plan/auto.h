// What `auto` asks: how to look at pictures so that an answer stays within a budget, planned again when the machine
// turns out slower or faster than it was thought to be.
#ifndef EYESHOT_PLAN_AUTO_H_
#define EYESHOT_PLAN_AUTO_H_

#include <array>
#include <string>

#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "plan/budget.h"
#include "plan/cost.h"
#include "plan/planner.h"

namespace eyeshot::plan {

// How much longer each stage takes than the cost model says, learned from runs.
class StageWatch {
 public:
  // A stage that is so much longer or shorter than it was planned makes the next plan another one.
  static constexpr double kOff = 0.2;

  // Takes the ledger of a run that was planned as `planned` says (by the same factors as are known now). Stages of
  // less than a fiftieth of the run are left alone. True: a stage was more than kOff off and its factor was changed;
  // `log` (may be null) then gets what happened, in words.
  bool Observe(const Ledger& planned, const Ledger& measured, std::string* log);

  double factor(StageId id) const { return factors_[static_cast<size_t>(id)]; }
  // The ledger of an estimate with every stage's time, and its joules with it, as factors say.
  Ledger Corrected(const Ledger& estimate) const;

 private:
  std::array<double, kStageCount> factors_ = {1, 1, 1, 1, 1, 1, 1, 1, 1};
};

// The precision that a model is loaded in, and what points call it.
struct LoadedAs {
  std::string name;
  ModelPrecision precision;
};

struct PicturePlan {
  PictureDetail detail;
  std::string reduce;  // "none", also where choices.base says it; or what a reducer shall leave: "stride:16"
  CostEstimate cost;  // corrected
  bool within = false;  // false: nothing is within the budget, and this is the cheapest
  std::string why;  // a sentence
};

// How one model, loaded in one precision, looks at pictures within a budget. `choices` says which ways are tried.
//
// Where points of the model were measured (Knowledge), the way that answers best by them; ways that drop tokens take
// part only if just they were measured, since no law says what a model loses by it that wasn't trained for it. Else
// the one with most visual tokens: whichever law holds, they cost accuracy when they are fewer; ways that drop tokens
// only where no number of tiles is within the budget. Of equal ways the cheapest. If nothing is within the budget, the
// cheapest that drops none.
// Errors: those of EstimateCost and CheckBudget.
Result<PicturePlan> PlanFor(const ModelAtHand& model, const Workload& workload, const LoadedAs& loaded,
                            const Place& place, const Budget& budget, Choices choices, const Knowledge& knowledge,
                            const StageWatch& watch);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_AUTO_H_
