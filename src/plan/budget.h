// What a question may cost: milliseconds, joules, or both.
#ifndef EYESHOT_PLAN_BUDGET_H_
#define EYESHOT_PLAN_BUDGET_H_

#include <optional>
#include <string>
#include <string_view>

#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::plan {

// Of one question, until its answer ends. At least one of the two.
struct Budget {
  std::optional<double> ms;
  std::optional<double> joules;
};
// "500ms", "1.5s", "20J", "500ms,20J". Error: kInvalidArgument.
Result<Budget> ParseBudget(std::string_view text);
// "500 ms and 20 J"
std::string BudgetText(const Budget& budget);

// How much of the budget a ledger takes: 1 or less is within.
double BudgetShare(const Ledger& ledger, const Budget& budget);
// Error: kInvalidArgument (a budget of nothing; joules of an estimate that has none).
Status CheckBudget(const Budget& budget, const Ledger& estimate);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_BUDGET_H_
