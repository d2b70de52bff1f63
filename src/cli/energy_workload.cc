#include "cli/energy_workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/threads.h"
#include "cli/pictures.h"
#include "cli/png_writer.h"
#include "cli/question_budget.h"
#include "cli/synthetic_picture.h"
#include "energy/meters/gpu.h"
#include "eval/question_set.h"
#include "ledger/stage.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {
namespace {

// Runs of each request before anything is measured: the first loads kernels, the second records graphs.
constexpr int kWarmUps = 2;
constexpr int kMaxSide = 16384;  // of a synthetic picture

// Pictures of one question.
struct Input {
  std::string name;
  std::vector<std::vector<uint8_t>> files;
  std::vector<std::shared_ptr<const Image>> pictures;
  std::string reduce = "none";  // AskOptions::reduce, of all answers' lengths
  std::string same_length;  // a text of as many tokens
  Answer first;             // what it became
};

// A phase that is repeated in each run.
struct Planned {
  InputPhase part;
  double seconds = 0;
  PhaseRunner::Request request;
};

struct PlannedInput {
  Input input;
  std::vector<Planned> phases;
  std::vector<InputRun> runs;
};

Result<std::pair<int, int>> ParseSize(const std::string& text) {
  const size_t cross = text.find('x');
  int sides[2] = {0, 0};
  const std::string parts[2] = {text.substr(0, cross), cross == std::string::npos ? "" : text.substr(cross + 1)};
  for (int i = 0; i < 2; ++i) {
    const char* end = parts[i].data() + parts[i].size();
    const auto [stop, error] = std::from_chars(parts[i].data(), end, sides[i]);
    if (error != std::errc() || stop != end || sides[i] < 1 || sides[i] > kMaxSide) {
      return InvalidArgumentError(fmt::format("--sizes {}", text),
                                  fmt::format("write WIDTHxHEIGHT, each 1 to {}, as 512x512", kMaxSide));
    }
  }
  return std::pair(sides[0], sides[1]);
}

Result<Input> SyntheticInput(const std::string& size, int pictures) {
  EYESHOT_ASSIGN_OR_RETURN(const auto sides, ParseSize(size));
  Input input{.name = fmt::format("{} x {}", size, pictures)};
  for (int i = 0; i < pictures; ++i) {
    EYESHOT_ASSIGN_OR_RETURN(std::vector<uint8_t> png, EncodePng(SyntheticPicture(sides.first, sides.second, i)));
    input.files.push_back(std::move(png));
  }
  return input;
}

Result<Input> InputOfFiles(const std::vector<std::string>& paths, int pictures) {
  if (static_cast<size_t>(pictures) > paths.size()) {
    return InvalidArgumentError(fmt::format("--images-per-question {} of {} pictures", pictures, paths.size()),
                                "name as many pictures, or a smaller number");
  }
  Input input{.name = pictures == 1 ? paths[0] : fmt::format("{} and {} more", paths[0], pictures - 1)};
  for (int i = 0; i < pictures; ++i) {
    EYESHOT_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes,
                             ReadFile(paths[static_cast<size_t>(i)], limits::kMaxImageBytes));
    input.files.push_back(std::move(bytes));
  }
  return input;
}

Result<std::vector<Input>> AllInputs(const WorkloadFlags& flags) {
  std::vector<Input> inputs;
  if (!flags.images.empty()) {
    std::vector<int> counts = flags.per_question;
    if (counts.empty()) counts = {static_cast<int>(flags.images.size())};
    for (const int count : counts) {
      EYESHOT_ASSIGN_OR_RETURN(Input input, InputOfFiles(flags.images, count));
      inputs.push_back(std::move(input));
    }
  }
  if (flags.sizes.empty() && (!flags.images.empty() || !flags.set.empty())) return inputs;
  const std::vector<std::string> sizes =
      flags.sizes.empty() ? std::vector<std::string>{"512x512", "1024x1024"} : flags.sizes;
  const std::vector<int> counts = flags.per_question.empty() ? std::vector<int>{1} : flags.per_question;
  for (const std::string& size : sizes) {
    for (const int count : counts) {
      EYESHOT_ASSIGN_OR_RETURN(Input input, SyntheticInput(size, count));
      inputs.push_back(std::move(input));
    }
  }
  return inputs;
}

