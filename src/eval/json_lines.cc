// Sets of JSON lines: ours, documents as lmms-eval's tasks have them, and the samples that it logs.
#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "eval/python_text.h"
#include "eval/question_set.h"
#include "formats/json.h"

namespace eyeshot::eval {
namespace {

constexpr char kMendImages[] = "write \"images\": [\"a.png\"]";

// The first of several names under which a line may have something.
struct Found {
  const Json* value = nullptr;
  std::string key;
};

Found FindFirst(const JsonObject& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (const Json* value = object.Find(key)) return {value, key};
  }
  return {};
}

// Texts stay, numbers are written out: ids and answers are either.
std::optional<std::string> TextOf(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  return std::nullopt;
}

// A logged answer is a text in lists of one.
std::optional<std::string> FirstText(const Json& value) {
  const Json* inner = &value;
  while (inner->is_array() && !inner->empty()) inner = &inner->front();
  return inner->is_string() ? std::optional(inner->get<std::string>()) : std::nullopt;
}

// Reads one line. `doc` is the line itself, or the document in it.
class LineReader {
 public:
  LineReader(const JsonObject& line, const JsonObject& doc, const std::string& folder, size_t number)
      : line_(line), doc_(doc), folder_(folder), number_(number) {}

  Result<Question> Read() {
    const Found id = FindEither({"id", "question_id", "questionId", "index", "doc_id"});
    question_.id = id.value == nullptr ? std::to_string(number_) : TextOf(*id.value).value_or(id.value->dump());
    const Found asked = FindEither({"question", "input", "query"});
    if (asked.value == nullptr || !asked.value->is_string()) return doc_.String("question").status();
    question_.question = asked.value->get<std::string>();
    EYESHOT_RETURN_IF_ERROR(ReadPictures());
    EYESHOT_RETURN_IF_ERROR(ReadChoices());
    EYESHOT_RETURN_IF_ERROR(ReadAnswers());
    const Found task = FindEither({"task", "category", "question_type"});
    if (task.value != nullptr) question_.task = TextOf(*task.value).value_or("");
    const Found group = FindEither({"l2_category", "l2-category"});
    if (group.value != nullptr) question_.group = TextOf(*group.value).value_or("");
    const Found recorded = FindFirst(line_, {"filtered_resps", "resps", "prediction"});
    if (recorded.value != nullptr) question_.recorded = FirstText(*recorded.value);
    return std::move(question_);
  }

 private:
  // What is logged of a document is found in the line or in the document.
  Found FindEither(std::initializer_list<const char*> keys) const {
    const Found found = FindFirst(doc_, keys);
    return found.value != nullptr ? found : FindFirst(line_, keys);
  }

  std::string PathOf(const std::string& path) const { return path.starts_with('/') ? path : JoinPath(folder_, path); }

  Status ReadPictures() {
    EYESHOT_ASSIGN_OR_RETURN(question_.video, doc_.BoolOr("video", false));
    const Found found = FindEither({"images", "image", "image_path"});
    if (found.value == nullptr) return Status::Ok();
    const auto error = [&] { return doc_.Error(StatusCode::kCorrupt, found.key, "a list of paths", kMendImages); };
    // "images" is ours, and is a list; others write a path alone.
    if (found.value->is_string() && found.key != "images") {
      question_.pictures.push_back({PathOf(found.value->get<std::string>()), {}});
      return Status::Ok();
    }
    if (!found.value->is_array()) return error();
    if (found.value->size() > limits::kMaxFramesPerPrompt) {
      return LimitError(fmt::format("{}: {} pictures, more than kMaxFramesPerPrompt ({})", line_.file(),
                                    found.value->size(), limits::kMaxFramesPerPrompt),
                        "name fewer");
    }
    for (const Json& image : *found.value) {
      if (!image.is_string()) return error();
      question_.pictures.push_back({PathOf(image.get<std::string>()), {}});
    }
    return Status::Ok();
  }

