#include "eval/question_set.h"

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "eval/base64.h"
#include "formats/json.h"
#include "ledger/stage.h"

namespace eyeshot::eval {
namespace {

constexpr double kFrameRate = 1;  // of sets whose pictures are frames
constexpr size_t kDigestCharacters = 256;  // of each picture's base64

Status CheckQuestions(const std::vector<Question>& questions, const std::string& path) {
  if (questions.empty()) {
    return InvalidArgumentError(
        fmt::format("{}: no question in it", path),
        R"(write a line like {"images": ["a.png"], "question": "...", "answer": "..."} for each)");
  }
  std::set<std::string_view> ids;
  for (const Question& question : questions) {
    if (ids.insert(question.id).second) continue;
    return InvalidArgumentError(fmt::format("{}: the id '{}' stands twice", path, question.id),
                                "give each question an id of its own");
  }
  return Status::Ok();
}

Result<Image> ReadImage(const Picture& picture, const std::string& id, const DecodeOptions& decoding, Stage& stage) {
  std::vector<uint8_t> bytes;
  std::string name = picture.path;
  if (picture.base64.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(bytes, ReadFile(picture.path, limits::kMaxImageBytes));
  } else {
    name = fmt::format("picture of question {}", id);
    EYESHOT_ASSIGN_OR_RETURN(bytes, DecodeBase64(picture.base64, name));
  }
  EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(bytes, name, decoding));
  stage.AddBytes(bytes.size() + image.rgb.size());
  return image;
}

}  // namespace

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

Result<QuestionSet> QuestionSet::Load(const std::string& path) {
  QuestionSet set;
  set.path_ = path;
  EYESHOT_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path, limits::kMaxQuestionSetBytes));
  set.file_ = std::make_shared<const MappedFile>(std::move(file));
  const std::string_view text = set.file_->text();
  Result<std::vector<Question>> questions =
      path.ends_with(".tsv") ? ParseTable(text, path) : ParseJsonLines(text, path);
  if (!questions.ok()) return questions.status();
  set.questions_ = *std::move(questions);
  // Pictures are read again one by one.
  set.file_->Release(0, text.size());
  EYESHOT_RETURN_IF_ERROR(CheckQuestions(set.questions_, path));
  return set;
}

std::string QuestionSet::name() const {
  const std::string file = path_.substr(path_.rfind('/') + 1);
  return file.substr(0, file.rfind('.'));
}

bool QuestionSet::is_log() const {
  const auto only_logged = [](const Question& q) { return q.recorded && q.pictures.empty() && q.clip.empty(); };
  return std::all_of(questions_.begin(), questions_.end(), only_logged);
}

void QuestionSet::Thin(size_t every, size_t limit) {
  std::vector<Question> kept;
  for (size_t i = 0; i < questions_.size() && (limit == 0 || kept.size() < limit); i += every) {
    kept.push_back(std::move(questions_[i]));
  }
  questions_ = std::move(kept);
}

std::string QuestionSet::Digest() const {
  Sha256 hash;
  const auto add = [&](std::string_view text) {
    const std::string sized = fmt::format("{}:{}\n", text.size(), text);
    hash.Update({reinterpret_cast<const uint8_t*>(sized.data()), sized.size()});
  };
  for (const Question& question : questions_) {
    for (const std::string* text : {&question.id, &question.question, &question.clip, &question.hint}) add(*text);
    for (const std::string& answer : question.answers) add(answer);
    for (const auto& [letter, text] : question.choices) add(fmt::format("{}{}", letter, text));
    for (const Picture& picture : question.pictures) {
      add(picture.path);
      add(fmt::format("{}", picture.base64.size()));
      add(picture.base64.substr(0, kDigestCharacters));
    }
    add(question.recorded.value_or(""));
  }
  std::string hex;
  for (const uint8_t byte : hash.Finish()) hex += fmt::format("{:02x}", byte);
  return hex;
}

Result<std::vector<ContentPart>> ReadPictures(const Question& question, const DecodeOptions& decoding,
                                              const VideoOptions& video, Ledger& ledger) {
  Stage stage(ledger, StageId::kDecodeImage);
  std::vector<ContentPart> parts;
  if (!question.clip.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(Frames clip, LoadVideo(question.clip, video));
    parts.emplace_back(std::make_shared<const Frames>(std::move(clip)));
    return parts;
  }
  std::vector<Image> images;
  for (const Picture& picture : question.pictures) {
    EYESHOT_ASSIGN_OR_RETURN(Image image, ReadImage(picture, question.id, decoding, stage));
    images.push_back(std::move(image));
  }
  if (question.video) {
    EYESHOT_ASSIGN_OR_RETURN(Frames clip, FramesFromImages(std::move(images), kFrameRate));
    parts.emplace_back(std::make_shared<const Frames>(std::move(clip)));
  } else {
    for (Image& image : images) parts.emplace_back(std::make_shared<const Image>(std::move(image)));
  }
  return parts;
}

Result<std::map<std::string, std::string>> LoadAnswers(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxAnswersBytes));
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

}  // namespace eyeshot::eval
