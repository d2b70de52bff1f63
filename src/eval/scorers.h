// How an answer is scored against the true ones. Each scorer gives what VLMEvalKit (snapshot e8e78f05) gives, where it
// has one; docs/eval.md names the functions, and what is odd about them.
#ifndef EYESHOT_EVAL_SCORERS_H_
#define EYESHOT_EVAL_SCORERS_H_

#include <span>
#include <string_view>

#include "eval/question.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

struct Scorer {
  std::string_view name;  // "exact", "anls", ...
  std::string_view what;  // a line for people
  bool share;             // each score is 0 or 1
  // In [0, 1]. REQUIRES: the question has an answer.
  double (*score)(const Question& question, std::string_view answer);
};

std::span<const Scorer> Scorers();
// Error: kInvalidArgument (lists the names).
Result<const Scorer*> FindScorer(std::string_view name);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_SCORERS_H_
