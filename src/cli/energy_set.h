// Joules of a set of questions with the true answers: what a correct answer costs.
#ifndef EYESHOT_CLI_ENERGY_SET_H_
#define EYESHOT_CLI_ENERGY_SET_H_

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/energy_phases.h"
#include "cli/governor_flags.h"
#include "cli/question_budget.h"
#include "energy/meters/meter.h"
#include "energy/meters/phases.h"
#include "eval/question.h"
#include "eyeshot/engine.h"

namespace eyeshot::cli {

struct SetFigure {
  std::string path;
  size_t questions = 0;
  size_t exact = 0;    // answers that are the true ones, white space collapsed
  double seconds = 0;  // of one pass, pictures read and decoded
  std::vector<Repeated> joules;    // of one pass, by group; kNone: not known
  std::vector<std::string> notes;  // why not

  // Source kNone: nothing is known, or no answer is right.
  Joules PerCorrect(size_t group) const;
};

struct SetOptions {
  std::span<const std::unique_ptr<Meter>> meters;
  std::span<const MeterGroup> groups;
  int runs = 1;
  PictureDetail detail;
  std::string reduce = "none";  // AskOptions::reduce
  QuestionBudget* budget = nullptr;  // of its KEEP; null: none
  const std::atomic<bool>* cancel = nullptr;
  Governor* governor = nullptr;  // which is told of stages and ends; not null
};

// Asks all questions `runs` times, each in a conversation of its own, greedily, up to the model's own end. Errors:
// those of the files and of Ask(), with the question's id.
Result<SetFigure> MeasureSet(Engine& engine, const std::string& path, std::span<const eval::Question> questions,
                             const SetOptions& options);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_SET_H_
