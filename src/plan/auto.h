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

struct PicturePlan {
  PictureDetail detail;
  int64_t keep = 0;  // visual tokens of a tile that a reducer shall leave; 0: all
  CostEstimate cost;  // corrected
  bool within = false;  // false: nothing is within the budget, and this is the cheapest
  std::string why;  // a sentence
};

// The way of one model, loaded in one precision, that looks at the pictures with most visual tokens within the budget:
// whichever law holds, they cost accuracy when they are fewer. Of ways with equally many the cheapest. `choices` says
// which ways are tried, in this precision. Errors: those of EstimateCost and CheckBudget.
Result<PicturePlan> PlanFor(const ModelAtHand& model, const Workload& workload, const ModelPrecision& precision,
                            const Place& place, const Budget& budget, Choices choices, const StageWatch& watch);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_AUTO_H_
