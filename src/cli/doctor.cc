#include "cli/commands.h"
namespace eyeshot::cli {
void AddDoctorCommand(CLI::App&, int&) {}
}  // namespace eyeshot::cli
