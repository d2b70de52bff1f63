// eyeshot ask: one question about pictures and clips, one answer.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
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
#include "cli/stage_meter.h"
#include "text/doctags.h"

namespace eyeshot::cli {
namespace {

struct AskFlags {
  std::vector<std::string> arguments;  // pictures and clips, then the question
  ModelFlags model;
  GovernorFlags governor;
  AskOptions options;
  std::string system;
  BudgetFlags budget;
  bool jpeg_scaling = false;
  ClipFlags clip;
  std::string format;  // of DocTags: "raw", "markdown", "html"; empty: a plain answer without special tokens
  bool json = false;
  bool quiet = false;

  // A document is made of the whole answer, so that nothing can be printed before its end.
  bool converts() const { return format == "markdown" || format == "html"; }
};

// What a run of `ask` leaves for its report.
struct Run {
  std::shared_ptr<Engine> engine;
  std::unique_ptr<Governor> governor;
  std::unique_ptr<Chat> chat;
  std::vector<Clip> clips;
  Ledger ledger;  // of the whole run
  StageMeter meter;
  std::unique_ptr<QuestionBudget> budget;  // null: none
};

Status Load(const AskFlags& flags, Run& run) {
  EYESHOT_ASSIGN_OR_RETURN(GovernedEngine loaded,
                           LoadGoverned(flags.model, flags.governor, !flags.json && !flags.quiet));
  run.engine = std::move(loaded.engine);
  run.governor = std::move(loaded.governor);
  run.ledger.Add(run.engine->load_ledger());
  EYESHOT_ASSIGN_OR_RETURN(run.chat, run.engine->NewChat(flags.system));
  return Status::Ok();
}

// How pictures are looked at so that the question stays within its budget.
Status KeepToBudget(const AskFlags& flags, const std::vector<ContentPart>& parts, Run& run, AskOptions& options) {
  if (run.budget == nullptr) return Status::Ok();
  EYESHOT_RETURN_IF_ERROR(run.budget->Plan(parts, run.engine->info(), options));
  if (!flags.json && !flags.quiet) fmt::print(stderr, "{}", run.budget->Summary());
  return Status::Ok();
}

Result<std::vector<ContentPart>> ReadMedia(const AskFlags& flags, Run& run) {
  EYESHOT_ASSIGN_OR_RETURN(
      const DecodeOptions decoding,
      PictureDecoding(flags.model, flags.jpeg_scaling, DecodingDetail(flags.options.detail, flags.clip.frames)));
  const auto fit = [&](double duration_s, int most) {
    return run.chat->FramesThatFit(duration_s, most, flags.arguments.back(), flags.options);
  };
  MediaReader reader(flags.model, flags.clip, decoding, run.ledger, fit);
  EYESHOT_ASSIGN_OR_RETURN(std::vector<ContentPart> parts,
                           reader.Read({flags.arguments.begin(), flags.arguments.end() - 1}));
  run.clips = reader.clips();
  return parts;
}

// Loads and asks. A bad budget and bad pictures are told before a model is loaded, pictures unless how many frames are
// taken hangs on the model.
Result<Answer> Ask(const AskFlags& flags, Run& run) {
  const bool chatty = !flags.json && !flags.quiet;
  run.ledger.KeepRuns(run.meter.Runs(0));
  EYESHOT_ASSIGN_OR_RETURN(run.budget, QuestionBudget::Create(flags.budget, flags.options.reduce, flags.model));
  if (flags.clip.fits_context()) EYESHOT_RETURN_IF_ERROR(Load(flags, run));
  EYESHOT_ASSIGN_OR_RETURN(std::vector<ContentPart> parts, ReadMedia(flags, run));
  parts.emplace_back(flags.arguments.back());
  if (run.engine == nullptr) EYESHOT_RETURN_IF_ERROR(Load(flags, run));

  const Interrupt interrupt;
  Progress progress(chatty);
  AskOptions options = flags.options;
  EYESHOT_RETURN_IF_ERROR(KeepToBudget(flags, parts, run, options));
  options.stage_runs = run.meter.Runs(options.max_tokens);
  options.special_tokens = !flags.format.empty();
  options.stage_observer = run.governor->observer();
  options.cancel = interrupt.flag();
  options.on_progress = [&](StageId stage, double share) { progress.Show(StageName(stage), share); };
  if (!flags.json && !flags.converts()) {
    options.on_text = [&](std::string_view text) {
      progress.Clear();
      const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
      return std::fflush(stdout) == 0 && written;
    };
  }
  EYESHOT_ASSIGN_OR_RETURN(Answer answer, run.chat->Ask(std::move(parts), options));
  run.ledger.Add(answer.ledger);
  if (const Status status = run.governor->Finish(); !status.ok()) ReportError(status, false);
  if (run.budget != nullptr) run.budget->Observe(answer);
  // Of a run on a GPU the processor's joules are the smaller part.
  if (run.engine->info().device == "cpu") run.meter.Finish(run.ledger);
  progress.Clear();
  return answer;
}

// The answer as the flags want it.
Result<std::string> Formatted(const std::string& format, const std::string& text) {
  if (format == "markdown") return DocTagsToMarkdown(text);
  if (format == "html") return DocTagsToHtml(text);
  return text;
}

Status CheckArguments(const AskFlags& flags) {
  if (flags.arguments.empty()) {
    return InvalidArgumentError("there is no question", "eyeshot ask FILE... \"question\"");
  }
  const std::string& question = flags.arguments.back();
  if (FileExists(question) || IsDirectory(question)) {
    return InvalidArgumentError(
        fmt::format("the last argument, '{}', is the question, but a file has that name", question),
        "put the question after the pictures: eyeshot ask FILE... \"question\"");
  }
  if (question.empty()) return InvalidArgumentError("the question is empty", "ask something");
  if (flags.clip.frames && flags.arguments.size() < 2) {
    return InvalidArgumentError("--frames without pictures", "name the frames of the clip in order");
  }
  return Status::Ok();
}

int RunAsk(const AskFlags& flags) {
  if (const Status status = CheckArguments(flags); !status.ok()) {
    ReportError(status, flags.json);
    return kExitUsage;
  }
  Run run;
  Result<Answer> answer = Ask(flags, run);
  if (!answer.ok()) return ReportError(answer.status(), flags.json);
  Result<std::string> document = Formatted(flags.format, answer->text);
  if (!document.ok()) return ReportError(document.status(), flags.json);
  const std::string raw = std::exchange(answer->text, *std::move(document));
  const ModelInfo& info = run.engine->info();
  if (flags.json) {
    OrderedJson json = AnswerJson(*answer, info, run.ledger);
    for (const Clip& clip : run.clips) json["clips"].push_back(ClipJson(clip));
    if (flags.converts()) json["raw"] = raw;
    if (const std::string governor = run.governor->Summary(); !governor.empty()) json["governor"] = governor;
    if (run.budget != nullptr) json["budget"] = run.budget->ToJson();
    PrintJson(json);
  } else {
    fmt::print("{}", flags.converts() ? answer->text : "\n");
    std::fflush(stdout);
    if (!flags.quiet) {
      fmt::print(stderr, "\n{}\n", AnswerSummary(*answer, info));
      for (const Clip& clip : run.clips) fmt::print(stderr, "{}\n", ClipSummary(clip));
      if (const std::string governor = run.governor->Summary(); !governor.empty()) {
        fmt::print(stderr, "{}\n", governor);
      }
      fmt::print(stderr, "{}", run.ledger.Table());
      if (run.budget != nullptr && !run.budget->off().empty()) fmt::print(stderr, "{}\n", run.budget->off());
    }
  }
  return answer->finish_reason == FinishReason::kCancelled ? kExitCancelled : kExitOk;
}

}  // namespace

void AddAskCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<AskFlags>();
  CLI::App* command = program.add_subcommand("ask", "Ask a question about pictures or a video");
  SetUsage(*command, "eyeshot ask [OPTIONS] [FILE...] \"question\"");
  command
      ->add_option("arguments", flags->arguments,
                   "Pictures (JPEG, PNG, WebP, GIF) or a video (MP4, MOV, WebM, MKV, moving GIF), - being standard "
                   "input; then the question")
      ->type_name("FILE... QUESTION");
  AddModelFlags(*command, flags->model);
  AddGenerationFlags(*command, flags->options);
  AddGovernorFlags(*command, flags->governor);
  command->add_option("--system", flags->system, "What the model is told before the question")->type_name("TEXT");
  AddBudgetFlags(*command, flags->budget);
  AddJpegScalingFlag(*command, flags->jpeg_scaling);
  AddClipFlags(*command, flags->clip);
  command
      ->add_option(
          "--format", flags->format,
          "Of documents (SmolDocling, granite-docling): raw DocTags, or markdown or html made of them at the end")
      ->check(CLI::IsMember({"raw", "markdown", "html"}))
      ->type_name("NAME");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->add_flag("-q,--quiet", flags->quiet, "Print the answer alone, without the table of stages");
  command->footer(R"(Examples:
  eyeshot ask receipt.png "What is the total?"
  eyeshot ask before.png after.png "What changed?"
  eyeshot ask clip.mp4 "What happens?"
  eyeshot ask --from 1:20 --to 1:40 --max-frames auto clip.mp4 "What happens?"
  eyeshot ask --frames --fps 2 clip_*.png "Which direction does the circle move?"
  eyeshot ask --model granite-docling-258M --format markdown -n 4096 page.png "Convert this page to docling."
  curl -s https://example.org/sign.jpg | eyeshot ask - "What does the sign say?"
  eyeshot ask --json chart.png "Which bar is the highest?" | python3 -m json.tool

The answer goes to standard output, the table of stages to standard error.
A question that begins with '-' comes after '--'.)");
  command->callback([flags, &exit_code] { exit_code = RunAsk(*flags); });
}

}  // namespace eyeshot::cli
