// eyeshot dev perplexity, eyeshot dev continue.
#ifndef EYESHOT_CLI_DEV_TEXT_H_
#define EYESHOT_CLI_DEV_TEXT_H_

#include "cli/commands.h"

namespace eyeshot::cli {

void AddTextCommands(CLI::App& dev, int& exit_code);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_DEV_TEXT_H_
