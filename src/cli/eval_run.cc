#include "cli/eval_run.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/question_budget.h"
#include "cli/stage_meter.h"
#include "eval/ask.h"
#include "eval/result_file.h"

namespace eyeshot::cli {
namespace {

class Evaluation {
 public:
  explicit Evaluation(const EvalJob& job) : job_(job), progress_(true) {}

  Result<EvalOutcome> Run() {
    EYESHOT_RETURN_IF_ERROR(Begin());
    for (const eval::Point& point : job_.points) EYESHOT_RETURN_IF_ERROR(RunPoint(point));
    EYESHOT_RETURN_IF_ERROR(FinishGovernor());
    outcome_.seconds = Passed();
    return std::move(outcome_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  Status Begin();
  Result<OrderedJson> Header() const;
  Status Load(const EvalSettings& settings);
  Status RunPoint(const eval::Point& point);
  Status FindBudget(const EvalSettings& settings);
  // Puts clocks back. Errors: those of Governor::Finish().
  Status FinishGovernor();
  Result<eval::Record> Answered(const eval::Question& question, const EvalSettings& settings);
  void ShowProgress(const eval::Point& point);
  double Passed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  size_t all() const { return job_.points.size() * job_.set->questions().size(); }

  const EvalJob& job_;
  EvalOutcome outcome_;
  std::optional<eval::ResultFile> file_;
  std::map<std::pair<eval::Point, std::string>, const eval::Record*> there_;
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Governor> governor_;  // of engine_
  std::unique_ptr<Chat> chat_;
  EvalSettings loaded_;  // what engine_ is for
  std::string budget_of_;  // AskOptions::reduce that budget_ is of
  std::unique_ptr<QuestionBudget> budget_;  // null: none
  Interrupt interrupt_;
  Progress progress_;
  size_t done_ = 0;
  size_t asked_ = 0;
  Clock::time_point start_;
};

Status Evaluation::Begin() {
  if (!job_.recorded) {
    EYESHOT_ASSIGN_OR_RETURN(const EvalSettings first, SettingsAt(job_.settings, job_.points[0]));
    EYESHOT_RETURN_IF_ERROR(Load(first));
  }
  start_ = Clock::now();
  if (job_.out.empty()) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const OrderedJson header, Header());
  EYESHOT_ASSIGN_OR_RETURN(eval::ResultFile file, eval::ResultFile::Open(job_.out, header));
  file_.emplace(std::move(file));
  for (const eval::Record& record : file_->records()) there_[{record.point, record.id}] = &record;
  return Status::Ok();
}

Result<OrderedJson> Evaluation::Header() const {
  OrderedJson header = {{eval::kHeaderKey, eval::kHeaderVersion},
                        {"program", EYESHOT_VERSION},
                        {"set", job_.set->name()},
                        {"set_sha256", job_.set->Digest()},
                        {"questions", job_.set->questions().size()},
                        {"scorer", job_.scorer->name}};
  if (job_.recorded) {
    header["recorded"] = true;
    return header;
  }
  header["sweep"] = OrderedJson::array();
  for (const eval::SweepAxis& axis : job_.axes) header["sweep"].push_back(axis.name);
  EYESHOT_ASSIGN_OR_RETURN(const EvalSettings first, SettingsAt(job_.settings, job_.points[0]));
  EYESHOT_ASSIGN_OR_RETURN(header["settings"], SettingsJson(first, engine_->info(), job_.axes));
  return header;
}

Status Evaluation::Load(const EvalSettings& settings) {
  if (engine_ != nullptr && SameModel(settings, loaded_)) return Status::Ok();
  EYESHOT_RETURN_IF_ERROR(FinishGovernor());
  chat_.reset();
  engine_.reset();  // two models need not be in memory
  EYESHOT_ASSIGN_OR_RETURN(GovernedEngine loaded, LoadGoverned(settings.model, settings.governor, false));
  engine_ = std::move(loaded.engine);
  governor_ = std::move(loaded.governor);
  EYESHOT_ASSIGN_OR_RETURN(chat_, engine_->NewChat());
  loaded_ = settings;
  budget_of_.clear();
  outcome_.info = engine_->info();
  return Status::Ok();
}

Status Evaluation::FinishGovernor() {
  if (governor_ == nullptr) return Status::Ok();
  const Status finished = governor_->Finish();
  if (const std::string summary = governor_->Summary(); !summary.empty()) outcome_.governors.push_back(summary);
  governor_.reset();
  return finished;
}

// KEEP of --reduce in milliseconds or joules is planned for each question; what one took corrects the plans of others.
Status Evaluation::FindBudget(const EvalSettings& settings) {
  if (budget_of_ == settings.options.reduce) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(budget_,
                           QuestionBudget::Create({.watts = settings.watts}, settings.options.reduce, settings.model));
  budget_of_ = settings.options.reduce;
  return Status::Ok();
}

Status Evaluation::RunPoint(const eval::Point& point) {
  EYESHOT_ASSIGN_OR_RETURN(const EvalSettings settings, SettingsAt(job_.settings, point));
  for (const eval::Question& question : job_.set->questions()) {
    const auto found = there_.find({point, question.id});
    if (found != there_.end()) {
      outcome_.records.push_back(*found->second);
      ++outcome_.resumed;
      ++done_;
      continue;
    }
    ShowProgress(point);
    Result<eval::Record> record = Answered(question, settings);
    if (!record.ok()) return record.status().At(fmt::format("question {}", question.id));
    record->point = point;
    if (file_) EYESHOT_RETURN_IF_ERROR(file_->Append(*record));
    outcome_.records.push_back(*std::move(record));
    ++done_;
    ++asked_;
  }
  if (!job_.names_models || job_.recorded) return Status::Ok();
  // All answers may have been in the file, and a precision that nobody named is known of a loaded model alone.
  if (settings.model.precision.empty()) EYESHOT_RETURN_IF_ERROR(Load(settings));
  outcome_.infos.push_back(engine_->info());
  return Status::Ok();
}

Result<eval::Record> Evaluation::Answered(const eval::Question& question, const EvalSettings& settings) {
  if (job_.recorded) {
    if (question.recorded) return eval::Judge(question, *question.recorded, *job_.scorer);
    return NotFoundError("no answer was recorded", "leave --recorded out to ask a model, or the question out");
  }
  EYESHOT_RETURN_IF_ERROR(Load(settings));
  EYESHOT_RETURN_IF_ERROR(FindBudget(settings));
  EYESHOT_ASSIGN_OR_RETURN(const eval::PromptKind* const prompt, eval::FindPromptKind(settings.prompt));
  eval::AskSettings asking{.options = settings.options, .prompt = prompt, .jpeg_scaling = settings.jpeg_scaling};
  asking.options.cancel = interrupt_.flag();
  asking.options.stage_observer = governor_->observer();
  if (budget_ != nullptr) {
    asking.prepare = [&](const std::vector<ContentPart>& parts, AskOptions& options) {
      return budget_->Plan(parts, engine_->info(), options);
    };
  }
  StageMeter meter;
  Ledger ledger;
  ledger.Observe(governor_->observer());  // for the decoding of pictures
  ledger.KeepRuns(meter.Runs(0));
  asking.options.stage_runs = meter.Runs(asking.options.max_tokens);
  const Clock::time_point begin = Clock::now();
  EYESHOT_ASSIGN_OR_RETURN(const Answer answer, eval::AskQuestion(*engine_, *chat_, question, asking, ledger));
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  if (answer.finish_reason == FinishReason::kCancelled) {
    return CancelledError(fmt::format("cancelled after {} of {}", done_, all()));
  }
  governor_->RequestDone(ms / 1e3);
  if (budget_ != nullptr) budget_->Observe(answer);
  // Of a run on a GPU the processor's joules are the smaller part.
  if (engine_->info().device == "cpu") meter.Finish(ledger);
  eval::Record record = eval::Judge(question, answer.text, *job_.scorer);
  eval::AddCost(answer, ledger, ms, record);
  for (size_t i = 0; i < kStageCount; ++i) {
    const auto id = static_cast<StageId>(i);
    if (ledger.cost(id).runs > 0) outcome_.ledger.Add(id, ledger.cost(id));
  }
  return record;
}

void Evaluation::ShowProgress(const eval::Point& point) {
  const auto count = static_cast<double>(all());
  const double left = asked_ == 0 ? 0 : Passed() / static_cast<double>(asked_) * (count - static_cast<double>(done_));
  progress_.Show(fmt::format("{} of {}, {:.0f} s left", done_, all(), left), static_cast<double>(done_) / count,
                 eval::PointName(point));
}

}  // namespace

Result<EvalOutcome> RunEvaluation(const EvalJob& job) { return Evaluation(job).Run(); }

std::vector<const eval::Record*> RecordsAt(const EvalJob& job, const EvalOutcome& outcome, size_t index) {
  const size_t count = job.set->questions().size();
  EYESHOT_CHECK(outcome.records.size() >= (index + 1) * count);
  std::vector<const eval::Record*> records;
  records.reserve(count);
  for (size_t i = index * count; i < (index + 1) * count; ++i) records.push_back(&outcome.records[i]);
  return records;
}

}  // namespace eyeshot::cli