  // A list, an object by letter, or a key for each letter.
  Status ReadChoices() {
    const Found found = FindEither({"options", "choices"});
    const auto error = [&] {
      return doc_.Error(StatusCode::kCorrupt, found.key, "up to 26 texts", R"(write "options": ["a", "b"])");
    };
    char letter = 'A';
    if (found.value != nullptr && (found.value->is_array() || found.value->is_object())) {
      for (const auto& [key, value] : found.value->items()) {
        const std::optional<std::string> text = TextOf(value);
        const bool keyed = found.value->is_object();
        if (keyed && (key.size() != 1 || key[0] < 'A' || key[0] > 'Z')) return error();
        if (!text || letter > 'Z') return error();
        question_.choices.emplace_back(keyed ? key[0] : letter, *text);
        ++letter;
      }
      from_list_ = found.value->is_array();
      return Status::Ok();
    }
    for (; letter <= 'Z'; ++letter) {
      const Json* value = doc_.Find(std::string(1, letter));
      if (value == nullptr) break;
      if (const std::optional<std::string> text = TextOf(*value)) question_.choices.emplace_back(letter, *text);
    }
    return Status::Ok();
  }

  Status ReadAnswers() {
    const Found found = FindEither({"answer", "answers", "target", "label"});
    if (found.value == nullptr) return doc_.String("answer").status();
    std::vector<std::string> answers;
    for (const Json& value : found.value->is_array() ? *found.value : Json::array({*found.value})) {
      const std::optional<std::string> text = TextOf(value);
      if (!text)
        return doc_.Error(StatusCode::kCorrupt, found.key, "a text, or a list of them", R"(write "answer": "a")");
      answers.push_back(*text);
    }
    // lmms-eval logs a list as Python prints it.
    if (found.key == "target" && answers.size() == 1) answers = ListItems(answers[0]).value_or(answers);
    if (answers.empty() || answers.size() > limits::kMaxTrueAnswers) {
      return doc_.Error(StatusCode::kLimitExceeded, found.key,
                        fmt::format("1 to kMaxTrueAnswers ({}) answers", limits::kMaxTrueAnswers), "leave some out");
    }
    if (from_list_) answers[0] = LetterOf(answers[0]);
    question_.answers = std::move(answers);
    return Status::Ok();
  }

  // Choices without letters are answered by their number.
  std::string LetterOf(const std::string& answer) const {
    size_t index = 0;
    const auto [end, error] = std::from_chars(answer.data(), answer.data() + answer.size(), index);
    const bool number = error == std::errc() && end == answer.data() + answer.size();
    return number && index < question_.choices.size() ? std::string(1, question_.choices[index].first) : answer;
  }

  const JsonObject& line_;
  const JsonObject& doc_;
  const std::string& folder_;
  size_t number_;
  bool from_list_ = false;
  Question question_;
};

Result<Question> ReadLine(std::string_view text, const std::string& where, const std::string& folder, size_t number) {
  if (text.size() > limits::kMaxQuestionBytes) {
    return LimitError(
        fmt::format("{}: {} bytes, more than kMaxQuestionBytes ({})", where, text.size(), limits::kMaxQuestionBytes),
        "keep pictures in files of their own, or in a .tsv");
  }
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, where));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject line, JsonObject::Root(tree, where));
  const Json* const inner = line.Find("doc");
  if (inner == nullptr || !inner->is_object()) return LineReader(line, line, folder, number).Read();
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject doc, line.Object("doc"));
  return LineReader(line, doc, folder, number).Read();
}

}  // namespace

Result<std::vector<Question>> ParseJsonLines(std::string_view text, const std::string& path) {
  std::vector<Question> questions;
  const std::string folder = FolderOf(path);
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    if (questions.size() == limits::kMaxQuestions) {
      return LimitError(fmt::format("{}: more than kMaxQuestions ({})", where, limits::kMaxQuestions), "cut the file");
    }
    EYESHOT_ASSIGN_OR_RETURN(Question question, ReadLine(line, where, folder, number));
    questions.push_back(std::move(question));
  }
  return questions;
}

}  // namespace eyeshot::eval
