#include "server/request_plan.h"

#include <utility>

#include "base/error.h"

namespace eyeshot::server {

Status NoRequestPlanner() {
  return UnsupportedError("this server plans no budgets",
                          "leave the budget out, and say detail, or tokens a tile in reduce");
}

Result<std::optional<PlannedRequest>> PlanRequest(const RequestPlanner& planner,
                                                  const std::optional<plan::QuestionLimit>& limit,
                                                  std::span<const Message> messages, AskOptions& options) {
  if (!limit) return std::optional<PlannedRequest>();
  plan::Workload workload = plan::EmptyWorkload(options);
  for (const Message& message : messages) plan::AddParts(message.parts, workload);
  return PlanWorkload(planner, *limit, workload, options);
}

Result<std::optional<PlannedRequest>> PlanWorkload(const RequestPlanner& planner, const plan::QuestionLimit& limit,
                                                   const plan::Workload& workload, AskOptions& options) {
  const char* const key = limit.of_keep ? "reduce" : "budget";
  if (!plan::NeedsPlan(limit, workload, options)) return std::optional<PlannedRequest>();
  if (!planner.ok()) return planner.status().At(key);
  Result<plan::QuestionPlan> plan = (*planner)->Plan(limit, workload, options);
  if (!plan.ok()) return plan.status().At(key);
  return std::optional(PlannedRequest{*planner, *std::move(plan)});
}

}  // namespace eyeshot::server
