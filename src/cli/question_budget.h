// --budget, and KEEP of --reduce in milliseconds or joules: how pictures and clips are looked at so that a question
// stays within what it may cost.
#ifndef EYESHOT_CLI_QUESTION_BUDGET_H_
#define EYESHOT_CLI_QUESTION_BUDGET_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/model_flags.h"
#include "cli/report.h"
#include "eyeshot/engine.h"
#include "kernels/backend.h"
#include "plan/question.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

struct BudgetFlags {
  std::string budget;  // of milliseconds or joules; empty: none
  double watts = 0;    // of this machine at work; 0: as calibration found it
  std::vector<std::string> points;  // files of what was measured, for `budget`
};

// --budget, --watts and --points, which exclude --detail of the same command.
void AddBudgetFlags(CLI::App& command, BudgetFlags& flags);
// --watts alone, for commands that have --reduce and no --budget.
void AddWattsFlag(CLI::App& command, double& watts);

// What plans questions of a model on this machine's CPU. Reads no weights: what is wrong with a budget is told before a
// model is loaded. `backend` must live as long as the planner. Errors: those of ModelSource, ReadPoints and FindSpeed.
Result<plan::ModelHere> FindModelHere(const ModelFlags& model, const Backend& backend, double watts,
                                      const std::vector<std::string>& points);

// Plans questions one after the other, and learns from what they took.
class QuestionBudget {
 public:
  // Null: nothing has a budget, neither by --budget nor in `reduce` (AskOptions::reduce). Errors: those of
  // plan::LimitOf and FindModelHere; kUnsupported (a GPU by --device, or a model of text alone).
  static Result<std::unique_ptr<QuestionBudget>> Create(const BudgetFlags& flags, const std::string& reduce,
                                                        const ModelFlags& model);

  // Says in `options` how the pictures and clips of `parts` are looked at (plan::QuestionPlanner::Plan()). Nothing is
  // changed for a question without any. `history_tokens`: of earlier turns. Errors: those of that, kUnsupported (the
  // model runs on a GPU).
  Status Plan(const std::vector<ContentPart>& parts, const ModelInfo& info, AskOptions& options,
              int64_t history_tokens = 0);
  // Compares the answer with what was planned: later plans heed it. Nothing without a plan.
  void Observe(const Answer& answer);
  // What was off, in words; empty: nothing.
  const std::string& off() const { return off_; }

  // What the last Plan() has decided and why, for people, with what speaks against it; empty: there was no picture.
  std::string Summary() const;
  // plan::QuestionPlanJson(); null: as above.
  OrderedJson ToJson() const;

 private:
  QuestionBudget() = default;

  std::string flag_;  // which names the budget, for errors
  plan::QuestionLimit limit_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<plan::QuestionPlanner> planner_;
  std::optional<plan::QuestionPlan> planned_;  // the last question
  std::string off_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_QUESTION_BUDGET_H_
