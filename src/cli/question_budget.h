// --budget, and KEEP of --reduce in milliseconds or joules: how pictures are looked at so that a question stays within
// what it may cost.
#ifndef EYESHOT_CLI_QUESTION_BUDGET_H_
#define EYESHOT_CLI_QUESTION_BUDGET_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/model_flags.h"
#include "cli/plan_speed.h"
#include "cli/report.h"
#include "eyeshot/engine.h"
#include "plan/auto.h"
#include "plan/keep.h"
#include "reduce/reduce_spec.h"

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

// Plans questions of one model on this machine's CPU, one after the other, and learns from what they took. Reads no
// weights: what is wrong with a budget is told before a model is loaded.
class QuestionBudget {
 public:
  // An answer is planned to have so many tokens, or --max-tokens where that is less.
  static constexpr int64_t kAnswerTokens = 32;

  // Null: nothing has a budget, neither by --budget nor in `reduce` (AskOptions::reduce). Errors: those of ParseBudget,
  // ModelSource and FindSpeed; kInvalidArgument (both have one, or the view of the whole picture has one of its own),
  // kUnsupported (a GPU by --device, or a model of text alone).
  static Result<std::unique_ptr<QuestionBudget>> Create(const BudgetFlags& flags, const std::string& reduce,
                                                        const ModelFlags& model);

  // Says in `options` how the pictures of `parts` are looked at: the detail that keeps to --budget, or the number of
  // tokens that KEEP buys. Nothing is changed for a question without pictures. `history_tokens`: of earlier turns.
  // Errors: kUnsupported (the model runs on a GPU), kInvalidArgument (clips with --budget), those of plan::PlanFor and
  // KeepWithin.
  Status Plan(const std::vector<ContentPart>& parts, const ModelInfo& info, AskOptions& options,
              int64_t history_tokens = 0);
  // Compares the answer with what was planned: later plans heed it. Nothing without a plan.
  void Observe(const Answer& answer);
  // What was off, in words; empty: nothing.
  const std::string& off() const { return off_; }

  // What the last Plan() has decided and why, for people, with what speaks against it; empty: there was no picture.
  std::string Summary() const;
  // {"detail", "reduce", "within", "planned_ms", "planned_joules" (or null), "why", "off"}; null: as above.
  OrderedJson ToJson() const;

 private:
  // What the last question was planned to be.
  struct Planned {
    PictureDetail detail;
    std::string reduce;
    bool within = true;
    plan::CostEstimate cost;
    std::string why;
  };

  QuestionBudget() = default;
  Status FindModelAndSpeed(const ModelFlags& flags);
  Result<plan::Workload> WorkloadOf(const std::vector<ContentPart>& parts, const AskOptions& options) const;
  Status PlanDetail(const plan::Workload& workload, AskOptions& options);
  Status PlanKeep(const plan::Workload& workload, AskOptions& options);
  plan::Place place() const { return {.backend = backend_.get(), .speed = &speed_.speed, .watts = watts_}; }

  std::string flag_;  // which names the budget, for errors
  plan::Budget budget_;
  double watts_ = 0;
  ReduceSpec reduce_;  // with a budget, where --budget has none
  bool of_keep_ = false;
  std::unique_ptr<Backend> backend_;
  FoundSpeed speed_;
  plan::ModelAtHand model_;
  plan::LoadedAs loaded_;
  plan::Knowledge knowledge_;
  plan::StageWatch watch_;
  std::optional<Planned> planned_;
  std::string off_;
};

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_QUESTION_BUDGET_H_
