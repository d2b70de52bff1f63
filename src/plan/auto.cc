#include "plan/auto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace eyeshot::plan {
namespace {

// Of a run: shorter stages are mostly the clock's and the scheduler's.
constexpr double kLeastShare = 0.02;

double Ms(const Ledger& ledger) { return static_cast<double>(ledger.total_wall_ns()) / 1e6; }

std::string Why(const PicturePlan& plan, const Budget& budget) {
  const Request& request = plan.cost.request;
  const std::string limit = BudgetText(budget);
  const std::string way =
      fmt::format("{} tile{}, {} visual token{}, {:.0f} ms planned", request.tiles, request.tiles == 1 ? "" : "s",
                  request.visual_tokens, request.visual_tokens == 1 ? "" : "s", Ms(plan.cost.ledger));
  return plan.within ? fmt::format("{}: the most tokens within {}", way, limit)
                     : fmt::format("{}: the least there is, though more than {}", way, limit);
}

}  // namespace

bool StageWatch::Observe(const Ledger& planned, const Ledger& measured, std::string* log) {
  bool changed = false;
  const auto least = static_cast<double>(measured.total_wall_ns()) * kLeastShare;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    const auto before = static_cast<double>(planned.cost(id).wall_ns);
    const auto now = static_cast<double>(measured.cost(id).wall_ns);
    if (before <= 0 || now < least || now <= 0) continue;
    const double ratio = now / before;
    if (std::abs(ratio - 1) <= kOff) continue;
    factors_[i] *= ratio;
    changed = true;
    if (log == nullptr) continue;
    *log += fmt::format("{}{} took {:.0f} ms and not {:.0f}", log->empty() ? "not as planned: " : "; ", StageName(id),
                        now / 1e6, before / 1e6);
  }
  return changed;
}

Ledger StageWatch::Corrected(const Ledger& estimate) const {
  Ledger corrected;
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    StageCost cost = estimate.cost(id);
    cost.wall_ns = static_cast<uint64_t>(static_cast<double>(cost.wall_ns) * factors_[i]);
    for (double* joules : {&cost.joules.value, &cost.joules.low, &cost.joules.high}) *joules *= factors_[i];
    const Joules joules = cost.joules;
    cost.joules = {};
    corrected.Add(id, cost);
    corrected.SetJoules(id, joules);
  }
  return corrected;
}

Result<PicturePlan> PlanFor(const ModelAtHand& model, const Workload& workload, const ModelPrecision& precision,
                            const Place& place, const Budget& budget, Choices choices, const StageWatch& watch) {
  choices.precisions = {{"", precision}};
  EYESHOT_ASSIGN_OR_RETURN(std::vector<Candidate> candidates,
                           CandidatesOf({&model, 1}, workload, choices, place, {}, Knowledge()));
  for (Candidate& candidate : candidates) candidate.cost.ledger = watch.Corrected(candidate.cost.ledger);
  EYESHOT_RETURN_IF_ERROR(CheckBudget(budget, candidates.front().cost.ledger));
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates) {
    if (best == nullptr) {
      best = &candidate;
      continue;
    }
    const double excess = BudgetShare(candidate.cost.ledger, budget);
    const double best_excess = BudgetShare(best->cost.ledger, budget);
    const int64_t tokens = candidate.cost.request.visual_tokens;
    const int64_t best_tokens = best->cost.request.visual_tokens;
    const bool both_within = excess <= 1 && best_excess <= 1;
    if (both_within && tokens != best_tokens ? tokens > best_tokens : excess < best_excess) best = &candidate;
  }
  PicturePlan plan{.detail = best->variant.detail, .keep = best->variant.keep, .cost = best->cost};
  plan.within = BudgetShare(plan.cost.ledger, budget) <= 1;
  plan.cost.batch_s = plan.cost.seconds();
  plan.why = Why(plan, budget);
  return plan;
}

}  // namespace eyeshot::plan
