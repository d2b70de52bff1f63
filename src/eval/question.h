// A question of a set, with what a scorer and a prompt need.
#ifndef EYESHOT_EVAL_QUESTION_H_
#define EYESHOT_EVAL_QUESTION_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eyeshot::eval {

// A file, or the base64 text of one inside the set's own file, which QuestionSet keeps mapped.
struct Picture {
  std::string path;
  std::string_view base64;  // empty: `path` names a file

  bool operator==(const Picture&) const = default;
};

struct Question {
  std::string id;
  std::vector<Picture> pictures;
  bool video = false;  // the pictures are frames, one a second
  std::string clip;    // path of a video; "": none
  std::string question;
  std::vector<std::string> answers;  // the true ones: one or more
  std::string task;                  // or category; "" where the set has none
  std::string group;                 // of tasks ("l2-category"); "": none
  std::string hint;                  // stands before a question with choices
  std::vector<std::pair<char, std::string>> choices;  // 'A' and its text, ...
  std::optional<std::string> recorded;  // what some engine answered, in files of logged answers
};

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_QUESTION_H_
