// eyeshot batch: a file of requests in OpenAI's shape, answered into another file.
#include "server/batch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "cli/run_meter.h"
#include "cli/serving.h"
#include "runtime/engine_parts.h"
#include "server/batch_files.h"

namespace eyeshot::cli {
namespace {

using Clock = std::chrono::steady_clock;

// Between two lines where standard error is no terminal.
constexpr std::chrono::seconds kLineTime{10};
// Between two times that the meters are asked for what is shown.
constexpr std::chrono::seconds kMeterTime{1};

struct BatchFlags {
  std::string input, output;
  ServingOptions serving;
  server::BatchOptions batch = {.defaults = {.max_tokens = 1024, .detail = {PictureDetail::Kind::kAuto, 0}}};
  RequestPlanFlags plan;
  bool json = false;
  bool quiet = false;
};

std::string JoulesText(const Joules& joules) {
  if (joules.source == EnergySource::kNone) return "";
  return fmt::format(", {:.4g} J ({})", joules.value, EnergySourceName(joules.source));
}

// Tells on standard error how far the batch is.
class BatchProgress {
 public:
  BatchProgress(bool wanted, const RunMeter& meter)
      : wanted_(wanted), terminal_(isatty(STDERR_FILENO) == 1), meter_(meter), line_(wanted) {}

  double seconds() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  void Tell(const server::BatchReport& report) {
    if (!wanted_) return;
    const Clock::time_point now = Clock::now();
    if (now >= next_joules_) {
      joules_ = meter_.SoFar();
      next_joules_ = now + kMeterTime;
    }
    const std::string what = fmt::format("{} of {}", report.done(), report.requests);
    if (terminal_) {
      line_.Show(what, static_cast<double>(report.done()) / static_cast<double>(std::max<int64_t>(report.requests, 1)),
                 Rest(report));
    } else if (now >= next_line_) {
      fmt::print(stderr, "{}: {}\n", what, Rest(report));
      next_line_ = now + kLineTime;
    }
  }

  void Clear() { line_.Clear(); }

 private:
  std::string Rest(const server::BatchReport& report) const {
    const auto answered = static_cast<double>(report.answered);
    std::string text = fmt::format("{:.3g}/s, {:.3g} tok/s", answered / seconds(),
                                   static_cast<double>(report.completion_tokens) / seconds());
    if (report.answered > 0) {
      const auto left = static_cast<double>(report.requests - report.done() - report.put_off);
      text += fmt::format(", {} left", DurationText(left * seconds() / answered));
    }
    if (report.failed > 0) text += fmt::format(", {} failed", report.failed);
    return text + JoulesText(joules_);
  }

