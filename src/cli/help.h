// How `--help` looks.
#ifndef EYESHOT_CLI_HELP_H_
#define EYESHOT_CLI_HELP_H_

#include <string>

namespace CLI {
class App;
}

namespace eyeshot::cli {

// Makes the help of `command` begin with "Usage: `usage`"; CLI11's own line doesn't know what positionals mean.
void SetUsage(CLI::App& command, std::string usage);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_HELP_H_
