// --budget: how pictures are looked at so that a question stays within milliseconds or joules.
#ifndef EYESHOT_CLI_PICTURE_BUDGET_H_
#define EYESHOT_CLI_PICTURE_BUDGET_H_

#include <memory>
#include <string>
#include <vector>

#include "cli/model_flags.h"
#include "cli/plan_speed.h"
#include "cli/report.h"
#include "eyeshot/engine.h"
#include "plan/auto.h"

namespace eyeshot::cli {

// Plans questions of one model on this machine's CPU, one after the other, and learns from what they took. Reads no
// weights: what is wrong with a budget is told before a model is loaded.
class PictureBudget {
 public:
  // An answer is planned to have so many tokens, or --max-tokens where that is less.
  static constexpr int64_t kAnswerTokens = 32;

  // `text` as of plan::ParseBudget. Errors: those of ParseBudget, ModelSource and FindSpeed; kUnsupported (a GPU by
  // --device, or a model of text alone).
  static Result<std::unique_ptr<PictureBudget>> Create(const std::string& text, const ModelFlags& flags);

  // The detail for the pictures of `parts`. Errors: kInvalidArgument (clips), those of plan::PlanFor.
  Result<PictureDetail> Plan(const std::vector<ContentPart>& parts, const AskOptions& options);
  // Compares the answer with what was planned: later plans heed it.
  void Observe(const Answer& answer);
  // What was off, in words; empty: nothing.
  const std::string& off() const { return off_; }

  const plan::PicturePlan& plan() const { return plan_; }
  const std::vector<std::string>& doubts() const { return speed_.doubts; }
  // {"detail", "within", "planned_ms", "why", "off"}
  OrderedJson ToJson() const;

 private:
  PictureBudget() = default;

  plan::Budget budget_;
  std::unique_ptr<Backend> backend_;
  FoundSpeed speed_;
  plan::ModelAtHand model_;
  ModelPrecision precision_;
  plan::StageWatch watch_;
  plan::PicturePlan plan_;
  std::string off_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PICTURE_BUDGET_H_
