// eyeshot energy: what questions cost in joules, stage by stage; eyeshot energy -- COMMAND: what another program does;
// eyeshot energy compare: models side by side.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/energy_compare.h"
#include "cli/energy_flags.h"
#include "cli/energy_html.h"
#include "cli/energy_of_command.h"
#include "cli/energy_report.h"
#include "cli/energy_workload.h"
#include "cli/generation_flags.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/question_budget.h"
#include "cli/report.h"
#include "energy/meters/cpu_model.h"
#include "energy/meters/find.h"

namespace eyeshot::cli {

std::string MissingText(const std::vector<MissingMeter>& missing) {
  std::string text;
  for (const MissingMeter& meter : missing) text += fmt::format("- {}: {}\n", meter.kind, meter.reason.message());
  return text;
}

OrderedJson MissingJson(const std::vector<MissingMeter>& missing) {
  OrderedJson json = OrderedJson::array();
  for (const MissingMeter& meter : missing) {
    json.push_back({{"meter", meter.kind}, {"why", meter.reason.found()}, {"what_to_do", meter.reason.mend()}});
  }
  return json;
}

namespace {

constexpr double kMaxIdleSeconds = 3600;
constexpr double kMaxSeconds = 3600;

int MeasureWorkload(const EnergyFlags& flags, FoundMeters found, const PerKwh& rates) {
  WorkloadFlags workload = flags.workload;
  if (flags.idle_s > 0) workload.idle_seconds = flags.idle_s;
  const Interrupt interrupt;
  Result<WorkloadReport> report = RunWorkload(workload, std::move(found), interrupt);
  if (!report.ok()) return ReportError(report.status(), flags.json);
  report->rates = rates;
  if (!flags.html.empty()) {
    if (const Status status = WriteTextFile(flags.html, WorkloadHtml(*report)); !status.ok()) {
      return ReportError(status, flags.json);
    }
  }
  const std::string text = flags.json ? JsonLine(WorkloadJson(*report)) : WorkloadText(*report);
  if (!flags.output.empty()) {
    if (const Status status = WriteTextFile(flags.output, text); !status.ok()) return ReportError(status, flags.json);
    return kExitOk;
  }
  fmt::print("{}", text);
  std::fflush(stdout);
  return kExitOk;
}

int RunEnergy(const EnergyFlags& flags, const std::optional<std::vector<std::string>>& command) {
  if (command && command->empty()) {
    ReportError(InvalidArgumentError("there is no command to measure", "write it behind --: eyeshot energy -- sleep 1"),
                flags.json);
    return kExitUsage;
  }
  const Result<KwhRates> rates = ReadRates(flags.cost);
  if (!rates.ok()) return ReportError(rates.status(), flags.json);
  const double now = WallClock();
  if (const Status status = rates->Check(now, now); !status.ok()) return ReportError(status, flags.json);
  FoundMeters found = FindMeters(flags.sysfs);
  if (!flags.cpu_watts.empty()) {
    Result<std::unique_ptr<Meter>> model = OpenCpuModel({flags.cpu_watts[0], flags.cpu_watts[1]});
    if (!model.ok()) return ReportError(model.status(), flags.json);
    found.meters.push_back(*std::move(model));
  }
  return command ? MeasureCommand(flags, std::move(found), *command, *rates)
                 : MeasureWorkload(flags, std::move(found), MeanOf(*rates, now, now));
}

void AddWorkloadFlags(CLI::App& command, WorkloadFlags& flags) {
  command.add_option("images", flags.images, "Pictures to ask about; synthetic ones without")->type_name("IMAGE...");
  AddModelFlags(command, flags.model);
  AddGovernorFlags(command, flags.governor);
  AddDetailFlag(command, flags.detail);
  AddReduceFlag(command, flags.reduce);
  AddWattsFlag(command, flags.watts);
  command.add_option("--sizes", flags.sizes, "Sizes of synthetic pictures, with commas; 512x512,1024x1024 by default")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("WxH,...");
  command.add_option("--images-per-question", flags.per_question, "Numbers of pictures of a question")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 64))
      ->type_name("N,...");
  command.add_option("--tokens", flags.tokens, "Lengths of answers; they go on whatever the model says")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str()
      ->type_name("N,...");
  command
      .add_option("--batch", flags.batches, "Also ask so many questions side by side, and share joules by work done")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, limits::kMaxSequences))
      ->type_name("N,...");
  AddPhaseFlag(command, flags.phase_s);
  command.add_option("--question", flags.question, "What is asked")->capture_default_str()->type_name("TEXT");
  command.add_option("--set", flags.set, "Also ask a set of questions, and report joules a correct answer")
      ->type_name("SET.jsonl");
  command.add_option("--limit", flags.limit, "At most N questions of it; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("N");
  command
      .add_option("--machine", flags.machine,
                  "A machine of data/machines or a FILE.json: peaks and, without a meter, a model's power")
      ->type_name("NAME|FILE.json");
  command.add_option("--runs", flags.runs, "Repetitions of the whole measurement")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str()
      ->type_name("R");
  command
      .add_option("--seconds", flags.seconds,
                  "Of each input and run, shared by its phases; more where a meter is too slow for that")
      ->check(CLI::Range(0.0, kMaxSeconds))
      ->capture_default_str()
      ->type_name("S");
}

}  // namespace

