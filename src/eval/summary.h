// Records put together: scores by task, and what a question cost.
#ifndef EYESHOT_EVAL_SUMMARY_H_
#define EYESHOT_EVAL_SUMMARY_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "eval/record.h"
#include "eval/scorers.h"
#include "eval/statistics.h"

namespace eyeshot::eval {

inline constexpr uint64_t kDefaultSeed = 1;  // of intervals
// Of fewer pairs the drawn samples are too much alike: one question alone would always make a difference.
inline constexpr size_t kFewestPairs = 10;

struct Score {
  size_t questions = 0;
  size_t exact = 0;
  Interval score;
  Interval error_rate;  // characters: all edits over all characters, so that long answers weigh more
  // Means a question; 0 where nothing was asked.
  double ms = 0;
  double prompt_tokens = 0;
  double visual_tokens = 0;
  double completion_tokens = 0;
  // Of the sources that every question has; bounds are means of bounds.
  std::vector<Joules> joules;

  double ExactShare() const { return questions == 0 ? 0 : static_cast<double>(exact) / static_cast<double>(questions); }
};

Score Summarize(std::span<const Record* const> records, const Scorer& scorer, uint64_t seed);

struct Summary {
  Score total;
  std::map<std::string, Score> tasks;
  std::map<std::string, Score> groups;  // of tasks, where the set has them
};
Summary SummarizeByTask(std::span<const Record* const> records, const Scorer& scorer, uint64_t seed);

// Two files over the same questions.
struct Comparison {
  size_t questions = 0;  // that both have
  size_t only_a = 0;
  size_t only_b = 0;
  Interval a;
  Interval b;
  Interval difference;  // b - a, by pairs
  size_t better = 0;    // questions that b scores higher
  size_t worse = 0;
  std::map<std::string, Interval> tasks;  // differences, of tasks with kFewestPairs questions or more

  // Whether the interval leaves no doubt: 1 (b is better), -1 (a is), 0.
  int Verdict() const { return difference.low > 0 ? 1 : difference.high < 0 ? -1 : 0; }
};
Comparison Compare(std::span<const Record* const> a, std::span<const Record* const> b, const Scorer& scorer,
                   uint64_t seed);
// Compare().difference alone.
Interval Difference(std::span<const Record* const> a, std::span<const Record* const> b, uint64_t seed);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_SUMMARY_H_
