// VLMEvalKit's tables: a row a question, pictures as base64 in the column `image` or as paths in `image_path`.
#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "eval/python_text.h"
#include "eval/question_set.h"
#include "eval/tsv.h"

namespace eyeshot::eval {
namespace {

// A shorter text in the column `image` is the index of a row that has the picture.
constexpr size_t kLongestReference = 64;

// What pandas reads as no value at all: VLMEvalKit drops a choice "None", and so a score that is to equal its own must.
bool IsMissing(std::string_view text) {
  constexpr std::string_view kMissing[] = {"",     "#N/A",   "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN",
                                           "-nan", "1.#IND", "1.#QNAN",  "<NA>", "N/A",     "NA",       "NULL",
                                           "NaN",  "None",   "n/a",      "nan",  "null"};
  return std::find(std::begin(kMissing), std::end(kMissing), text) != std::end(kMissing);
}

class TableReader {
 public:
  TableReader(std::string_view text, const std::string& path) : rows_(text, path), path_(path) {}

  Result<std::vector<Question>> Read() {
    EYESHOT_RETURN_IF_ERROR(ReadHead());
    std::vector<Question> questions;
    while (true) {
      EYESHOT_ASSIGN_OR_RETURN(const bool more, rows_.Next(row_));
      if (!more) break;
      if (questions.size() == limits::kMaxQuestions) {
        return LimitError(fmt::format("{}: more than kMaxQuestions ({})", rows_.Where(), limits::kMaxQuestions),
                          "cut the file");
      }
      EYESHOT_RETURN_IF_ERROR(CheckRow());
      EYESHOT_ASSIGN_OR_RETURN(Question question, ReadRow());
      index_.emplace(question.id, questions.size());
      questions.push_back(std::move(question));
    }
    EYESHOT_RETURN_IF_ERROR(FollowReferences(questions));
    return questions;
  }

 private:
  Status ReadHead() {
    EYESHOT_ASSIGN_OR_RETURN(const bool any, rows_.Next(row_));
    if (!any) return Status::Ok();
    width_ = row_.size();
    for (size_t i = 0; i < row_.size(); ++i) columns_.emplace(row_[i].Text(), i);
    for (const char* needed : {"index", "question", "answer"}) {
      if (columns_.contains(needed)) continue;
      return NotFoundError(fmt::format("{}: there is no column '{}'", rows_.Where(), needed),
                           "give a table of VLMEvalKit, whose first line names index, question, answer, image, ...");
    }
    return Status::Ok();
  }

  // Pictures have limits of their own; the rest is small.
  Status CheckRow() {
    if (row_.size() != width_) {
      return CorruptError(fmt::format("{}: {} fields, and the first line names {}", rows_.Where(), row_.size(), width_),
                          "quote fields that hold tabs or line breaks");
    }
    size_t bytes = 0;
    for (const auto& [name, column] : columns_) bytes += name == "image" ? 0 : row_[column].raw.size();
    if (bytes <= limits::kMaxQuestionBytes) return Status::Ok();
    return LimitError(fmt::format("{}: {} bytes of text, more than kMaxQuestionBytes ({})", rows_.Where(), bytes,
                                  limits::kMaxQuestionBytes),
                      "keep pictures in the column image");
  }

  const TsvField* Find(const std::string& name) const {
    const auto column = columns_.find(name);
    return column == columns_.end() ? nullptr : &row_[column->second];
  }

  // "" where the column or the value is missing.
  std::string TextOf(const std::string& name) const {
    const TsvField* const field = Find(name);
    std::string text = field == nullptr ? "" : field->Text();
    return IsMissing(text) ? "" : text;
  }

  std::string PathOf(const std::string& path) const {
    return path.starts_with('/') ? path : JoinPath(FolderOf(path_), path);
  }

