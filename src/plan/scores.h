// What is known of how well models answer: points that were measured here, and published tables.
#ifndef EYESHOT_PLAN_SCORES_H_
#define EYESHOT_PLAN_SCORES_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"
#include "plan/law.h"

namespace eyeshot::plan {

// "stride:16" is stride and 16; "none" is no name and 0. Error: kCorrupt.
struct Reduction {
  std::string name;
  int64_t keep = 0;

  bool operator==(const Reduction&) const = default;
};
Result<Reduction> ParseReduction(std::string_view text);

// One line of a sweep: a model run in one way over a set of questions.
struct MeasuredPoint {
  std::string model;
  std::string precision;            // "exact", "int8", "int8,int4", ...
  std::string detail;               // "reference", "low", "2", ...
  Reduction reduction;              // of a tile's tokens
  double score = 0;                 // of 1
  std::optional<double> ms;         // a question, on average
  std::optional<double> joules;
  std::optional<double> tokens;     // visual ones of a question, on average
  std::optional<Task> task;         // absent: it counts for both
};

// A JSON array of points, or one JSON object a line (docs/plan.md). Unknown keys are left alone.
// Errors: kCorrupt, kNotFound (a key), kLimitExceeded; with the number of the line or place.
Result<std::vector<MeasuredPoint>> ParsePoints(std::string_view text, const std::string& file);

// Published scores of one model, every visual token of the reference's grid kept.
struct PublishedScore {
  std::string name;
  double parameters_b = 0;  // of the decoder
  double reading = 0;       // means over tables
  double reasoning = 0;
  std::string reading_of;   // "OCRBench, TextVQA": the tables
  std::string reasoning_of;

  double Of(Task task) const { return task == Task::kReading ? reading : reasoning; }
  const std::string& TablesOf(Task task) const { return task == Task::kReading ? reading_of : reasoning_of; }
};
struct PublishedScores {
  std::vector<PublishedScore> models;

  // The model whose name stands in `name` but for upper case, and for the 2 of "SmolVLM2": the table is of both.
  // nullptr: none.
  const PublishedScore* Find(std::string_view name) const;
};
// The format of data/plan/smolvlm_scores.json. Errors as those of ParsePoints.
Result<PublishedScores> ParsePublishedScores(std::string_view text, const std::string& file);

}  // namespace eyeshot::plan

#endif  // EYESHOT_PLAN_SCORES_H_