std::vector<std::optional<IdlePower>> PowersOf(const PhaseResult& phase) {
  std::vector<std::optional<IdlePower>> powers;
  for (const GroupPower& group : phase.groups) {
    powers.emplace_back();
    if (!group.known) continue;
    const double half = 2 * group.sigma_w;
    powers.back() = IdlePower{group.watts, std::max(0.0, group.watts - half), group.watts + half};
  }
  return powers;
}

class Workload {
 public:
  Workload(const WorkloadFlags& flags, FoundMeters found, const Interrupt& interrupt)
      : flags_(flags), found_(std::move(found)), interrupt_(interrupt) {}
  Result<WorkloadReport> Run();

 private:
  Status Load();
  // Of the device that runs the model and of the processor, no other GPU's.
  void KeepMeters();
  // Of a question with the input's pictures, or without them.
  Result<Ledger> Ask(const Input& input, int tokens, Answer* answer = nullptr);
  Result<Ledger> AskText(const std::string& text, int tokens, Answer* answer = nullptr);
  Result<Ledger> AskParts(std::vector<ContentPart> parts, const std::string& reduce, int tokens, Answer* answer);
  // Its KEEP in milliseconds or joules, for the longest answer.
  Status KeepToBudget(Input& input);
  Result<Ledger> DecodeAgain(const Input& input) const;
  Result<Ledger> PreprocessAgain(const Input& input);
  Result<std::string> TextOfTokens(int64_t tokens);
  Status PlanText();
  Status PlanInputs();
  Status PlanInput(Input&& input);
  Result<double> WarmUp(const PhaseRunner::Request& request) const;
  Status AddPhase(PlannedInput& planned, InputPhase part, PhaseRunner::Request request);
  void Share(PlannedInput& planned) const;
  Status RunAll();
  Status RunBatches();
  void Fill();
  // Without a meter joules are a model's, and called so.
  void UseModel();

  const WorkloadFlags& flags_;
  FoundMeters found_;
  std::vector<Input> wanted_;
  eval::QuestionSet set_;
  const Interrupt& interrupt_;
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<Governor> governor_;
  std::unique_ptr<QuestionBudget> budget_;  // null: none
  std::optional<ImageProcessor> processor_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<GpuMeter> gpu_;
  std::unique_ptr<PhaseRunner> runner_;
  std::vector<std::unique_ptr<PlannedInput>> inputs_;  // the first is the question alone
  WorkloadReport report_;
};

Status Workload::Load() {
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel model, FindModel(flags_.model.model));
  ModelFlags quiet = flags_.model;
  quiet.gpu_readings = false;  // they would be a part of each request
  EYESHOT_ASSIGN_OR_RETURN(budget_, QuestionBudget::Create({.watts = flags_.watts}, flags_.reduce, flags_.model));
  EYESHOT_ASSIGN_OR_RETURN(GovernedEngine loaded, LoadGoverned(quiet, flags_.governor, true));
  engine_ = std::move(loaded.engine);
  governor_ = std::move(loaded.governor);
  report_.model = engine_->info();
  if (!engine_->info().has_vision) return Status::Ok();
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessorConfig config, ProcessorOf(flags_.model, model.dir));
  EYESHOT_ASSIGN_OR_RETURN(processor_, ImageProcessor::Create(config));
  pool_ = std::make_unique<ThreadPool>(flags_.model.threads);
  return Status::Ok();
}