void AddEnergyCommand(CLI::App& program, const std::optional<std::vector<std::string>>& measured, int& exit_code) {
  auto flags = std::make_shared<EnergyFlags>();
  CLI::App* command =
      program.add_subcommand("energy", "Measure the joules of questions, stage by stage, or of another program");
  SetUsage(*command,
           "eyeshot energy [OPTIONS] [IMAGE...]\n       eyeshot energy [OPTIONS] -- COMMAND [ARGUMENTS...]\n       "
           "eyeshot energy compare [OPTIONS]");
  AddWorkloadFlags(*command, flags->workload);
  command
      ->add_option("--cpu-watts", flags->cpu_watts,
                   "Estimate the processor too: watts of the machine when it does nothing, and more for each busy core")
      ->delimiter(',')
      ->expected(2)
      ->type_name("IDLE,BUSY");
  command
      ->add_option("--idle-seconds", flags->idle_s,
                   "First measure so long what the machine takes when it idles; 2 by default for questions")
      ->check(CLI::Range(0.0, kMaxIdleSeconds))
      ->type_name("S");
  command->add_option("--sysfs", flags->sysfs, "Where sysfs is, of the host in a container; /sys by default")
      ->type_name("DIR");
  command->add_option("-o,--output", flags->output, "Write the report into a file")->type_name("FILE");
  command
      ->add_option("--html", flags->html, "Also write a report of questions with charts, one file that needs no other")
      ->type_name("FILE.html");
  AddCostFlags(*command, flags->cost);
  command->add_flag("--json", flags->json, "Report one JSON object");
  command->footer(R"(Examples:
  eyeshot energy --sizes 512x512,2048x2048 --tokens 16,256     joules of each stage, and over text alone
  eyeshot energy photo.jpg --device cuda --runs 5 --json       of a picture of yours, on a GPU
  eyeshot energy --batch 1,4 --sizes 512x512                   four questions side by side
  eyeshot energy --html energy.html                            with charts
  eyeshot energy --set questions.jsonl                         joules a correct answer
  eyeshot energy -- eyeshot ask photo.jpg "What is this?"      joules of one answer
  eyeshot energy --idle-seconds 10 -- make -j8                 what the work took beyond idling
  eyeshot energy --cpu-watts 40,8 -- make                      an estimate where nothing can be read
  eyeshot energy --json -o report.json -- ./program --flag
  eyeshot energy compare --html models.html                    unlike models side by side, mostly simulated

The exit code is a command's own; 127 or 126 where it can't be started, 1 where no meter can be read. Its report is on
standard error, JSON on standard output. docs/meters.md says what each meter needs, and how stages are told apart.)");
  const CLI::App* const compare = AddEnergyCompareCommand(*command, measured.has_value(), exit_code);
  command->callback([flags, measured, compare, &exit_code] {
    if (!compare->parsed()) exit_code = RunEnergy(*flags, measured);
  });
}

}  // namespace eyeshot::cli
