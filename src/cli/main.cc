// The program `eyeshot`: what it can do and what its exit codes mean. One file a command.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/report.h"

namespace eyeshot::cli {
namespace {

constexpr const char* kFooter = R"(Examples:
  eyeshot ask receipt.png "What is the total?"     a question about a picture
  eyeshot chat chart.png                           a conversation
  eyeshot inspect photo.jpg --tiles tiles.png      how a picture is cut into tiles
  eyeshot bench                                    what each stage costs on this machine
  eyeshot pull HuggingFaceTB/SmolVLM-256M-Instruct a model from the Hugging Face hub
  eyeshot doctor MODEL                             whether a model's files are whole and right
  eyeshot energy -- COMMAND                        the joules that a command takes
  eyeshot quantize MODEL OUT                       a folder with packed weights, which loads at once
  eyeshot plan --max-ms 500 MODEL MODEL            which model at which detail, and why
  eyeshot serve                                    a server with OpenAI's API and a web page
  eyeshot batch questions.jsonl answers.jsonl      a file of requests in OpenAI's shape
  eyeshot simulate policies --machine h100-sxm     what clocks would save on a machine that is not here
  eyeshot tune                                     which threads and clocks are enough, for --governor
`eyeshot COMMAND --help` says more about each.

Exit codes: 0 success; 1 the run failed (bad file, model, picture, limit); 2 wrong usage;
3 the question does not fit into the model's context; 130 cancelled by Ctrl-C.
Environment: EYESHOT_MODEL (a model), EYESHOT_ISA (an instruction set), and for `pull` those of huggingface_hub (HF_HOME, HF_TOKEN, ...).)";

// The words behind "--" of `eyeshot energy -- COMMAND`, which `argc` then leaves out: they are another program's, and
// CLI11 would read flags and lists into them.
std::optional<std::vector<std::string>> TakeMeasuredCommand(int& argc, char** argv) {
  if (argc < 2 || std::string_view(argv[1]) != "energy") return std::nullopt;
  char** const end = argv + argc;
  char** const mark = std::find(argv, end, std::string_view("--"));
  if (mark == end) return std::nullopt;
  argc = static_cast<int>(mark - argv);
  return std::vector<std::string>(mark + 1, end);
}

int Run(int argc, char** argv) {
  const std::optional<std::vector<std::string>> measured = TakeMeasuredCommand(argc, argv);
  CLI::App program("Eyeshot answers questions about pictures with small vision-language models.", "eyeshot");
  int exit_code = kExitOk;
  program.set_version_flag("--version", EYESHOT_VERSION);
  program.require_subcommand(0, 1);  // none is reported below: CLI11 would prefer that over a misspelled word
  SetUsage(program, "eyeshot COMMAND [OPTIONS] [ARGUMENTS]");
  program.footer(kFooter);
  AddAskCommand(program, exit_code);
  AddChatCommand(program, exit_code);
  AddInspectCommand(program, exit_code);
  AddBenchCommand(program, exit_code);
  AddEvalCommand(program, exit_code);
  AddQuantizeCommand(program, exit_code);
  AddPullCommand(program, exit_code);
  AddModelsCommand(program, exit_code);
  AddEnergyCommand(program, measured, exit_code);
  AddDoctorCommand(program, exit_code);
  AddSimulateCommand(program, exit_code);
  AddTuneCommand(program, exit_code);
  AddPlanCommand(program, exit_code);
#ifdef EYESHOT_HAS_SERVER
  AddServeCommand(program, exit_code);
  AddBatchCommand(program, exit_code);
#endif
  AddDevCommand(program, exit_code);
  try {
    program.parse(argc, argv);
    if (program.get_subcommands().empty()) throw CLI::RequiredError::Subcommand(1);
  } catch (const CLI::Success& help) {
    return program.exit(help);
  } catch (const CLI::ParseError& error) {
    const bool json = std::any_of(argv, argv + argc, [](std::string_view word) { return word == "--json"; });
    ReportError(InvalidArgumentError(error.what(), "`eyeshot --help` and `eyeshot COMMAND --help` list what there is"),
                json);
    return kExitUsage;
  }
  return exit_code;
}

}  // namespace
}  // namespace eyeshot::cli

int main(int argc, char** argv) {
  try {
    eyeshot::cli::RepairClocks();
    return eyeshot::cli::Run(argc, argv);
  } catch (const std::exception& error) {
    // Out of memory for something small, or a full disk under standard output.
    fmt::print(stderr, "eyeshot: {}\n", error.what());
    return eyeshot::cli::kExitFailed;
  }
}
