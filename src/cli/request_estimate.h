// What a question would take, asked of a loaded model: for the server's estimates.
#ifndef EYESHOT_CLI_REQUEST_ESTIMATE_H_
#define EYESHOT_CLI_REQUEST_ESTIMATE_H_

#include <memory>
#include <optional>
#include <string>

#include "cli/model_flags.h"
#include "cli/plan_speed.h"
#include "eyeshot/engine.h"
#include "models/model.h"
#include "plan/cost.h"
#include "runtime/conversation.h"
#include "server/estimate.h"

namespace eyeshot::cli {

// Counts tiles and tokens by the code that prepares requests; milliseconds come from the cost model, where this machine
// was measured (`eyeshot plan --calibrate`) before this object was made. Thread-safe.
class RequestEstimator {
 public:
  RequestEstimator(std::shared_ptr<Engine> engine, const ModelFlags& flags);

  // Errors: those of Scheduler::Submit() about the prompt.
  Result<server::Estimate> Of(const server::EstimateRequest& request) const;

 private:
  Status FindCosts(const ModelFlags& flags);
  // Why there is none, or a prediction.
  std::string Predict(const server::EstimateRequest& request, Conversation& conversation,
                      server::Estimate& estimate) const;

  std::shared_ptr<Engine> engine_;
  const VisionLanguageModel& model_;
  std::optional<FoundSpeed> speed_;
  std::string no_speed_;  // why there is none
  plan::ModelAtHand shapes_;
  ModelPrecision precision_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_REQUEST_ESTIMATE_H_
