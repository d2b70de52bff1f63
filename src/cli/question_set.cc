#include "cli/question_set.h"

#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "formats/json.h"

namespace eyeshot::cli {
namespace {

constexpr uint64_t kMaxSetBytes = uint64_t{1} << 30;  // of one file of questions or answers

// Ids are numbers in some sets and strings in others.
std::string IdText(const Json& id) { return id.is_string() ? id.get<std::string>() : id.dump(); }

Result<EvalQuestion> ParseQuestion(const Json& tree, const std::string& where, const std::string& dir, size_t line) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(tree, where));
  EvalQuestion question;
  const Json* id = object.Find("id");
  question.id = id == nullptr ? std::to_string(line) : IdText(*id);
  EYESHOT_ASSIGN_OR_RETURN(question.question, object.String("question"));
  EYESHOT_ASSIGN_OR_RETURN(question.answer, object.String("answer"));
  EYESHOT_ASSIGN_OR_RETURN(question.task, object.StringOr("task", ""));
  EYESHOT_ASSIGN_OR_RETURN(question.video, object.BoolOr("video", false));
  const Json* images = object.Find("images");
  if (images == nullptr) return question;
  if (!images->is_array()) {
    return object.Error(StatusCode::kCorrupt, "images", "a list of paths", "write \"images\": [\"a.png\"]");
  }
  for (const Json& image : *images) {
    if (!image.is_string()) {
      return object.Error(StatusCode::kCorrupt, "images", "a list of paths", "write \"images\": [\"a.png\"]");
    }
    const auto path = image.get<std::string>();
    question.images.push_back(path.starts_with('/') ? path : JoinPath(dir, path));
  }
  return question;
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

}  // namespace

Result<std::vector<EvalQuestion>> LoadQuestionSet(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxSetBytes));
  std::vector<EvalQuestion> questions;
  std::string_view rest = text;
  for (size_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(line, where));
    EYESHOT_ASSIGN_OR_RETURN(EvalQuestion question, ParseQuestion(tree, where, FolderOf(path), number));
    questions.push_back(std::move(question));
  }
  if (questions.empty()) {
    return InvalidArgumentError(
        fmt::format("{}: no question in it", path),
        R"(write a line like {"images": ["a.png"], "question": "...", "answer": "..."} for each)");
  }
  return questions;
}

Result<std::map<std::string, std::string>> LoadAnswers(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxSetBytes));
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(tree, path));
  std::map<std::string, std::string> answers;
  for (const auto& [id, answer] : tree.items()) {
    if (!answer.is_string()) {
      return object.Error(StatusCode::kCorrupt, id, "a text", R"(write {"ID": "answer", ...})");
    }
    answers[id] = answer.get<std::string>();
  }
  return answers;
}

}  // namespace eyeshot::cli
