// The commands of the program `eyeshot`, one file each, and what they have in common.
#ifndef EYESHOT_CLI_COMMANDS_H_
#define EYESHOT_CLI_COMMANDS_H_

#include <optional>
#include <string>
#include <vector>

#include "eyeshot/status.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

// What the program returns to the shell. docs/cli.md lists these for users.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;        // a bad file, model, picture or limit
inline constexpr int kExitUsage = 2;         // a flag or argument that can't be
inline constexpr int kExitContextFull = 3;   // the prompt does not fit into the model's context
inline constexpr int kExitCancelled = 130;   // Ctrl-C, as shells count it: 128 + SIGINT

// Each adds its subcommand; when that was chosen, `exit_code` is set while the arguments are parsed.
void AddAskCommand(CLI::App& program, int& exit_code);
void AddChatCommand(CLI::App& program, int& exit_code);
void AddInspectCommand(CLI::App& program, int& exit_code);
void AddBenchCommand(CLI::App& program, int& exit_code);
void AddEvalCommand(CLI::App& program, int& exit_code);
void AddQuantizeCommand(CLI::App& program, int& exit_code);
void AddPullCommand(CLI::App& program, int& exit_code);
void AddModelsCommand(CLI::App& program, int& exit_code);
// `measured`: the command behind "--", word by word; nothing where there is no "--".
void AddEnergyCommand(CLI::App& program, const std::optional<std::vector<std::string>>& measured, int& exit_code);
void AddDoctorCommand(CLI::App& program, int& exit_code);
void AddSimulateCommand(CLI::App& program, int& exit_code);
void AddServeCommand(CLI::App& program, int& exit_code);  // where EYESHOT_HAS_SERVER is defined
void AddBatchCommand(CLI::App& program, int& exit_code);  // there too
void AddTuneCommand(CLI::App& program, int& exit_code);
void AddPlanCommand(CLI::App& program, int& exit_code);
void AddDevCommand(CLI::App& program, int& exit_code);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_COMMANDS_H_
