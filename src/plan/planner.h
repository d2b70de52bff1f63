// Chooses how a question is best asked: which model, at which detail, with how many visual tokens, in which precision,
// batch and clock; and says why.
//
// What a way costs comes from the cost model, or from a point that was measured with as many visual tokens. How well
// it answers comes from measured points first, from published tables second, from the scaling law last; each figure
// says from which. Where a point or table is of another number of visual tokens, the law carries it over: its exponents
// are of models that were trained for each number, so that it is a hint, not a promise.
#ifndef EYESHOT_PLAN_PLANNER_H_
#define EYESHOT_PLAN_PLANNER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"
#include "plan/cost.h"
#include "plan/law.h"
#include "plan/scores.h"

namespace eyeshot::plan {

enum class Goal { kTime, kJoules, kMemory, kPrice, kAccuracy };
std::string_view GoalName(Goal goal);  // "time", "joules", "memory", "price", "accuracy"
Result<Goal> ParseGoal(std::string_view text);

// The least of a cost, or the best accuracy; within limits.
struct Aim {
  Goal goal = Goal::kTime;
  double least_accuracy = 0;
  std::optional<double> most_ms;
  std::optional<double> most_joules;
  std::optional<double> most_bytes;
  std::optional<double> most_price;
};

// What a price is made of: of a machine's hour, and of energy. Both 0: prices are not known.
struct Prices {
  double hour = 0;
  double kwh = 0;
};

enum class Evidence { kMeasured, kPublished, kLaw };
std::string_view EvidenceName(Evidence evidence);  // "measured", "published", "law"

struct Accuracy {
  double value = 0;
  Evidence evidence = Evidence::kLaw;
  bool carried = false;  // by the law, from another number of visual tokens
  std::string from;  // "table 1 of ...": what it is of
};

struct Candidate {
  size_t model = 0;
  Variant variant;
  std::string precision;  // its name
  std::string reducer;  // of variant.keep or tower_keep; empty: none
  CostEstimate cost;
  Accuracy accuracy;
  double ms = 0;  // of one request of its batch, until all of the batch are answered
  bool ms_measured = false;
  std::optional<double> joules;
  bool joules_measured = false;
  std::optional<double> price;  // of 1,000 requests

  std::string reduce() const;  // "stride:16", "none"
};

// Of a reducer that works in the tower, by its name: the patches of a tile that are left behind each layer's attention
// where `keep` shall be left at the end. Empty: the reducer stands before the decoder.
using TowerPatches =
    std::function<std::vector<int64_t>(std::string_view reducer, const ModelConfig& config, int64_t keep)>;

// What is known of answers.
struct Knowledge {
  Task task = Task::kReasoning;
  ScalingLaw law;
  std::vector<MeasuredPoint> points;
  TowerPatches tower_patches;  // null: no reducer of `points` works in the tower
  std::string_view default_reducer = "stride";  // what drops tokens where no point says which does best
  PublishedScores published;
};

// Which ways are tried.
struct Choices {
  Variant base;  // what the lists below leave as it is
  std::vector<PictureDetail> details;  // empty: those of DefaultChoices() for each model
  std::vector<int64_t> keeps;  // the same; 0: all tokens of a tile; more than a tile has are left out
  std::vector<std::pair<std::string, ModelPrecision>> precisions;
  std::vector<int64_t> batches = {1};
  std::vector<double> clocks = {0};
};
// Every detail that makes another grid, all visual tokens and a quarter, a sixteenth, ... of them down to one. Which
// reducer drops them is the one that did best in points as near to the way as there are, of the same number of tokens.
Choices DefaultChoices(const ModelAtHand& model);

// How well a candidate answers.
Accuracy AccuracyOf(const ModelAtHand& model, std::string_view precision, const Variant& variant,
                    std::string_view reducer, double visual_tokens, double reference_tokens,
                    const Knowledge& knowledge);

// The points of a candidate's model, precision, detail and number of tokens, each of another reducer.
std::vector<const MeasuredPoint*> ReducersMeasured(const ModelAtHand& model, const Candidate& candidate,
                                                   const Knowledge& knowledge);

// Every way, but those that a model's context is too short for. Errors: those of EstimateCost; kLimitExceeded (too many
// ways).
Result<std::vector<Candidate>> CandidatesOf(std::span<const ModelAtHand> models, const Workload& workload,
                                            const Choices& choices, const Place& place, const Prices& prices,
                                            const Knowledge& knowledge);

// Why a candidate breaks the aim's limits, in words; empty: it doesn't.
std::string BreaksLimit(const Candidate& candidate, const Aim& aim);

// The best of the candidates. Errors: kNotFound (none is within the limits; says which one comes nearest),
// kInvalidArgument (the goal's cost isn't known).
Result<size_t> Choose(std::span<const Candidate> candidates, const Aim& aim);

// Indices of candidates that no other one beats in both time and accuracy, by time.
std::vector<size_t> ParetoFront(std::span<const Candidate> candidates);

// Why, in sentences: what decides the time, what the law says, what the next best ways would cost.
std::vector<std::string> Explain(std::span<const ModelAtHand> models, std::span<const Candidate> candidates,
                                 size_t chosen, const Aim& aim, const Workload& workload, const Knowledge& knowledge);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_PLANNER_H_
