#include "cli/energy_compare.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/program_files.h"
#include "cli/report.h"
#include "energy/simulator/machine.h"
#include "energy/simulator/power.h"

namespace eyeshot::cli {
namespace {

using namespace simulator;  // NOLINT(google-build-using-namespace): the file is about nothing else

constexpr const char* kDefaultModels[] = {"SmolVLM-256M",       "SmolVLM-500M", "SmolVLM-2.2B", "Qwen2.5-VL-7B",
                                          "LLaVA-OneVision-7B", "LLaVA-1.5-7B", "InternVL3-8B"};
constexpr char kMeasuredFile[] = "h100-transformers.json";

bool IsFolder(const std::filesystem::path& path) { return std::filesystem::is_directory(path); }

Result<MeasuredRows> LoadMeasured() {
  EYESHOT_ASSIGN_OR_RETURN(const std::string dir, FindBesideProgram("measured", "data/measured", IsFolder));
  return ReadMeasured(JoinPath(dir, kMeasuredFile));
}

ComparedCost MakeCost(std::string label, const Software& software, const StageShares& shares) {
  return {
      .label = std::move(label), .software = std::string(software.name), .shares = shares, .bounds = BoundsOf(shares)};
}

// Rows are of single requests.
Result<std::vector<ComparedCost>> CostsOf(const Comparison& comparison, const MeasuredRows& measured,
                                          const PictureWork& work) {
  const CompareFlags& flags = comparison.flags;
  const Machine& machine = comparison.machine;
  std::vector<ComparedCost> costs;
  const MeasuredRow* const row =
      measured.machine == flags.machine && flags.batch == 1 ? measured.Find(work.model.name, work.request) : nullptr;
  if (row != nullptr) {
    EYESHOT_ASSIGN_OR_RETURN(const Software software, FindSoftware(measured.software));
    costs.push_back(MakeCost(measured.label, software, MeasuredShares(machine, software, work, *row)));
    costs.back().measured = true;
    costs.back().relative_error = measured.relative_error;
  }
  costs.push_back(MakeCost(fmt::format("simulated, {}", comparison.software.name), comparison.software,
                           SimulatedShares(machine, comparison.software, work, flags.batch, machine.clock_max_mhz)));
  return costs;
}

std::vector<ComparedPictures> PicturesOf(const Comparison& comparison, const ModelShape& model) {
  std::vector<ComparedPictures> all;
  for (const double side : kComparedSides) {
    for (const int pictures : kComparedPictures) {
      ComparedPictures one{
          side, pictures,
          WorkOfPictures(model, side, pictures, comparison.flags.text_tokens, comparison.flags.output_tokens)};
      const StageShares shares = SimulatedShares(comparison.machine, comparison.software, one.work,
                                                 comparison.flags.batch, comparison.machine.clock_max_mhz);
      one.seconds = SecondsOf(shares);
      one.joules = JoulesOf(shares);
      all.push_back(one);
    }
  }
  return all;
}

Result<ComparedModel> CompareModel(const Comparison& comparison, const MeasuredRows& measured,
                                   const std::string& name) {
  const CompareFlags& flags = comparison.flags;
  EYESHOT_ASSIGN_OR_RETURN(const ModelShape model, FindModelShape(name));
  ComparedModel compared{.work = WorkOfUsualPicture(model, flags.text_tokens, flags.output_tokens)};
  EYESHOT_ASSIGN_OR_RETURN(compared.costs, CostsOf(comparison, measured, compared.work));
  for (size_t i = 0; i < std::size(kComparedOutputs); ++i) {
    const PictureWork work = WorkOfUsualPicture(model, flags.text_tokens, kComparedOutputs[i]);
    compared.bounds[i] = BoundsOf(SimulatedShares(comparison.machine, comparison.software, work, flags.batch,
                                                  comparison.machine.clock_max_mhz))
                             .bound();
  }
  compared.inflation = InflationOf(comparison.machine, model, comparison.software, compared.work.request);
  if (compared.costs.front().measured) {
    const MeasuredRow& row = *measured.Find(model.name, compared.work.request);
    compared.measured_inflation = row.joules() / row.text_only_joules - 1;
  }
  compared.pictures = PicturesOf(comparison, model);
  compared.levers =
      LeversOf(comparison.machine, comparison.software, compared.work, flags.batch, flags.slowdown_percent / 100);
  return compared;
}

Status WriteCharts(const Comparison& comparison) {
  if (!comparison.flags.html.empty()) {
    EYESHOT_RETURN_IF_ERROR(WriteTextFile(comparison.flags.html, ComparisonHtml(comparison)));
  }
  if (comparison.flags.svg.empty()) return Status::Ok();
  if (!IsDirectory(comparison.flags.svg)) {
    return NotFoundError(fmt::format("--svg {}: there is no such folder", comparison.flags.svg), "make it first");
  }
  for (const auto& [name, svg] : ComparisonSvgs(comparison)) {
    EYESHOT_RETURN_IF_ERROR(WriteTextFile(JoinPath(comparison.flags.svg, name), svg));
  }
  return Status::Ok();
}

int RunCompare(const CompareFlags& flags) {
  const Result<Comparison> comparison = Compare(flags);
  if (!comparison.ok()) return ReportError(comparison.status(), flags.json);
  if (const Status status = WriteCharts(*comparison); !status.ok()) return ReportError(status, flags.json);
  fmt::print("{}", flags.json ? ComparisonJson(*comparison) : ComparisonText(*comparison));
  std::fflush(stdout);
  return kExitOk;
}

}  // namespace

const Lever& ComparedModel::advised() const {
  for (const Lever& lever : levers) {
    if (lever.name != "batch") return lever;
  }
  return levers.front();
}

Result<Comparison> Compare(const CompareFlags& flags) {
  Comparison comparison{.flags = flags};
  EYESHOT_ASSIGN_OR_RETURN(const std::string machines, FindBesideProgram("machines", "data/machines", IsFolder));
  EYESHOT_ASSIGN_OR_RETURN(comparison.machine, LoadMachine(flags.machine, machines));
  EYESHOT_ASSIGN_OR_RETURN(comparison.software, FindSoftware(flags.software));
  EYESHOT_ASSIGN_OR_RETURN(const MeasuredRows measured, LoadMeasured());
  std::vector<std::string> names = flags.models;
  if (names.empty()) names.assign(std::begin(kDefaultModels), std::end(kDefaultModels));
  std::vector<PictureWork> works;
  for (const std::string& name : names) {
    EYESHOT_ASSIGN_OR_RETURN(ComparedModel model, CompareModel(comparison, measured, name));
    if (model.costs.front().measured) comparison.source_of_measured = measured.source;
    works.push_back(model.work);
    comparison.models.push_back(std::move(model));
  }
  RegretSetup setup{.load = flags.load, .slowdown = flags.slowdown_percent / 100, .layout = Layout::kOneDevice};
  comparison.one_clock = RegretOf(comparison.machine, comparison.software, works, setup);
  setup.layout = Layout::kPools;
  comparison.pools = RegretOf(comparison.machine, comparison.software, works, setup);
  return comparison;
}

const CLI::App* AddEnergyCompareCommand(CLI::App& energy, bool has_command, int& exit_code) {
  auto flags = std::make_shared<CompareFlags>();
  constexpr double kMaxTokens = limits::kMaxContext;
  CLI::App* command = energy.add_subcommand("compare", "Unlike models side by side, measured or simulated");
  SetUsage(*command, "eyeshot energy compare [OPTIONS]");
  command->add_option("--machine", flags->machine, "A described machine, or FILE.json")->capture_default_str();
  command->add_option("--software", flags->software, "graph, transformers or vllm")->capture_default_str();
  command->add_option("--models", flags->models, "Shapes, with commas (an unknown name lists them)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  command->add_option("--text", flags->text_tokens, "Text tokens of the prompt")
      ->check(CLI::Range(1.0, kMaxTokens))
      ->capture_default_str();
  command->add_option("--output", flags->output_tokens, "Tokens of the answer")
      ->check(CLI::Range(1.0, kMaxTokens))
      ->capture_default_str();
  command->add_option("--batch", flags->batch, "Requests taken together")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--slowdown", flags->slowdown_percent, "Percent of time that tuned clocks may cost")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str();
  command->add_option("--load", flags->load, "Of profiles: arrivals a second times seconds of one request alone")
      ->check(CLI::Range(0.01, 10.0))
      ->capture_default_str();
  command->add_option("--html", flags->html, "Also write a page with charts")->type_name("FILE.html");
  command->add_option("--svg", flags->svg, "Also write the charts as SVG files into a folder")->type_name("DIR");
  command->add_flag("--json", flags->json, "Print one JSON object");
  command->footer(R"(Examples:
  eyeshot energy compare --html models.html             seven models on an H100, with charts
  eyeshot energy compare --output 16 --batch 8          short answers, eight requests together
  eyeshot energy compare --machine jetson-orin --models SmolVLM-256M,SmolVLM-2.2B --json

Rows that were measured say so; all else is simulated. docs/energy.md says how, and how far that lies from published
figures.)");
  command->callback([flags, has_command, &exit_code] {
    if (has_command) throw CLI::ValidationError("energy compare", "it measures no command: leave out --");
    exit_code = RunCompare(*flags);
  });
  return command;
}

}  // namespace eyeshot::cli
