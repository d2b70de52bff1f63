// Requests with a budget: how their pictures and clips are looked at, planned before they are submitted.
#ifndef EYESHOT_SERVER_REQUEST_PLAN_H_
#define EYESHOT_SERVER_REQUEST_PLAN_H_

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "eyeshot/chat.h"
#include "eyeshot/engine.h"
#include "eyeshot/status.h"
#include "plan/question.h"

namespace eyeshot::server {

// What plans requests, from several threads; or why nothing does: the error of a request with a budget.
using RequestPlanner = Result<std::shared_ptr<plan::QuestionPlanner>>;
// Of a server that was started without one.
Status NoRequestPlanner();

// A request that was planned, and what planned it.
struct PlannedRequest {
  std::shared_ptr<plan::QuestionPlanner> planner;
  plan::QuestionPlan plan;

  // plan::QuestionPlanJson(), with what was off in the answer.
  std::string Json(std::string_view off) const { return QuestionPlanJson(plan, planner->here().doubts, off); }
};

// Says in `options` how the request keeps to its limit. Nothing: it has none, or shows nothing. The whole conversation
// counts, as if nothing of it were in a cache. Errors: those of the planner, and of plan::QuestionPlanner::Plan(); they
// name the key of the request.
Result<std::optional<PlannedRequest>> PlanRequest(const RequestPlanner& planner,
                                                  const std::optional<plan::QuestionLimit>& limit,
                                                  std::span<const Message> messages, AskOptions& options);
// The same for a workload.
Result<std::optional<PlannedRequest>> PlanWorkload(const RequestPlanner& planner, const plan::QuestionLimit& limit,
                                                   const plan::Workload& workload, AskOptions& options);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_REQUEST_PLAN_H_
