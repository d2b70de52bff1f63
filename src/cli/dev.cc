// eyeshot dev: for those who work on Eyeshot.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/cpu.h"
#include "cli/commands.h"
#include "cli/dev_text.h"
#include "cli/governor_flags.h"
#include "cli/help.h"
#include "cli/progress.h"
#include "cli/report.h"
#include "models/seeded_checkpoint.h"

namespace eyeshot::cli {
namespace {

int MakeCheckpoint(SeededCheckpointOptions options) {
  Progress progress(true);
  options.on_progress = [&progress](double share) { progress.Show("writing", share); };
  const auto start = std::chrono::steady_clock::now();
  const Status status = WriteSeededCheckpoint(options);
  progress.Clear();
  if (!status.ok()) return ReportError(status, false);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  fmt::print("{} written in {:.1f} s\n", options.out_dir, passed.count());
  return kExitOk;
}

void AddCheckpointCommand(CLI::App& dev, int& exit_code) {
  auto options = std::make_shared<SeededCheckpointOptions>();
  CLI::App* command = dev.add_subcommand("checkpoint", "Make a checkpoint of true shape with weights from a seed");
  SetUsage(*command, "eyeshot dev checkpoint --config DIR --seed N [--outliers] --out DIR");
  command->add_option("--config", options->config_dir, "Folder with config.json, tokenizer and processor files")
      ->required()
      ->type_name("DIR");
  command->add_option("--seed", options->seed, "The same seed gives the same bytes")->required()->type_name("N");
  command->add_flag("--outliers", options->outliers,
                    "Make 8 channels of the tower's activations 50 times larger, as real towers have them");
  command->add_option("--out", options->out_dir, "Folder to make")->required()->type_name("DIR");
  command->add_option("-t,--threads", options->threads, "Threads; 0 takes the cores that this process may use")
      ->check(CLI::Range(0, 256))
      ->type_name("N");
  command->footer(R"(Examples:
  eyeshot dev checkpoint --config configs/SmolVLM-256M-Instruct --seed 1 --out /tmp/smolvlm-256m

tests/golden/checkpoint.py makes the same bytes; docs/design.md section 8 has the formula.)");
  command->callback([options, &exit_code] { exit_code = MakeCheckpoint(*options); });
}

void AddIsasCommand(CLI::App& dev, int& exit_code) {
  CLI::App* command = dev.add_subcommand("isas", "List the instruction sets of this machine, weakest first");
  SetUsage(*command, "eyeshot dev isas");
  command->footer("Examples:\n  for isa in $(eyeshot dev isas); do EYESHOT_ISA=$isa eyeshot bench; done");
  command->callback([&exit_code] {
    for (Isa isa : SupportedIsas()) fmt::print("{}\n", IsaName(isa));
    exit_code = kExitOk;
  });
}

// Started by the program itself, and not listed.
void AddGuardCommand(CLI::App& dev, int& exit_code) {
  auto lease = std::make_shared<std::string>();
  CLI::App* command = dev.add_subcommand(kGuardCommand, "")->group("");
  command->add_option("lease", *lease)->required();
  command->callback([lease, &exit_code] {
    const Status status = GuardLease(*lease);
    exit_code = status.ok() ? kExitOk : ReportError(status, false);
  });
}

}  // namespace

void AddDevCommand(CLI::App& program, int& exit_code) {
  CLI::App* command = program.add_subcommand("dev", "Tools for those who work on Eyeshot");
  SetUsage(*command, "eyeshot dev COMMAND [OPTIONS]");
  command->require_subcommand(0, 1);
  command->final_callback([command] {
    if (command->get_subcommands().empty()) throw CLI::RequiredError::Subcommand(1);
  });
  command->footer("Examples:\n  eyeshot dev isas\n  eyeshot dev checkpoint --config DIR --seed 1 --out DIR");
  AddCheckpointCommand(*command, exit_code);
  AddIsasCommand(*command, exit_code);
  AddGuardCommand(*command, exit_code);
  AddTextCommands(*command, exit_code);
}

}  // namespace eyeshot::cli
