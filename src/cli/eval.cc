// eyeshot eval: how well a model answers a set of questions, and what that costs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/eval_report.h"
#include "cli/eval_run.h"
#include "cli/eval_settings.h"
#include "cli/generation_flags.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/model_flags.h"
#include "cli/pictures.h"
#include "cli/question_budget.h"
#include "cli/report.h"
#include "eval/prompts.h"
#include "eval/question_set.h"
#include "eval/result_file.h"
#include "eval/scorers.h"
#include "eval/summary.h"
#include "eval/text_distance.h"

namespace eyeshot::cli {
namespace {

struct EvalFlags {
  std::string set;
  EvalSettings settings;
  std::string scorer;  // "": the set's
  size_t limit = 0;    // 0: all
  size_t every = 1;
  std::vector<std::string> sweep;
  std::vector<std::string> compare;
  std::string answers;
  std::string out;
  std::string html;
  std::string svg;
  std::string cost;
  std::string points;
  bool recorded = false;
  bool json = false;
};

// What can be told before anything is asked.
Status CheckFlags(const EvalFlags& flags) {
  if (flags.set.empty() == flags.compare.empty()) {
    return InvalidArgumentError(
        flags.set.empty() ? "there is no set of questions" : "a set of questions and --compare together",
        "eyeshot eval SET, or eyeshot eval --compare A.jsonl B.jsonl");
  }
  if (!flags.svg.empty() && flags.sweep.empty()) {
    return InvalidArgumentError("--svg without --sweep", "add --sweep, whose points the chart shows, or use --html");
  }
  if (!flags.answers.empty() && !flags.sweep.empty()) {
    return InvalidArgumentError("--answers and --sweep together",
                                "compare with another engine's answers at one point of the sweep");
  }
  return flags.cost.empty() ? Status::Ok() : CheckCostName(flags.cost);
}

// The rest of how a set is asked and scored comes from its name and content.
Status FillIn(const EvalFlags& flags, const eval::QuestionSet& set, EvalJob& job) {
  const eval::SetKind kind = eval::KindOf(set.name(), set.questions());
  EYESHOT_ASSIGN_OR_RETURN(job.scorer, eval::FindScorer(flags.scorer.empty() ? kind.scorer : flags.scorer));
  job.settings = flags.settings;
  if (job.settings.prompt.empty()) job.settings.prompt = kind.prompt;
  EYESHOT_RETURN_IF_ERROR(eval::FindPromptKind(job.settings.prompt).status());
  std::vector<eval::SweepAxis> axes;
  for (const std::string& text : flags.sweep) {
    EYESHOT_ASSIGN_OR_RETURN(eval::SweepAxis axis, eval::ParseSweepAxis(text));
    axes.push_back(std::move(axis));
  }
  EYESHOT_ASSIGN_OR_RETURN(job.axes, CheckAxes(axes));
  EYESHOT_ASSIGN_OR_RETURN(job.points, eval::PointsOf(job.axes));
  job.out = flags.out;
  job.names_models = !flags.points.empty();
  job.recorded = flags.recorded;
  if (flags.recorded && !job.axes.empty()) {
    return InvalidArgumentError("--recorded and --sweep together", "recorded answers have no settings to vary");
  }
  if (set.is_log() && !flags.recorded) {
    return InvalidArgumentError(fmt::format("{}: holds recorded answers and no picture", set.path()),
                                "add --recorded to score those answers");
  }
  return Status::Ok();
}

// How many answers are another engine's.
void CompareAnswers(const std::map<std::string, std::string>& others, const EvalOutcome& outcome, EvalReport& report) {
  std::map<std::string, std::pair<double, double>> by_task;  // equal ones, all
  std::pair<double, double> total;
  for (const eval::Record& record : outcome.records) {
    const auto other = others.find(record.id);
    if (other == others.end()) continue;
    const double equal = eval::Normalized(record.answer) == eval::Normalized(other->second) ? 1 : 0;
    for (auto* counts : {&by_task[record.task], &total}) {
      counts->first += equal;
      counts->second += 1;
    }
  }
  for (const auto& [task, counts] : by_task) report.agreement[task] = counts.first / counts.second;
  if (total.second > 0) report.total_agreement = total.first / total.second;
}

EvalReport ReportOf(const EvalJob& job, const EvalOutcome& outcome) {
  EvalReport report{.set = job.set->path(),
                    .scorer = job.scorer,
                    .axes = job.axes,
                    .info = outcome.info,
                    .infos = outcome.infos,
                    .seconds = outcome.seconds,
                    .resumed = outcome.resumed,
                    .governors = outcome.governors,
                    .ledger = outcome.ledger};
  const std::vector<const eval::Record*> first = RecordsAt(job, outcome, 0);
  for (size_t i = 0; i < job.points.size(); ++i) {
    const std::vector<const eval::Record*> records = RecordsAt(job, outcome, i);
    EvalPoint point{job.points[i], eval::SummarizeByTask(records, *job.scorer, eval::kDefaultSeed), {}};
    if (i > 0) point.difference = eval::Difference(first, records, eval::kDefaultSeed);
    report.points.push_back(std::move(point));
  }
  report.costs = CostsOf(report.points);
  return report;
}

Status WritePoints(const EvalFlags& flags, const EvalJob& job, const EvalReport& report) {
  if (flags.points.empty()) return Status::Ok();
  std::vector<EvalSettings> settings;
  for (const eval::Point& point : job.points) {
    EYESHOT_ASSIGN_OR_RETURN(EvalSettings own, SettingsAt(job.settings, point));
    settings.push_back(std::move(own));
  }
  return WriteTextFile(flags.points, PointsText(report, settings));
}

Status WritePages(const EvalFlags& flags, const EvalJob& job, const EvalReport& report) {
  EYESHOT_RETURN_IF_ERROR(WritePoints(flags, job, report));
  if (!flags.html.empty()) EYESHOT_RETURN_IF_ERROR(WriteTextFile(flags.html, EvalHtml(report)));
  if (flags.svg.empty()) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const std::string svg, EvalSvg(report, flags.cost));
  return WriteTextFile(flags.svg, svg);
}

// The exit code, of a run whose report was printed.
Result<int> Evaluate(const EvalFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(eval::QuestionSet set, eval::QuestionSet::Load(flags.set));
  set.Thin(flags.every, flags.limit);
  EvalJob job{.set = &set};
  EYESHOT_RETURN_IF_ERROR(FillIn(flags, set, job));
  std::map<std::string, std::string> others;
  if (!flags.answers.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(others, eval::LoadAnswers(flags.answers));
  }
  EYESHOT_ASSIGN_OR_RETURN(const EvalOutcome outcome, RunEvaluation(job));
  EvalReport report = ReportOf(job, outcome);
  if (job.axes.empty()) CompareAnswers(others, outcome, report);
  if (flags.json) {
    PrintJson(ReportJson(report));
  } else {
    PrintReport(report);
  }
  // The answers took long: a page that can't be written must not take the report with it.
  const Status written = WritePages(flags, job, report);
  return written.ok() ? kExitOk : ReportError(written, false);
}

// One side of a comparison: "FILE", or "FILE#precision=int8 detail=low" of a sweep.
struct Side {
  eval::Results results;
  std::vector<const eval::Record*> records;
};

Result<Side> LoadSide(const std::string& text) {
  const size_t mark = text.rfind('#');
  const std::string path = text.substr(0, mark);
  const std::string wanted = mark == std::string::npos ? "" : text.substr(mark + 1);
  Side side;
  EYESHOT_ASSIGN_OR_RETURN(side.results, eval::LoadResults(path));
  if (side.results.scorer.empty()) {
    return CorruptError(fmt::format("{}:1: names no 'scorer'", path), "name a file that `eyeshot eval --out` wrote");
  }
  std::map<std::string, std::vector<const eval::Record*>> points;
  for (const eval::Record& record : side.results.records) points[eval::PointName(record.point)].push_back(&record);
  std::string names;
  for (const auto& [name, records] : points) names += fmt::format("{}'{}'", names.empty() ? "" : ", ", name);
  const auto found = points.size() == 1 && wanted.empty() ? points.begin() : points.find(wanted);
  if (found == points.end()) {
    return NotFoundError(fmt::format("{}: has no point '{}', but {}", path, wanted, names.empty() ? "nothing" : names),
                         "name one after the file: FILE#precision=int8");
  }
  side.records = found->second;
  return side;
}

Status Compare(const EvalFlags& flags) {
  EYESHOT_ASSIGN_OR_RETURN(const Side a, LoadSide(flags.compare[0]));
  EYESHOT_ASSIGN_OR_RETURN(const Side b, LoadSide(flags.compare[1]));
  if (a.results.scorer != b.results.scorer) {
    return InvalidArgumentError(
        fmt::format("the scores are of two kinds: {} and {}", a.results.scorer, b.results.scorer),
        "score both with the same --scorer");
  }
  EvalComparison comparison{.a = flags.compare[0], .b = flags.compare[1]};
  EYESHOT_ASSIGN_OR_RETURN(comparison.scorer, eval::FindScorer(a.results.scorer));
  comparison.result = eval::Compare(a.records, b.records, *comparison.scorer, eval::kDefaultSeed);
  if (comparison.result.questions == 0) {
    return InvalidArgumentError("the two files have no question in common", "compare results of one set");
  }
  if (flags.json) {
    PrintJson(ComparisonJson(comparison));
  } else {
    PrintComparison(comparison);
  }
  return Status::Ok();
}

int RunEval(const EvalFlags& flags) {
  if (const Status status = CheckFlags(flags); !status.ok()) {
    ReportError(status, flags.json);
    return kExitUsage;
  }
  if (!flags.compare.empty()) {
    const Status status = Compare(flags);
    return status.ok() ? kExitOk : ReportError(status, flags.json);
  }
  const Result<int> code = Evaluate(flags);
  return code.ok() ? *code : ReportError(code.status(), flags.json);
}

std::string ScorerNames() {
  std::string names;
  for (const eval::Scorer& scorer : eval::Scorers()) names += (names.empty() ? "" : ", ") + std::string(scorer.name);
  return names;
}

std::string PromptNames() {
  std::string names;
  for (const eval::PromptKind& kind : eval::PromptKinds())
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  return names;
}

void AddSetFlags(CLI::App& command, EvalFlags& flags) {
  command
      .add_option(
          "set", flags.set,
          "Lines of JSON (id, images, video, question, answer, task), a table of VLMEvalKit (.tsv), or documents "
          "or logged samples of lmms-eval (.jsonl)")
      ->type_name("SET");
  command
      .add_option("--prompt", flags.settings.prompt,
                  "How the questions are put: " + PromptNames() + "; without it as the set's name and content say")
      ->type_name("KIND");
  command
      .add_option("--scorer", flags.scorer,
                  "How answers are scored: " + ScorerNames() + "; without it as the set's name and content say")
      ->type_name("NAME");
  command.add_option("--every", flags.every, "Only the first and then every N-th question")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  command.add_option("--limit", flags.limit, "At most N questions; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command.add_flag("--recorded", flags.recorded, "Score the answers that the set's file holds, and ask no model");
  command.add_option("--answers", flags.answers, "Another engine's answers by id: also report how many are equal")
      ->type_name("FILE.json");
}

void AddResultFlags(CLI::App& command, EvalFlags& flags) {
  command.add_option("--out", flags.out, "Write a line a question as it is answered; goes on where such a file ends")
      ->type_name("FILE.jsonl");
  command
      .add_option("--sweep", flags.sweep,
                  "Ask with each of these values, as detail=low,high; several: every combination. Settings: " +
                      AxisNames() + ". A comma in a value is written as +")
      ->allow_extra_args(false)
      ->take_all()
      ->type_name("NAME=V,V");
  command
      .add_option("--compare", flags.compare,
                  "Which of two files of results is better, question by question; of a sweep FILE#NAME=V NAME=V")
      ->expected(2)
      ->type_name("A B");
  command.add_option("--points", flags.points, "Write what was measured, for `eyeshot plan --points` and --budget")
      ->type_name("FILE.jsonl");
  command.add_option("--html", flags.html, "Write a page with charts")->type_name("FILE");
  command.add_option("--svg", flags.svg, "Write a sweep's chart: score over cost, with the Pareto front")
      ->type_name("FILE");
  command
      .add_option("--cost", flags.cost, "What that chart is over: ms, tokens, or a meter such as rapl; ms without it")
      ->type_name("NAME");
  command.add_flag("--json", flags.json, "Print one JSON object");
}

}  // namespace

void AddEvalCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<EvalFlags>();
  CLI::App* command = program.add_subcommand("eval", "Score a model on a set of questions, at one or many settings");
  SetUsage(*command, "eyeshot eval [OPTIONS] SET\n       eyeshot eval --compare A.jsonl B.jsonl");
  AddSetFlags(*command, *flags);
  AddModelFlags(*command, flags->settings.model);
  AddGenerationFlags(*command, flags->settings.options);
  AddGovernorFlags(*command, flags->settings.governor);
  AddWattsFlag(*command, flags->settings.watts);
  AddJpegScalingFlag(*command, flags->settings.jpeg_scaling);
  AddResultFlags(*command, *flags);
  command->footer(R"(Exact match compares after collapsing white space; the character error rate (CER) is the edit
distance over the length of the true answers. Paths are relative to the set's folder; with "video": true images
are frames, one a second. docs/eval.md describes sets, scorers, prompts and files of results.

Examples:
  eyeshot eval tests/data/eval/eval-dev/questions.jsonl
  eyeshot eval MMStar.tsv --model SmolVLM2-500M-Video-Instruct --out mmstar.jsonl
  eyeshot eval questions.jsonl --every 5 --answers reference-answers.json --out answers.jsonl --json
  eyeshot eval questions.jsonl --sweep precision=exact,int8 --sweep detail=low,high --out s.jsonl --html s.html
  sudo eyeshot eval questions.jsonl --sweep governor=race-to-idle,fixed:1500 --allow-clocks
  eyeshot eval --compare "s.jsonl#precision=exact detail=low" "s.jsonl#precision=int8 detail=low"
  eyeshot eval 20260101_samples_docvqa_val.jsonl --recorded)");
  command->callback([flags, &exit_code] { exit_code = RunEval(*flags); });
}

}  // namespace eyeshot::cli
