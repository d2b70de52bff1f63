// eyeshot chat: a conversation about pictures or a video, a line a turn.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "cli/clips.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/pictures.h"
#include "cli/progress.h"
#include "cli/question_budget.h"
#include "cli/report.h"

namespace eyeshot::cli {
namespace {

constexpr const char* kHelp = R"(/image FILE  show a picture or a video with the next question
/reset       forget the conversation
/stats       the stages of the last answer
/help        this list
/quit        end (so does Ctrl-D); Ctrl-C stops an answer)";

struct ChatFlags {
  std::vector<std::string> pictures;
  ModelFlags model;
  GovernorFlags governor;
  AskOptions options;
  BudgetFlags budget;
  std::string system;
  bool jpeg_scaling = false;
  ClipFlags clip;
  bool quiet = false;
};

// One conversation with the person (or pipe) at standard input.
class ChatLoop {
 public:
  // `budget` may be null.
  ChatLoop(const ChatFlags& flags, const GovernedEngine& loaded, Chat& chat, QuestionBudget* budget)
      : flags_(flags),
        engine_(*loaded.engine),
        chat_(chat),
        governor_(*loaded.governor),
        budget_(budget),
        interactive_(isatty(STDIN_FILENO) == 1) {}

  // Reads pictures or clips that go with the next question.
  Status Show(const std::vector<std::string>& paths);
  // Returns the exit code.
  int Run();

 private:
  // False to end.
  bool Handle(const std::string& line);
  Status Ask(const std::string& question);
  Status KeepToBudget(const std::vector<ContentPart>& parts, AskOptions& options);
  void PrintStats() const;

  const ChatFlags& flags_;
  Engine& engine_;
  Chat& chat_;
  Governor& governor_;
  QuestionBudget* budget_;
  bool interactive_;
  Interrupt interrupt_;
  std::vector<ContentPart> pending_;  // pictures and clips that go with the next question
  Ledger ledger_;                     // of the next question: decoding of pictures
  Answer last_;
  int64_t history_tokens_ = 0;        // of all turns: in the cache
  int exit_code_ = kExitOk;
};

Status ChatLoop::Show(const std::vector<std::string>& paths) {
  const DecodeOptions decoding = flags_.jpeg_scaling
                                     ? engine_.ScaledDecoding(DecodingDetail(flags_.options.detail, flags_.clip.frames))
                                     : DecodeOptions();
  // The question is not known yet: room is left for one of this length.
  const std::string question(200, 'a');
  const auto fit = [&](double duration_s, int most) {
    return chat_.FramesThatFit(duration_s, most, question, flags_.options);
  };
  MediaReader reader(flags_.model, flags_.clip, decoding, ledger_, fit);
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<ContentPart> parts, reader.Read(paths));
  pending_.insert(pending_.end(), parts.begin(), parts.end());
  if (!flags_.quiet) {
    for (const Clip& clip : reader.clips()) fmt::print(stderr, "{}\n", ClipSummary(clip));
  }
  return Status::Ok();
}

Status ChatLoop::KeepToBudget(const std::vector<ContentPart>& parts, AskOptions& options) {
  if (budget_ == nullptr) return Status::Ok();
  EYESHOT_RETURN_IF_ERROR(budget_->Plan(parts, engine_.info(), options, history_tokens_));
  if (!flags_.quiet) fmt::print(stderr, "{}", budget_->Summary());
  return Status::Ok();
}

Status ChatLoop::Ask(const std::string& question) {
  Progress progress(true);
  AskOptions options = flags_.options;
  options.cancel = interrupt_.flag();
  options.stage_observer = governor_.observer();
  options.on_progress = [&](StageId stage, double share) { progress.Show(StageName(stage), share); };
  options.on_text = [&](std::string_view text) {
    progress.Clear();
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  };
  std::vector<ContentPart> parts = pending_;
  parts.emplace_back(question);
  EYESHOT_RETURN_IF_ERROR(KeepToBudget(parts, options));
  const uint64_t begin = SteadyNowNs();
  EYESHOT_ASSIGN_OR_RETURN(last_, chat_.Ask(std::move(parts), options));
  governor_.RequestDone(static_cast<double>(SteadyNowNs() - begin) * 1e-9);
  progress.Clear();
  fmt::print("\n");
  std::fflush(stdout);
  history_tokens_ = last_.prompt_tokens + last_.completion_tokens;
  if (budget_ != nullptr) {
    budget_->Observe(last_);
    if (!flags_.quiet && !budget_->off().empty()) fmt::print(stderr, "{}\n", budget_->off());
  }
  last_.ledger.Add(std::exchange(ledger_, {}));
  pending_.clear();
  return Status::Ok();
}

