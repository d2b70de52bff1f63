#include "plan/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace eyeshot::plan {
namespace {

Status ParsePart(std::string_view part, Budget& budget) {
  double value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  const std::string_view unit = part.substr(static_cast<size_t>(end - part.data()));
  if (error == std::errc() && std::isfinite(value) && value > 0) {
    if (unit == "ms") budget.ms = value;
    if (unit == "s") budget.ms = 1e3 * value;
    if (unit == "J") budget.joules = value;
    if (unit == "ms" || unit == "s" || unit == "J") return Status::Ok();
  }
  return InvalidArgumentError(fmt::format("the budget '{}'", part), "write 500ms, 1.5s, 20J or 500ms,20J");
}

}  // namespace

Result<Budget> ParseBudget(std::string_view text) {
  Budget budget;
  while (true) {
    const size_t comma = std::min(text.find(','), text.size());
    EYESHOT_RETURN_IF_ERROR(ParsePart(text.substr(0, comma), budget));
    if (comma == text.size()) return budget;
    text.remove_prefix(comma + 1);
  }
}

std::string BudgetText(const Budget& budget) {
  std::string text;
  if (budget.ms) text += *budget.ms >= 10 ? fmt::format("{:.0f} ms", *budget.ms) : fmt::format("{:.3g} ms", *budget.ms);
  if (budget.joules) text += fmt::format("{}{:.3g} J", text.empty() ? "" : " and ", *budget.joules);
  return text;
}

double BudgetShare(const Ledger& ledger, const Budget& budget) {
  double share = 0;
  if (budget.ms) share = std::max(share, static_cast<double>(ledger.total_wall_ns()) / 1e6 / *budget.ms);
  if (budget.joules) share = std::max(share, ledger.total_joules().value / *budget.joules);
  return share;
}

Status CheckBudget(const Budget& budget, const Ledger& estimate) {
  if (!budget.ms && !budget.joules) return InvalidArgumentError("a budget of nothing", "give milliseconds or joules");
  if (budget.joules && estimate.total_joules().value <= 0) {
    return InvalidArgumentError("a budget in joules, and the power of this machine is not known",
                                "give a budget in milliseconds, say the machine's power at work with --watts, or "
                                "calibrate where RAPL can be read");
  }
  return Status::Ok();
}

}  // namespace eyeshot::plan
