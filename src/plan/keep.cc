#include "plan/keep.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace eyeshot::plan {
namespace {

double Ms(const Ledger& ledger) { return static_cast<double>(ledger.total_wall_ns()) / 1e6; }

// "612 ms" or "612 ms and 9.2 J", as the budget is said.
std::string Predicted(const Ledger& ledger, const Budget& budget) {
  Budget cost;
  if (budget.ms || !budget.joules) cost.ms = Ms(ledger);
  if (budget.joules) cost.joules = ledger.total_joules().value;
  return BudgetText(cost);
}

StageId Longest(const Ledger& ledger) {
  StageId longest = StageId::kEncode;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    if (ledger.cost(id).wall_ns > ledger.cost(longest).wall_ns) longest = id;
  }
  return longest;
}

Status NothingFits(const CostEstimate& least, const Budget& budget, const KeepRange& range) {
  const StageId stage = Longest(least.ledger);
  const double share = static_cast<double>(least.ledger.cost(stage).wall_ns) /
                       static_cast<double>(std::max<uint64_t>(1, least.ledger.total_wall_ns()));
  // In the words that flags and requests have in common.
  std::string mend = "allow more, or take fewer tiles (detail low) or frames";
  if (stage != StageId::kEncode) mend += ", or a shorter answer";
  if (stage == StageId::kEncode && !range.patches) mend += ", or tome, which alone makes the tower's work less";
  return InvalidArgumentError(
      fmt::format(
          "with a single {} of a tile or frame this question is predicted to take {}, {:.0f} % of it {}, and {} are "
          "allowed",
          range.patches ? "patch" : "visual token", Predicted(least.ledger, budget), 100 * share, StageName(stage),
          BudgetText(budget)),
      mend);
}

}  // namespace

Result<KeepPlan> KeepWithin(const ModelAtHand& model, const Workload& workload, const Variant& variant,
                            const Place& place, const Budget& budget, const KeepRange& range, const StageWatch& watch) {
  const auto cost_of = [&](int64_t keep) -> Result<CostEstimate> {
    Variant kept = variant;
    kept.keep = range.patches || keep == range.most ? 0 : keep;
    kept.keep_global = range.global;
    if (range.clip_tokens) kept.clip_tokens = range.clip_tokens(keep);
    kept.tower_keep = range.patches ? keep : 0;
    if (range.patches) kept.tower_patches = range.patches(keep);
    EYESHOT_ASSIGN_OR_RETURN(CostEstimate cost, EstimateCost(model, workload, kept, place));
    cost.ledger = watch.Corrected(cost.ledger);
    cost.batch_s = cost.seconds();
    return cost;
  };
  KeepPlan plan{.keep = 1};
  EYESHOT_ASSIGN_OR_RETURN(plan.cost, cost_of(1));
  EYESHOT_RETURN_IF_ERROR(CheckBudget(budget, plan.cost.ledger));
  if (BudgetShare(plan.cost.ledger, budget) > 1) return NothingFits(plan.cost, budget, range);
  int64_t beyond = range.most + 1;  // too many, in a search by halves: more tokens never cost less
  while (plan.keep + 1 < beyond) {
    // The first look is at all of them, which the context may be too short for.
    const int64_t middle = beyond > range.most ? range.most : (plan.keep + beyond) / 2;
    Result<CostEstimate> cost = cost_of(middle);
    if (!cost.ok() && cost.status().code() != StatusCode::kContextFull) return cost.status();
    if (cost.ok() && BudgetShare(cost->ledger, budget) <= 1) {
      plan.keep = middle;
      plan.cost = *std::move(cost);
    } else {
      beyond = middle;
    }
  }
  plan.why = fmt::format("{} of {} {} a {}, {} predicted: {} within {}", plan.keep, range.most,
                         range.patches ? "patches" : "tokens", workload.clips.empty() ? "tile" : "frame",
                         Predicted(plan.cost.ledger, budget), plan.keep == range.most ? "all are" : "the most",
                         BudgetText(budget));
  return plan;
}

}  // namespace eyeshot::plan
