// eyeshot eval: how many questions of a set are answered right.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/pictures.h"
#include "cli/progress.h"
#include "cli/question_set.h"
#include "cli/report.h"
#include "cli/text_distance.h"

namespace eyeshot::cli {
namespace {

constexpr double kVideoFps = 1;  // of sets whose images are frames

struct EvalFlags {
  std::string set;
  ModelFlags model;
  AskOptions options;
  bool jpeg_scaling = false;
  int64_t limit = 0;  // 0: all
  int64_t every = 1;
  std::string answers;
  std::string out;
  bool json = false;
};

struct Score {
  int64_t questions = 0;
  int64_t exact = 0;
  size_t edits = 0;       // between answers and true answers
  size_t characters = 0;  // of the true answers
  int64_t compared = 0;   // with another engine's answers
  int64_t equal = 0;

  double ExactShare() const { return questions == 0 ? 0 : static_cast<double>(exact) / static_cast<double>(questions); }
  // Micro-averaged: long answers weigh more.
  double ErrorRate() const {
    return characters == 0 ? 0 : static_cast<double>(edits) / static_cast<double>(characters);
  }
  double EqualShare() const { return compared == 0 ? 0 : static_cast<double>(equal) / static_cast<double>(compared); }
};

class Evaluation {
 public:
  explicit Evaluation(const EvalFlags& flags) : flags_(flags) {}
  Status Run();
  void Print() const;

 private:
  Status AskAll(Chat& chat);
  Result<Answer> AskOne(Chat& chat, const EvalQuestion& question, const Interrupt& interrupt);
  void Judge(const EvalQuestion& question, const Answer& answer);
  void ShowProgress(Progress& progress, size_t done) const;

  const EvalFlags& flags_;
  std::vector<EvalQuestion> questions_;
  std::map<std::string, std::string> others_;  // another engine's answers
  std::shared_ptr<Engine> engine_;
  std::map<std::string, Score> by_task_;
  Score total_;
  Ledger ledger_;
  std::string records_;  // JSON lines for --out
  std::chrono::steady_clock::time_point start_;
};

Status Evaluation::Run() {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<EvalQuestion> all, LoadQuestionSet(flags_.set));
  for (size_t i = 0; i < all.size(); i += static_cast<size_t>(flags_.every)) {
    if (flags_.limit > 0 && questions_.size() == static_cast<size_t>(flags_.limit)) break;
    questions_.push_back(all[i]);
  }
  if (!flags_.answers.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(others_, LoadAnswers(flags_.answers));
  }
  EYESHOT_ASSIGN_OR_RETURN(engine_, LoadEngine(flags_.model, false));
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Chat> chat, engine_->NewChat());
  EYESHOT_RETURN_IF_ERROR(AskAll(*chat));
  if (flags_.out.empty()) return Status::Ok();
  return WriteFile(flags_.out, {reinterpret_cast<const uint8_t*>(records_.data()), records_.size()});
}

Status Evaluation::AskAll(Chat& chat) {
  const Interrupt interrupt;
  Progress progress(true);
  start_ = std::chrono::steady_clock::now();
  for (size_t i = 0; i < questions_.size(); ++i) {
    ShowProgress(progress, i);
    Result<Answer> answer = AskOne(chat, questions_[i], interrupt);
    if (!answer.ok()) return answer.status().At(fmt::format("question {}", questions_[i].id));
    if (answer->finish_reason == FinishReason::kCancelled) {
      return CancelledError(fmt::format("cancelled at question {} of {}", i + 1, questions_.size()));
    }
    Judge(questions_[i], *answer);
  }
  return Status::Ok();
}

Result<Answer> Evaluation::AskOne(Chat& chat, const EvalQuestion& question, const Interrupt& interrupt) {
  chat.Reset();
  const DecodeOptions decoding = flags_.jpeg_scaling
                                     ? engine_->ScaledDecoding(DecodingDetail(flags_.options.detail, question.video))
                                     : DecodeOptions();
  EYESHOT_ASSIGN_OR_RETURN(std::vector<ContentPart> parts,
                           ReadPictureParts(question.images, decoding, question.video, kVideoFps, ledger_));
  parts.emplace_back(question.question);
  AskOptions options = flags_.options;
  options.cancel = interrupt.flag();
  return chat.Ask(std::move(parts), options);
}