void ChatLoop::PrintStats() const {
  if (last_.prompt_tokens == 0) {
    fmt::print(stderr, "no answer yet\n");
  } else {
    fmt::print(stderr, "{}\n{}", AnswerSummary(last_, engine_.info()), last_.ledger.Table());
  }
}

bool ChatLoop::Handle(const std::string& line) {
  Status status;
  if (line == "/quit" || line == "/exit") return false;
  if (line == "/help") {
    fmt::print(stderr, "{}\n", kHelp);
  } else if (line == "/stats") {
    PrintStats();
  } else if (line == "/reset") {
    chat_.Reset();
    pending_.clear();
    ledger_ = {};
    history_tokens_ = 0;
  } else if (line.starts_with("/image ")) {
    status = Show({line.substr(line.find_first_not_of(' ', 6))});
  } else if (line.starts_with('/')) {
    status = InvalidArgumentError(fmt::format("'{}' is no command", line), "/help lists those that there are");
  } else {
    status = Ask(line);
  }
  if (status.ok()) return true;
  const int code = ReportError(status, false);
  // A person reads the message and goes on; a script shall learn of it.
  if (!interactive_) exit_code_ = code;
  interrupt_.Clear();
  return true;
}

int ChatLoop::Run() {
  std::string line;
  while (true) {
    if (interactive_) fmt::print(stderr, "> ");
    if (!std::getline(std::cin, line)) break;
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.pop_back();
    if (line.empty()) continue;
    if (!Handle(line)) return exit_code_;
    if (interrupt_.happened() && !interactive_) return kExitCancelled;
    interrupt_.Clear();
  }
  if (interactive_) fmt::print(stderr, "\n");
  return interrupt_.happened() ? kExitCancelled : exit_code_;
}

int RunChat(const ChatFlags& flags) {
  // What is wrong with a budget is told before a model is loaded.
  const Result<std::unique_ptr<QuestionBudget>> budget =
      QuestionBudget::Create(flags.budget, flags.options.reduce, flags.model);
  if (!budget.ok()) return ReportError(budget.status(), false);
  const Result<GovernedEngine> loaded = LoadGoverned(flags.model, flags.governor, !flags.quiet);
  if (!loaded.ok()) return ReportError(loaded.status(), false);
  const Result<std::unique_ptr<Chat>> chat = loaded->engine->NewChat(flags.system);
  if (!chat.ok()) return ReportError(chat.status(), false);
  ChatLoop loop(flags, *loaded, **chat, budget->get());
  if (!flags.pictures.empty()) {
    if (const Status status = loop.Show(flags.pictures); !status.ok()) return ReportError(status, false);
  }
  if (!flags.quiet && isatty(STDIN_FILENO) == 1) fmt::print(stderr, "{}\n", kHelp);
  const int exit_code = loop.Run();
  const Status ended = loaded->governor->Finish();
  return ended.ok() ? exit_code : ReportError(ended, false);
}

}  // namespace

void AddChatCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* command = program.add_subcommand("chat", "Talk about pictures or a video, a line a turn");
  SetUsage(*command, "eyeshot chat [OPTIONS] [FILE...]");
  command->add_option("pictures", flags->pictures, "Pictures, or a video, that go with the first question")
      ->type_name("FILE...");
  AddModelFlags(*command, flags->model);
  AddGenerationFlags(*command, flags->options);
  AddGovernorFlags(*command, flags->governor);
  AddBudgetFlags(*command, flags->budget);
  AddJpegScalingFlag(*command, flags->jpeg_scaling);
  AddClipFlags(*command, flags->clip);
  command->add_option("--system", flags->system, "What the model is told first")->type_name("TEXT");
  command->add_flag("-q,--quiet", flags->quiet, "Answers alone");
  command->footer(std::string("While it runs:\n") + kHelp + R"(

Examples:
  eyeshot chat chart.png
  eyeshot chat clip.mp4
  printf 'What is the total?\n/image b.png\nWhat changed?\n' | eyeshot chat a.png

Pictures and text of earlier turns stay in the key/value cache: each turn pays only for what is new.)");
  command->callback([flags, &exit_code] { exit_code = RunChat(*flags); });
}

}  // namespace eyeshot::cli
