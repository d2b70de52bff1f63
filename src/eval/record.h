// What one question gave: a line of a file of results.
#ifndef EYESHOT_EVAL_RECORD_H_
#define EYESHOT_EVAL_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "eval/question.h"
#include "eval/scorers.h"
#include "eyeshot/engine.h"
#include "eyeshot/ledger.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

using OrderedJson = nlohmann::ordered_json;

// A point of a sweep: what each axis is there. Empty without a sweep.
using Point = std::vector<std::pair<std::string, std::string>>;

struct Record {
  Point point;
  std::string id;
  std::string task;
  std::string group;
  std::string question;
  std::string answer;
  std::vector<std::string> truths;
  double score = 0;
  bool exact = false;     // is a true answer, white space collapsed
  size_t edits = 0;       // between the answer and the nearest true one
  size_t characters = 0;  // of that
  double ms = 0;          // from the pictures' files to the last token; 0: a recorded answer
  int64_t prompt_tokens = 0;
  int64_t visual_tokens = 0;
  int64_t completion_tokens = 0;
  std::string finish_reason;
  std::vector<std::pair<std::string, double>> stages_ms;
  std::vector<Joules> joules;  // by meters that were read, each of another source; never added up
};

// Scores an answer. Times, tokens and joules are the caller's.
Record Judge(const Question& question, std::string_view answer, const Scorer& scorer);
// Fills in what the model's answer cost. `ledger` is the question's, the decoding of pictures included.
void AddCost(const Answer& answer, const Ledger& ledger, double ms, Record& record);

OrderedJson RecordJson(const Record& record);
// Errors: kCorrupt, kNotFound; `where` is the line.
Result<Record> ParseRecord(std::string_view line, const std::string& where);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_RECORD_H_