void Evaluation::Judge(const EvalQuestion& question, const Answer& answer) {
  ledger_.Add(answer.ledger);
  const std::u32string said = Normalized(answer.text);
  const std::u32string truth = Normalized(question.answer);
  const bool exact = said == truth;
  const size_t edits = EditDistance(said, truth);
  const auto other = others_.find(question.id);
  for (Score* score : {&total_, &by_task_[question.task]}) {
    ++score->questions;
    score->exact += exact ? 1 : 0;
    score->edits += edits;
    score->characters += truth.size();
    if (other == others_.end()) continue;
    ++score->compared;
    score->equal += said == Normalized(other->second) ? 1 : 0;
  }
  if (flags_.out.empty()) return;
  const OrderedJson record = {{"id", question.id},
                              {"task", question.task},
                              {"question", question.question},
                              {"answer", answer.text},
                              {"truth", question.answer},
                              {"exact", exact},
                              {"edits", edits},
                              {"visual_tokens", answer.visual_tokens},
                              {"finish_reason", FinishReasonName(answer.finish_reason)}};
  records_ += record.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

void Evaluation::ShowProgress(Progress& progress, size_t done) const {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  const auto count = static_cast<double>(questions_.size());
  const double left = done == 0 ? 0 : passed.count() / static_cast<double>(done) * (count - static_cast<double>(done));
  progress.Show(fmt::format("{} of {}, {:.0f} s left", done, questions_.size(), left),
                static_cast<double>(done) / count);
}

OrderedJson ScoreJson(const Score& score) {
  OrderedJson json = {{"questions", score.questions},
                      {"exact", score.exact},
                      {"exact_match", score.ExactShare()},
                      {"character_error_rate", score.ErrorRate()}};
  if (score.compared > 0) json["agreement"] = score.EqualShare();
  return json;
}

void Evaluation::Print() const {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  const ModelInfo& info = engine_->info();
  if (flags_.json) {
    OrderedJson json = {{"set", flags_.set},           {"model", info.name},        {"device", info.device},
                        {"precision", info.precision}, {"seconds", passed.count()}, {"total", ScoreJson(total_)}};
    json["tasks"] = OrderedJson::object();
    for (const auto& [task, score] : by_task_) json["tasks"][task] = ScoreJson(score);
    json["stages"] = StagesJson(ledger_);
    PrintJson(json);
    return;
  }
  const bool compared = total_.compared > 0;
  const auto row = [&](const std::string& task, const Score& score) {
    fmt::print("{:<16}{:>10}{:>7}{:>8.1f} %{:>8.3f}", task, score.questions, score.exact, score.ExactShare() * 100,
               score.ErrorRate());
    fmt::print("{}\n", compared ? fmt::format("{:>10.1f} %", score.EqualShare() * 100) : "");
  };
  fmt::print("{:<16}{:>10}{:>7}{:>10}{:>8}{}\n", "task", "questions", "exact", "match", "CER",
             compared ? fmt::format("{:>12}", "agreement") : "");
  for (const auto& [task, score] : by_task_) row(task.empty() ? "-" : task, score);
  row("total", total_);
  fmt::print("{} ({}, {}, {} threads), {:.1f} s\n", info.name, info.precision, info.isa, info.threads, passed.count());
  fmt::print(stderr, "\n{}", ledger_.Table());
}

int RunEval(const EvalFlags& flags) {
  Evaluation evaluation(flags);
  if (const Status status = evaluation.Run(); !status.ok()) return ReportError(status, flags.json);
  evaluation.Print();
  return kExitOk;
}

}  // namespace

void AddEvalCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command = program.add_subcommand("eval", "Answer a set of questions and count what is right");
  SetUsage(*command, "eyeshot eval [OPTIONS] SET.jsonl");
  command->add_option("set", flags->set, "A JSON object a line: id, images, video, question, answer, task")
      ->required()
      ->type_name("SET.jsonl");
  AddModelFlags(*command, flags->model);
  AddGenerationFlags(*command, flags->options);
  AddJpegScalingFlag(*command, flags->jpeg_scaling);
  command->add_option("--every", flags->every, "Only the first and then every N-th question")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command->add_option("--limit", flags->limit, "At most N questions; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command->add_option("--answers", flags->answers, "Another engine's answers by id: also report how many are equal")
      ->type_name("FILE.json");
  command->add_option("--out", flags->out, "Write each question's answer, a JSON object a line")
      ->type_name("FILE.jsonl");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Exact match compares after collapsing white space; the character error rate (CER) is the edit
distance over the length of the true answers. Images are relative to the set's folder; with "video": true they
are frames, one a second.

Examples:
  eyeshot eval tests/data/eval/eval-dev/questions.jsonl
  eyeshot eval questions.jsonl --every 5 --answers reference-answers.json --out answers.jsonl --json)");
  command->callback([flags, &exit_code] { exit_code = RunEval(*flags); });
}

}  // namespace eyeshot::cli