void Workload::KeepMeters() {
  const std::string& address = engine_->info().pci_bus_id;
  std::vector<std::unique_ptr<Meter>> kept;
  std::vector<std::unique_ptr<Meter>> gpus;
  for (std::unique_ptr<Meter>& meter : found_.meters) {
    (meter->info().domain == EnergyDomain::kGpu ? gpus : kept).push_back(std::move(meter));
  }
  if (!address.empty()) {
    Result<std::unique_ptr<GpuMeter>> readings = GpuMeter::Open(address);
    if (readings.ok()) gpu_ = *std::move(readings);
    if (gpus.size() == 1) {
      kept.push_back(std::move(gpus[0]));
    } else if (Result<std::unique_ptr<GpuMeter>> gpu = GpuMeter::Open(address); gpu.ok()) {
      // Of several GPUs the one that runs the model; what it takes idle was measured of all, and is not known of it.
      Result<std::unique_ptr<Meter>> meter = MeterOfGpu("NVML " + address, *std::move(gpu));
      if (meter.ok()) kept.push_back(*std::move(meter));
    }
  }
  found_.meters = std::move(kept);
}

Status Workload::KeepToBudget(Input& input) {
  input.reduce = flags_.reduce;
  if (budget_ == nullptr) return Status::Ok();
  AskOptions options;
  options.max_tokens = *std::max_element(flags_.tokens.begin(), flags_.tokens.end());
  options.detail = flags_.detail;
  std::vector<ContentPart> parts(input.pictures.begin(), input.pictures.end());
  parts.emplace_back(flags_.question);
  EYESHOT_RETURN_IF_ERROR(budget_->Plan(parts, engine_->info(), options));
  input.reduce = options.reduce;
  report_.budgets.push_back(fmt::format("{}: {}", input.name, budget_->Summary()));
  return Status::Ok();
}

Result<Ledger> Workload::Ask(const Input& input, int tokens, Answer* answer) {
  std::vector<ContentPart> parts(input.pictures.begin(), input.pictures.end());
  parts.emplace_back(flags_.question);
  return AskParts(std::move(parts), input.reduce, tokens, answer);
}

Result<Ledger> Workload::AskText(const std::string& text, int tokens, Answer* answer) {
  return AskParts({text}, "none", tokens, answer);
}

Result<Ledger> Workload::AskParts(std::vector<ContentPart> parts, const std::string& reduce, int tokens,
                                  Answer* answer) {
  EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<Chat> chat, engine_->NewChat());
  AskOptions options;
  options.max_tokens = tokens;
  options.ignore_end = true;
  options.detail = flags_.detail;
  options.reduce = reduce;
  options.cancel = interrupt_.flag();
  options.stage_observer = governor_->observer();
  const uint64_t begin = SteadyNowNs();
  EYESHOT_ASSIGN_OR_RETURN(Answer given, chat->Ask(std::move(parts), options));
  governor_->RequestDone(static_cast<double>(SteadyNowNs() - begin) * 1e-9);
  if (given.finish_reason == FinishReason::kCancelled) return CancelledError("cancelled");
  if (given.completion_tokens < tokens) {
    return ContextFullError(fmt::format("{} prompt tokens and {} of answer don't fit into a context of {}",
                                        given.prompt_tokens, tokens, given.context_tokens),
                            "take fewer or smaller pictures, or shorter answers");
  }
  Ledger ledger = given.ledger;
  if (answer != nullptr) *answer = std::move(given);
  return ledger;
}

Result<Ledger> Workload::DecodeAgain(const Input& input) const {
  Ledger ledger;
  ledger.Observe(governor_->observer());
  for (const std::vector<uint8_t>& file : input.files) {
    EYESHOT_ASSIGN_OR_RETURN(const Image image, DecodePicture(file, input.name, {}, ledger));
    static_cast<void>(image);
  }
  ledger.Observe(nullptr);  // the ledger may outlive the governor
  return ledger;
}

Result<Ledger> Workload::PreprocessAgain(const Input& input) {
  Ledger ledger;
  ledger.Observe(governor_->observer());
  Stage stage(ledger, StageId::kPreprocess);
  for (const std::shared_ptr<const Image>& picture : input.pictures) {
    Tiles tiles;
    EYESHOT_ASSIGN_OR_RETURN(const TileBudget budget, processor_->Budget(*picture, flags_.detail));
    EYESHOT_RETURN_IF_ERROR(processor_->Append(*picture, budget, *pool_, tiles));
  }
  stage.Finish();
  ledger.Observe(nullptr);
  return ledger;
}

