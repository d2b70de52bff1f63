// `eyeshot eval` at work: question after question, at one point or at all points of a sweep.
#ifndef EYESHOT_CLI_EVAL_RUN_H_
#define EYESHOT_CLI_EVAL_RUN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/eval_settings.h"
#include "eval/question_set.h"
#include "eval/record.h"
#include "eval/scorers.h"
#include "eval/sweep.h"
#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

struct EvalJob {
  const eval::QuestionSet* set = nullptr;
  const eval::Scorer* scorer = nullptr;
  EvalSettings settings;
  std::vector<eval::SweepAxis> axes;  // CheckAxes()
  std::vector<eval::Point> points;    // of the axes
  std::string out;                    // a file of results; "": none
  bool names_models = false;          // EvalOutcome::infos are wanted
  bool recorded = false;              // scores the answers in the set, and asks nobody
};

struct EvalOutcome {
  std::vector<eval::Record> records;  // of all points, point after point
  ModelInfo info;                     // of the model loaded last; empty with `recorded`
  std::vector<ModelInfo> infos;       // of each point's model, with EvalJob::names_models
  Ledger ledger;                      // of what was asked now
  double seconds = 0;                 // the asking now
  size_t resumed = 0;                 // records that were in the file
  std::vector<std::string> governors;  // what each did, of what was asked now
};

// Asks what no record of the file answers. Errors: of files, models and questions (with the question's id);
// kCancelled. What was answered until then is in the file.
Result<EvalOutcome> RunEvaluation(const EvalJob& job);

// Those of the point job.points[index], in the set's order.
std::vector<const eval::Record*> RecordsAt(const EvalJob& job, const EvalOutcome& outcome, size_t index);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_EVAL_RUN_H_
