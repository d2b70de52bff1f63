// How many visual tokens of a tile a budget buys: `--reduce NAME:200ms`.
#ifndef EYESHOT_PLAN_KEEP_H_
#define EYESHOT_PLAN_KEEP_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "plan/auto.h"
#include "plan/budget.h"
#include "plan/cost.h"

namespace eyeshot::plan {

// What a reducer counts, and where it is.
struct KeepRange {
  int64_t most = 0;  // of a tile: visual tokens, or patches of a reducer in the tower
  // Of a reducer in the tower: the patches left behind each layer's attention where `keep` shall be left at the end.
  // Empty: the reducer stands before the decoder.
  std::function<std::vector<int64_t>(int64_t keep)> patches;
  // Tokens of all clips where `keep` of each frame shall be left; empty: just those.
  std::function<int64_t(int64_t keep)> clip_tokens;
  std::optional<int64_t> global;  // tokens of the view of a whole picture, 0: all; as the others without it
};

struct KeepPlan {
  int64_t keep = 0;    // 1 to KeepRange::most
  CostEstimate cost;   // of the whole question, corrected
  std::string why;     // "23 of 64 tokens a tile, 198 ms predicted: the most within 200 ms"
};

// The most that stays within the budget of the whole question: a reducer saves in stages that others share, so that a
// budget of the visual part alone would promise nothing that a user can see. Errors: those of EstimateCost and
// CheckBudget; kInvalidArgument (not even 1 is within: names what that is predicted to take, and which stage most).
// REQUIRES: pictures or clips in the workload, range.most >= 1.
Result<KeepPlan> KeepWithin(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                            const Place& place, const Budget& budget, const KeepRange& range, const StageWatch& watch);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_KEEP_H_
