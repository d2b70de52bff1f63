#include "plan/auto.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "base/error.h"

namespace eyeshot::plan {
namespace {

// Of a run: shorter stages are mostly the clock's and the scheduler's.
constexpr double kLeastShare = 0.02;

double Ms(const Ledger& ledger) { return static_cast<double>(ledger.total_wall_ns()) / 1e6; }

// Which of two ways to look at pictures is the better one (PlanFor()).
class Ranking {
 public:
  // `asked`: that tokens are dropped was asked for, and is no choice.
  Ranking(std::span<const Candidate> candidates, const Budget& budget, bool asked)
      : budget_(budget),
        asked_(asked),
        known_(std::any_of(candidates.begin(), candidates.end(), [](const Candidate& candidate) {
          return candidate.accuracy.evidence == Evidence::kMeasured;
        })) {}

  bool Better(const Candidate& a, const Candidate& b) const {
    const double share_a = BudgetShare(a.cost.ledger, budget_);
    const double share_b = BudgetShare(b.cost.ledger, budget_);
    const bool within = share_a <= 1;
    if (within != (share_b <= 1)) return within;
    const int trust = Trust(a, within);
    if (trust != Trust(b, within)) return trust > Trust(b, within);
    if (within && Worth(a) != Worth(b)) return Worth(a) > Worth(b);
    return share_a < share_b;
  }

 private:
  int Trust(const Candidate& candidate, bool within) const {
    if (asked_ || !candidate.variant.reduced()) return 1;
    const Accuracy& accuracy = candidate.accuracy;
    return within && accuracy.evidence == Evidence::kMeasured && !accuracy.carried ? 1 : 0;
  }
  double Worth(const Candidate& candidate) const {
    return known_ ? candidate.accuracy.value : static_cast<double>(candidate.cost.request.visual_tokens);
  }

  const Budget& budget_;
  bool asked_;
  bool known_;
};

std::string Why(const PicturePlan& plan, const Candidate& candidate, const Budget& budget, bool clip) {
  const Request& request = plan.cost.request;
  const std::string limit = BudgetText(budget);
  const std::string way =
      fmt::format("{} {}{}, {} visual token{}{}, {:.0f} ms planned", request.tiles, clip ? "frame" : "tile",
                  request.tiles == 1 ? "" : "s", request.visual_tokens, request.visual_tokens == 1 ? "" : "s",
                  plan.reduce == "none" ? "" : fmt::format(" ({})", plan.reduce), Ms(plan.cost.ledger));
  if (!plan.within) {
    return fmt::format("{}: the least there is{}, though more than {}", way, clip ? " of so many frames" : "", limit);
  }
  if (candidate.accuracy.evidence != Evidence::kMeasured)
    return fmt::format("{}: the most tokens within {}", way, limit);
  return fmt::format("{}: answers best within {}, {:.1f} % right ({}{})", way, limit, 100 * candidate.accuracy.value,
                     EvidenceName(candidate.accuracy.evidence), candidate.accuracy.carried ? " and law" : "");
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

Result<PicturePlan> PlanFor(const ModelAtHand& model, const Workload& workload, const LoadedAs& loaded,
                            const Place& place, const Budget& budget, Choices choices, const Knowledge& knowledge,
                            const StageWatch& watch) {
  choices.precisions = {{loaded.name, loaded.precision}};
  EYESHOT_ASSIGN_OR_RETURN(std::vector<Candidate> candidates,
                           CandidatesOf({&model, 1}, workload, choices, place, {}, knowledge));
  for (Candidate& candidate : candidates) candidate.cost.ledger = watch.Corrected(candidate.cost.ledger);
  EYESHOT_RETURN_IF_ERROR(CheckBudget(budget, candidates.front().cost.ledger));
  const Ranking ranking(candidates, budget, choices.base.reduced());
  const Candidate* best = candidates.data();
  for (const Candidate& candidate : candidates) {
    if (ranking.Better(candidate, *best)) best = &candidate;
  }
  PicturePlan plan{
      .detail = best->variant.detail, .reduce = choices.base.reduced() ? "none" : best->reduce(), .cost = best->cost};
  plan.within = BudgetShare(plan.cost.ledger, budget) <= 1;
  plan.cost.batch_s = plan.cost.seconds();
  plan.why = Why(plan, *best, budget, workload.pictures.empty());
  return plan;
}

}  // namespace eyeshot::plan
