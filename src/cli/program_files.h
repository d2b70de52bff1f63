// Files that come with the program: where it is installed, or in its source tree.
#ifndef EYESHOT_CLI_PROGRAM_FILES_H_
#define EYESHOT_CLI_PROGRAM_FILES_H_

#include <filesystem>
#include <functional>
#include <string>

#include "eyeshot/status.h"

namespace eyeshot::cli {

// ../share/eyeshot/INSTALLED from the program's own folder, else IN_TREE in a folder above it: the first for which
// `is_it` is true. Error: kNotFound, with both places.
Result<std::string> FindBesideProgram(const std::filesystem::path& installed, const std::filesystem::path& in_tree,
                                      const std::function<bool(const std::filesystem::path&)>& is_it);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PROGRAM_FILES_H_
