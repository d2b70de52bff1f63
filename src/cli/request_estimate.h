// What a question would take, asked of a loaded model: for the server's estimates.
#ifndef EYESHOT_CLI_REQUEST_ESTIMATE_H_
#define EYESHOT_CLI_REQUEST_ESTIMATE_H_

#include <memory>
#include <string>

#include "eyeshot/engine.h"
#include "models/model.h"
#include "runtime/conversation.h"
#include "server/estimate.h"
#include "server/request_plan.h"

namespace eyeshot::cli {

// Counts tiles and tokens by the code that prepares requests; milliseconds come from the planner's cost model, and what
// it has learned of this machine. Thread-safe.
class RequestEstimator {
 public:
  RequestEstimator(std::shared_ptr<Engine> engine, server::RequestPlanner planner);

  // Errors: those of Scheduler::Submit() about the prompt, and of server::PlanWorkload() about a budget.
  Result<server::Estimate> Of(const server::EstimateRequest& request) const;

 private:
  // Why there is none, or a prediction.
  std::string Predict(const server::EstimateRequest& request, const AskOptions& options, Conversation& conversation,
                      server::Estimate& estimate) const;

  std::shared_ptr<Engine> engine_;
  const VisionLanguageModel& model_;
  const server::RequestPlanner planner_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_REQUEST_ESTIMATE_H_
