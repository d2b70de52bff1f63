// A set of questions with the true answers, as `eyeshot eval` takes it.
#ifndef EYESHOT_CLI_QUESTION_SET_H_
#define EYESHOT_CLI_QUESTION_SET_H_

#include <map>
#include <string>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::cli {

struct EvalQuestion {
  std::string id;
  std::vector<std::string> images;  // paths
  bool video = false;               // the images are frames, one a second
  std::string question;
  std::string answer;
  std::string task;  // "" where the set has none
};

// A JSON object a line: id, images (relative to the file's folder), video, question, answer, task; id, video and
// task may be missing. Errors name the line.
Result<std::vector<EvalQuestion>> LoadQuestionSet(const std::string& path);

// A JSON object: the answer of another engine by question id.
Result<std::map<std::string, std::string>> LoadAnswers(const std::string& path);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_QUESTION_SET_H_