// A word a token; what the template adds is found by asking.
Result<std::string> Workload::TextOfTokens(int64_t tokens) {
  const auto words = [](int64_t count) {
    std::string text = "a";
    for (int64_t i = 1; i < count; ++i) text += " a";
    return text;
  };
  Answer answer;
  EYESHOT_ASSIGN_OR_RETURN(const Ledger one, AskText(words(1), 1, &answer));
  static_cast<void>(one);
  return words(std::max<int64_t>(1, tokens - answer.prompt_tokens + 1));
}

Result<double> Workload::WarmUp(const PhaseRunner::Request& request) const {
  double seconds = 0;
  for (int i = 0; i < kWarmUps; ++i) {
    const uint64_t begin = SteadyNowNs();
    EYESHOT_ASSIGN_OR_RETURN(const Ledger ledger, request());
    static_cast<void>(ledger);
    seconds = static_cast<double>(SteadyNowNs() - begin) * 1e-9;
  }
  return seconds;
}

Status Workload::AddPhase(PlannedInput& planned, InputPhase part, PhaseRunner::Request request) {
  EYESHOT_ASSIGN_OR_RETURN(const double once, WarmUp(request));
  planned.phases.push_back({part, runner_->ShortestPhase(once), std::move(request)});
  return Status::Ok();
}

// What is left of the input's time after the shortest phases goes to all alike.
void Workload::Share(PlannedInput& planned) const {
  double shortest = 0;
  for (const Planned& phase : planned.phases) shortest += phase.seconds;
  const double more = std::max(0.0, flags_.seconds - shortest) / static_cast<double>(planned.phases.size());
  for (Planned& phase : planned.phases) phase.seconds += more;
}

Status Workload::PlanText() {
  auto planned = std::make_unique<PlannedInput>();
  planned->input.name = "text";
  EYESHOT_RETURN_IF_ERROR(AskText(flags_.question, 1, &planned->input.first).status());
  std::vector<int> lengths = flags_.tokens;
  lengths.push_back(1);
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (const int tokens : lengths) {
    EYESHOT_RETURN_IF_ERROR(AddPhase(*planned, {InputPhase::Kind::kAsk, tokens},
                                     [this, tokens] { return AskText(flags_.question, tokens); }));
  }
  Share(*planned);
  inputs_.push_back(std::move(planned));
  return Status::Ok();
}

Status Workload::PlanInput(Input&& input) {
  auto planned = std::make_unique<PlannedInput>();
  planned->input = std::move(input);
  Input& own = planned->input;
  for (const std::vector<uint8_t>& file : own.files) {
    EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeImage(file, own.name));
    own.pictures.push_back(std::make_shared<const Image>(std::move(image)));
  }
  const int longest = *std::max_element(flags_.tokens.begin(), flags_.tokens.end());
  EYESHOT_RETURN_IF_ERROR(KeepToBudget(own));
  EYESHOT_RETURN_IF_ERROR(Ask(own, longest, &own.first).status());
  EYESHOT_ASSIGN_OR_RETURN(own.same_length, TextOfTokens(own.first.prompt_tokens));
  using Kind = InputPhase::Kind;
  EYESHOT_RETURN_IF_ERROR(AddPhase(*planned, {Kind::kDecodeImage, 0}, [this, &own] { return DecodeAgain(own); }));
  EYESHOT_RETURN_IF_ERROR(AddPhase(*planned, {Kind::kPreprocess, 0}, [this, &own] { return PreprocessAgain(own); }));
  EYESHOT_RETURN_IF_ERROR(
      AddPhase(*planned, {Kind::kSameLength, 1}, [this, &own] { return AskText(own.same_length, 1); }));
  std::vector<int> lengths = flags_.tokens;
  lengths.push_back(1);
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  for (const int tokens : lengths) {
    EYESHOT_RETURN_IF_ERROR(
        AddPhase(*planned, {Kind::kAsk, tokens}, [this, &own, tokens] { return Ask(own, tokens); }));
  }
  Share(*planned);
  inputs_.push_back(std::move(planned));
  return Status::Ok();
}

