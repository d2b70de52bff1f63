#include "cli/program_files.h"

#include <system_error>

#include "base/error.h"

namespace eyeshot::cli {

Result<std::string> FindBesideProgram(const std::filesystem::path& installed, const std::filesystem::path& in_tree,
                                      const std::function<bool(const std::filesystem::path&)>& is_it) {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  if (error) {
    return NotFoundError("the program's own place is not known (/proc/self/exe)", "name the files that it is to take");
  }
  const std::filesystem::path shared = (program / "../share/eyeshot" / installed).lexically_normal();
  if (is_it(shared)) return shared.string();
  for (auto dir = program; dir.has_relative_path(); dir = dir.parent_path()) {
    if (is_it(dir / in_tree)) return (dir / in_tree).string();
  }
  return NotFoundError(
      fmt::format("there is neither {} nor {} in a folder above the program", shared.string(), in_tree.string()),
      "install Eyeshot again");
}

}  // namespace eyeshot::cli