  const bool wanted_;
  const bool terminal_;
  const RunMeter& meter_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point next_line_ = begin_ + kLineTime, next_joules_ = begin_ + kMeterTime;
  Joules joules_;
  Progress line_;
};

void PrintSummary(const server::BatchReport& report, double seconds, const Joules& joules,
                  const std::string& governor) {
  std::string text = fmt::format("{} of {} requests are answered", report.done(), report.requests);
  if (report.answered_before > 0) text += fmt::format(", {} of them by earlier runs", report.answered_before);
  if (report.failed > 0) text += fmt::format("; {} have an error", report.failed);
  const auto answered = static_cast<double>(report.answered);
  if (report.answered > 0) {
    text += fmt::format("\n{} in {:.3g} s: {:.3g} requests/s, {} prompt and {} answer tokens, {:.3g} answer tokens/s",
                        report.answered, seconds, answered / seconds, report.prompt_tokens, report.completion_tokens,
                        static_cast<double>(report.completion_tokens) / seconds);
  }
  if (report.answered > 0 && joules.source != EnergySource::kNone) {
    text += fmt::format("{}, {:.3g} J a request", JoulesText(joules), joules.value / answered);
  }
  if (!governor.empty()) text += "\n" + governor;
  fmt::print(stderr, "{}\n", text);
}

void PrintJsonSummary(const BatchFlags& flags, const server::BatchReport& report, const ModelInfo& info, double seconds,
                      const Joules& joules, const std::string& governor) {
  PrintJson({{"output", flags.output},
             {"model", info.name},
             {"device", info.device},
             {"precision", info.precision},
             {"requests", report.requests},
             {"answered_before", report.answered_before},
             {"answered", report.answered},
             {"failed", report.failed},
             {"put_off", report.put_off},
             {"stopped", report.stopped},
             {"seconds", seconds},
             {"requests_per_second", static_cast<double>(report.answered) / seconds},
             {"prompt_tokens", report.prompt_tokens},
             {"completion_tokens", report.completion_tokens},
             {"completion_tokens_per_second", static_cast<double>(report.completion_tokens) / seconds},
             {"joules", JoulesJson(joules)},
             {"governor", governor.empty() ? OrderedJson() : OrderedJson(governor)},
             {"stages", StagesJson(report.ledger)}});
}

int ExitCodeOf(const server::BatchReport& report) {
  constexpr const char* kGoOn = "the same command goes on with the rest";
  if (report.put_off > 0) {
    fmt::print(stderr, "eyeshot: {} requests were put off, the first because: {}; {}\n", report.put_off,
               report.why_put_off.message(), kGoOn);
  }
  if (report.stopped) {
    fmt::print(stderr, "eyeshot: stopped; {}\n", kGoOn);
    return kExitCancelled;
  }
  return report.put_off > 0 || report.failed > 0 ? kExitFailed : kExitOk;
}

// What the scheduler's model doesn't say of itself, and answers depend on.
std::string ModelSettings(const BatchFlags& flags) {
  const ModelFlags& model = flags.serving.model;
  std::string settings =
      fmt::format("kv_cache={} frame_edge={} pillow13={} hf_defaults={} mmproj={} jpeg_scaling={}", model.kv_cache,
                  model.frame_edge, model.pillow13, model.hf_defaults, model.mmproj, flags.serving.jpeg_scaling);
  // Only where they are given, so that files of runs without any go on as they were.
  if (flags.plan.watts > 0) settings += fmt::format(" watts={}", flags.plan.watts);
  for (const std::string& file : flags.plan.points) settings += fmt::format(" points={}", file);
  return settings;
}

Status Run(const BatchFlags& flags, int& exit_code) {
  const Interrupt interrupt;
  EYESHOT_RETURN_IF_ERROR(server::BatchInput::Open(flags.input).status());  // before a model is loaded
  EYESHOT_RETURN_IF_ERROR(CheckRequestPlanFlags(flags.plan));
  EYESHOT_ASSIGN_OR_RETURN(ServedModel model, LoadServedModel(flags.serving, !flags.quiet));
  RunMeter meter(model.engine->info());
  BatchProgress progress(!flags.quiet, meter);
  server::BatchOptions options = flags.batch;
  options.settings = ModelSettings(flags);
  options.planner = PlannerFor(*model.engine, PartsOf(*model.engine).model->backend(), flags.serving.model, flags.plan);
  if (!flags.quiet) {
    options.log = [&progress](std::string_view line) {
      progress.Clear();
      fmt::print(stderr, "{}\n", line);
    };
  }
  options.stop = interrupt.flag();
  options.on_progress = [&progress](const server::BatchReport& report) { progress.Tell(report); };
  const Result<server::BatchReport> report =
      server::RunBatch(*model.scheduler, model.media, options, flags.input, flags.output);
  const double seconds = progress.seconds();
  const Joules joules = meter.Finish();
  progress.Clear();
  Status ended = EndServedModel(model);
  if (!report.ok()) return report.status();
  const std::string governor = model.governor->Summary();
  if (!flags.quiet) PrintSummary(*report, seconds, joules, governor);
  if (flags.json) PrintJsonSummary(flags, *report, model.engine->info(), seconds, joules, governor);
  exit_code = ExitCodeOf(*report);
  return ended;
}

int RunBatchCommand(BatchFlags flags) {
  server::MediaOptions& media = flags.batch.media;
  if (const Status allowed = CheckAllowedFolder(media); !allowed.ok()) {
    ReportError(allowed, flags.json);
    return kExitUsage;
  }
  if (media.allowed_folder.empty()) {
    std::error_code error;
    media.allowed_folder = std::filesystem::absolute(flags.input, error).parent_path().string();
  }
  // Beside those that are answered as many are ready, so that no place stays empty while a picture is read.
  flags.batch.under_way = 2 * flags.serving.scheduler.sequences;
  flags.serving.scheduler.queue = static_cast<size_t>(flags.batch.under_way);
  int exit_code = kExitOk;
  const Status status = Run(flags, exit_code);
  return status.ok() ? exit_code : ReportError(status, flags.json);
}

}  // namespace

void AddBatchCommand(CLI::App& program, int& exit_code) {
  auto flags = std::make_shared<BatchFlags>();
  CLI::App* command = program.add_subcommand("batch", "Answers a file of requests in the shape of OpenAI's batches");
  SetUsage(*command, "eyeshot batch [OPTIONS] REQUESTS.jsonl ANSWERS.jsonl");
  command->add_option("requests", flags->input, "A file with a request a line")->required()->type_name("FILE");
  command->add_option("answers", flags->output, "A file for the answers; what it has already is not asked again")
      ->required()
      ->type_name("FILE");
  AddServingFlags(*command, flags->serving);
  AddMediaFlags(*command, flags->batch.media, "; without it that of the requests' file");
  AddBodyFlag(*command, flags->batch.media.max_bytes);
  AddGenerationFlags(*command, flags->batch.defaults);
  AddRequestPlanFlags(*command, flags->plan);
  command->add_flag("--json", flags->json, "What was done as JSON on standard output");
  command->add_flag("-q,--quiet", flags->quiet, "Errors alone");
  command->footer(
      R"(Flags of generation are for requests that say nothing of it. Exit codes: 0 all are answered; 1 some have an error, or
were put off; 130 stopped by Ctrl-C. The same command goes on after a stop, a kill or a full disk.

Examples:
  eyeshot batch requests.jsonl answers.jsonl
  eyeshot batch --parallel 16 --precision int8 requests.jsonl answers.jsonl

A line of REQUESTS.jsonl:
  {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [...]}}

docs/batch.md has the rest.)");
  command->callback([flags, &exit_code] { exit_code = RunBatchCommand(*flags); });
}

}  // namespace eyeshot::cli