Status Workload::PlanInputs() {
  if (!engine_->info().has_vision) {
    if (flags_.images.empty() && flags_.sizes.empty()) return Status::Ok();
    return UnsupportedError(fmt::format("{} reads text alone, and pictures were asked for", engine_->info().name),
                            "leave them out, or take a model with vision");
  }
  for (Input& input : wanted_) {
    const std::string name = input.name;
    const Status status = PlanInput(std::move(input));
    if (status.code() == StatusCode::kContextFull || status.code() == StatusCode::kOutOfMemory) {
      report_.skipped.push_back(fmt::format("{}: {}", name, status.message()));
      fmt::print(stderr, "left out, {}\n", report_.skipped.back());
    } else if (!status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

Status Workload::RunAll() {
  for (const auto& input : inputs_) {
    for (const Planned& phase : input->phases) report_.planned_s += phase.seconds * flags_.runs;
  }
  fmt::print(stderr, "planned: {} runs of {} inputs, {:.0f} s\n", flags_.runs, inputs_.size(), report_.planned_s);
  const uint64_t begin = SteadyNowNs();
  for (int run = 0; run < flags_.runs; ++run) {
    if (run + 1 == flags_.runs) report_.last_run.clear();
    for (const auto& input : inputs_) {
      const double passed = static_cast<double>(SteadyNowNs() - begin) * 1e-9;
      fmt::print(stderr, "run {} of {}, {}, {:.0f} s of {:.0f} s\n", run + 1, flags_.runs, input->input.name, passed,
                 report_.planned_s);
      InputRun results;
      for (const Planned& phase : input->phases) {
        const std::string name = fmt::format("{}: {}", input->input.name, phase.part.Name());
        EYESHOT_ASSIGN_OR_RETURN(PhaseResult result, runner_->Run(name, phase.seconds, phase.request));
        if (run + 1 == flags_.runs) report_.last_run.push_back(result);
        results.phases.emplace_back(phase.part, std::move(result));
      }
      input->runs.push_back(std::move(results));
    }
  }
  report_.measured_s = static_cast<double>(SteadyNowNs() - begin) * 1e-9;
  return Status::Ok();
}

// Questions side by side, by the first group of meters that was read.
Status Workload::RunBatches() {
  for (const int batch : flags_.batches) {
    for (const auto& planned : inputs_) {
      const Input& input = planned->input;
      if (input.pictures.empty() && inputs_.size() > 1) continue;
      for (const int tokens : flags_.tokens) {
        fmt::print(stderr, "{} x {}, {} tokens, side by side\n", batch, input.name, tokens);
        EYESHOT_ASSIGN_OR_RETURN(BatchFigure figure,
                                 MeasureBatch(engine_, input.name, input.pictures,
                                              {.batch = batch,
                                               .phase_s = flags_.phase_s,
                                               .runs = flags_.runs,
                                               .tokens = tokens,
                                               .question = flags_.question,
                                               .detail = flags_.detail,
                                               .reduce = input.reduce,
                                               .meters = found_.meters,
                                               .group = report_.groups.empty() ? nullptr : &report_.groups.front(),
                                               .observer = governor_->observer(),
                                               .interrupt = &interrupt_}));
        report_.batches.push_back(std::move(figure));
      }
    }
  }
  return Status::Ok();
}

void Workload::Fill() {
  const PlannedInput& text = *inputs_.front();
  const SolveContext context{.groups = report_.groups, .idle = report_.idle, .ready = report_.ready};
  for (const auto& input : inputs_) {
    for (const int tokens : flags_.tokens) {
      RequestFigure figure =
          FigureOf(context, input->runs, tokens, input == inputs_.front() ? std::vector<InputRun>() : text.runs);
      figure.input = input->input.name;
      figure.pictures = static_cast<int>(input->input.pictures.size());
      figure.tiles = input->input.first.tiles;
      figure.visual_tokens = input->input.first.visual_tokens;
      figure.prompt_tokens = input->input.first.prompt_tokens;
      report_.requests.push_back(std::move(figure));
    }
  }
}

void Workload::UseModel() {
  const MachineChoice& choice = report_.machine;
  if (!choice.machine) return;
  report_.groups.push_back({.name = "model", .source = EnergySource::kModel});
  report_.period_s.push_back(0);
  report_.idle.emplace_back();
  report_.ready.emplace_back();
  AddModelGroup(report_.requests, [&](const StageFigure& stage) {
    const double seconds = stage.busy_s();
    return ModelJoules(*choice.machine, UtilizationOf(stage.counts, seconds, choice.peaks), seconds);
  });
}

Result<WorkloadReport> Workload::Run() {
  report_.missing = found_.missing;
  EYESHOT_ASSIGN_OR_RETURN(wanted_, AllInputs(flags_));
  if (!flags_.set.empty()) {
    EYESHOT_ASSIGN_OR_RETURN(set_, eval::QuestionSet::Load(flags_.set));
    set_.Thin(1, flags_.limit > 0 ? static_cast<size_t>(flags_.limit) : 0);
  }
  // Before anything is loaded: a GPU without a program on it takes less.
  fmt::print(stderr, "idle power, {:g} s\n", flags_.idle_seconds);
  PhaseRunner before(found_.meters, nullptr);
  const PhaseResult idle = before.Wait("idle", std::max(flags_.idle_seconds, before.ShortestPhase(0)));
  const std::vector<MeterGroup> all_groups(before.groups().begin(), before.groups().end());
  EYESHOT_RETURN_IF_ERROR(Load());
  EYESHOT_ASSIGN_OR_RETURN(report_.machine, ChooseMachine(flags_.machine, engine_->info()));
  KeepMeters();
  runner_ = std::make_unique<PhaseRunner>(found_.meters, gpu_.get());
  report_.groups.assign(runner_->groups().begin(), runner_->groups().end());
  const std::vector<std::optional<IdlePower>> idle_powers = PowersOf(idle);
  double period = 0;
  for (const MeterGroup& group : report_.groups) {
    const auto same = std::find_if(all_groups.begin(), all_groups.end(),
                                   [&](const MeterGroup& known) { return known.source == group.source; });
    const size_t index = static_cast<size_t>(same - all_groups.begin());
    const bool known = same != all_groups.end() && same->meters.size() == group.meters.size();
    report_.idle.push_back(known ? idle_powers[index] : std::nullopt);
    report_.period_s.push_back(same != all_groups.end() ? idle.groups[index].period_s : 0);
    period = std::max(period, report_.period_s.back());
  }
  runner_->SetPeriod(period);
  for (const std::unique_ptr<Meter>& meter : found_.meters) report_.meters.push_back(meter->info());
  fmt::print(stderr, "warming up\n");
  EYESHOT_RETURN_IF_ERROR(PlanText());
  EYESHOT_RETURN_IF_ERROR(PlanInputs());
  report_.ready = PowersOf(runner_->Wait("ready", std::max(flags_.idle_seconds, runner_->ShortestPhase(0))));
  EYESHOT_RETURN_IF_ERROR(RunAll());
  Fill();
  EYESHOT_RETURN_IF_ERROR(RunBatches());
  if (!set_.questions().empty()) {
    fmt::print(stderr, "{} questions of {}, {} times\n", set_.questions().size(), flags_.set, flags_.runs);
    EYESHOT_ASSIGN_OR_RETURN(report_.set, MeasureSet(*engine_, flags_.set, set_.questions(),
                                                     {.meters = found_.meters,
                                                      .groups = report_.groups,
                                                      .runs = flags_.runs,
                                                      .detail = flags_.detail,
                                                      .reduce = flags_.reduce,
                                                      .budget = budget_.get(),
                                                      .cancel = interrupt_.flag(),
                                                      .governor = governor_.get()}));
  }
  if (report_.groups.empty()) UseModel();
  EYESHOT_RETURN_IF_ERROR(governor_->Finish());
  report_.governor = governor_->Summary();
  report_.sampler_cpu_share = runner_->sampled_s() > 0 ? runner_->sampler_cpu_s() / runner_->sampled_s() : 0;
  return std::move(report_);
}

}  // namespace

Result<WorkloadReport> RunWorkload(const WorkloadFlags& flags, FoundMeters found, const Interrupt& interrupt) {
  return Workload(flags, std::move(found), interrupt).Run();
}

}  // namespace eyeshot::cli
