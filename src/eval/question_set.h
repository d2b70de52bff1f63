// Sets of questions with the true answers: our lines of JSON, the tables of VLMEvalKit, and lmms-eval's lines of JSON.
// docs/eval.md describes each.
#ifndef EYESHOT_EVAL_QUESTION_SET_H_
#define EYESHOT_EVAL_QUESTION_SET_H_

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "eval/question.h"
#include "eyeshot/chat.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

class QuestionSet {
 public:
  // By the file's name: ".tsv" is a table, all else lines of JSON. Errors name the line: kNotFound, kCorrupt,
  // kLimitExceeded, kInvalidArgument (no question in it, an id twice).
  static Result<QuestionSet> Load(const std::string& path);

  const std::string& path() const { return path_; }
  // Without folder and ending: what the data set is told by.
  std::string name() const;
  const std::vector<Question>& questions() const { return questions_; }
  // Some answers were recorded, and no question has a picture: nothing can be asked.
  bool is_log() const;
  // Keeps the first and then every `every`-th question, `limit` at most (0: all).
  void Thin(size_t every, size_t limit);
  // SHA-256 of what is asked and of the true answers; of pictures, their names or the length and the first characters
  // of their base64.
  std::string Digest() const;

 private:
  std::string path_;
  std::shared_ptr<const MappedFile> file_;  // what Picture::base64 points into
  std::vector<Question> questions_;
};

// Of the text of a file; views of the result point into it. `path` names it in errors, and its folder is where paths
// start from.
Result<std::vector<Question>> ParseTable(std::string_view text, const std::string& path);
Result<std::vector<Question>> ParseJsonLines(std::string_view text, const std::string& path);

// Reads and decodes a question's pictures or frames (one a second), or takes the frames of its clip as `video` says.
// Charges `decode_image`.
Result<std::vector<ContentPart>> ReadPictures(const Question& question, const DecodeOptions& decoding,
                                              const VideoOptions& video, Ledger& ledger);

// A JSON object: the answer of another engine by question id.
Result<std::map<std::string, std::string>> LoadAnswers(const std::string& path);

// "dir/" of "dir/name"; "." of a name alone.
std::string FolderOf(const std::string& path);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_QUESTION_SET_H_