  Result<Question> ReadRow() {
    Question question;
    question.id = Find("index")->Text();
    question.question = Find("question")->Text();
    const std::string answer = Find("answer")->Text();
    question.answers = ListItems(answer).value_or(std::vector<std::string>{answer});
    if (question.answers.empty() || question.answers.size() > limits::kMaxTrueAnswers) {
      return LimitError(fmt::format("{}: {} true answers", rows_.Where(), question.answers.size()),
                        fmt::format("give 1 to kMaxTrueAnswers ({})", limits::kMaxTrueAnswers));
    }
    question.task = TextOf(columns_.contains("category") ? "category" : "task_type");
    question.group = TextOf(columns_.contains("l2-category") ? "l2-category" : "duration");
    question.hint = TextOf("hint");
    ReadChoices(question);
    if (const TsvField* const recorded = Find("prediction")) question.recorded = recorded->Text();
    const std::string clip = TextOf("video_path");
    if (!clip.empty()) question.clip = PathOf(clip);
    EYESHOT_RETURN_IF_ERROR(ReadPictures(question));
    return question;
  }

  // A column a letter; Video-MME has a list of lines "A. ...", which stand in its prompt.
  void ReadChoices(Question& question) const {
    for (char letter = 'A'; letter <= 'Z'; ++letter) {
      std::string text = TextOf(std::string(1, letter));
      if (!text.empty()) question.choices.emplace_back(letter, std::move(text));
    }
    const std::vector<std::string> candidates = ListItems(TextOf("candidates")).value_or(std::vector<std::string>());
    for (size_t i = 0; i < candidates.size() && i < 26; ++i) {
      question.choices.emplace_back(static_cast<char>('A' + i), candidates[i]);
    }
  }

  Status ReadPictures(Question& question) const {
    const TsvField* const image = Find("image");
    if (image != nullptr && !image->raw.empty()) {
      std::string_view raw = image->raw;
      if (!raw.starts_with('[')) {
        question.pictures.push_back({"", raw});
        return Status::Ok();
      }
      return ReadList(raw, question);
    }
    const std::string paths = TextOf("image_path");
    if (paths.empty()) return Status::Ok();
    for (const std::string& path : ListItems(paths).value_or(std::vector<std::string>{paths})) {
      question.pictures.push_back({PathOf(path), {}});
    }
    return CheckPictures(question);
  }

  // A list as Python prints it, whose texts hold nothing that would be escaped.
  Status ReadList(std::string_view raw, Question& question) const {
    size_t at = 0;
    while ((at = raw.find_first_of("'\"", at)) != std::string_view::npos) {
      // Within a quoted field, double quotes are doubled.
      const char quote = raw[at];
      const size_t begin = raw.find_first_not_of(quote, at);
      const size_t end = std::min(raw.find(quote, begin), raw.size());
      if (begin == std::string_view::npos || end == raw.size()) {
        return CorruptError(fmt::format("{}: a list of pictures without end", rows_.Where()),
                            "write it as Python prints a list of texts");
      }
      question.pictures.push_back({"", raw.substr(begin, end - begin)});
      EYESHOT_RETURN_IF_ERROR(CheckPictures(question));
      at = raw.find_first_not_of(quote, end);
    }
    return Status::Ok();
  }

  Status CheckPictures(const Question& question) const {
    if (question.pictures.size() <= limits::kMaxImagesPerPrompt) return Status::Ok();
    return LimitError(fmt::format("{}: {} pictures, more than kMaxImagesPerPrompt ({})", rows_.Where(),
                                  question.pictures.size(), limits::kMaxImagesPerPrompt),
                      "give a question fewer");
  }

  // Rows that show the same picture say which row has it.
  Status FollowReferences(std::vector<Question>& questions) const {
    for (Question& question : questions) {
      if (question.pictures.size() != 1) continue;
      Picture& picture = question.pictures[0];
      if (picture.base64.empty() || picture.base64.size() > kLongestReference) continue;
      const auto row = index_.find(std::string(picture.base64));
      if (row == index_.end() || questions[row->second].pictures.empty() ||
          questions[row->second].pictures[0].base64.size() <= kLongestReference) {
        return CorruptError(fmt::format("{}: the picture of row {} is '{}', which is no row that has one", path_,
                                        question.id, picture.base64),
                            "put the picture in base64 or the index of a row with one there");
      }
      question.pictures = questions[row->second].pictures;
    }
    return Status::Ok();
  }

  TsvReader rows_;
  const std::string& path_;
  size_t width_ = 0;
  std::map<std::string, size_t> columns_;
  std::vector<TsvField> row_;
  std::map<std::string, size_t> index_;  // of questions, by id
};

}  // namespace

Result<std::vector<Question>> ParseTable(std::string_view text, const std::string& path) {
  return TableReader(text, path).Read();
}

}  // namespace eyeshot::eval
