// eyeshot energy -- COMMAND: what another program costs in joules, by the meters that this machine has.
#ifndef EYESHOT_CLI_ENERGY_OF_COMMAND_H_
#define EYESHOT_CLI_ENERGY_OF_COMMAND_H_

#include <string>
#include <vector>

#include "cli/energy_flags.h"
#include "energy/meters/find.h"

namespace eyeshot::cli {

// Runs it to its end and reports. Returns the command's exit code, or one that says why there is none. `rates`: of its
// costs, the mean while it ran.
int MeasureCommand(const EnergyFlags& flags, FoundMeters found, const std::vector<std::string>& command,
                   const KwhRates& rates);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_ENERGY_OF_COMMAND_H_
