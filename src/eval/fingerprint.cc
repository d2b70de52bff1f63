#include "eval/fingerprint.h"

#include <algorithm>
#include <filesystem>
#include <span>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"

namespace eyeshot::eval {
namespace {

constexpr size_t kEdge = size_t{1} << 20;

bool IsModelFile(const std::string& name) {
  constexpr std::string_view kEndings[] = {".json", ".jinja", ".txt", ".safetensors", ".gguf"};
  return std::any_of(std::begin(kEndings), std::end(kEndings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

Result<std::vector<std::string>> ModelFiles(const std::string& path) {
  std::vector<std::string> files;
  if (!IsDirectory(path)) {
    files.push_back(path);
    return files;
  }
  std::error_code error;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (IsModelFile(name)) files.push_back(JoinPath(path, name));
  }
  if (error) return IoError(fmt::format("{}: cannot be listed: {}", path, error.message()), "check the folder");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Result<std::string> ModelFingerprint(const std::string& path, const std::vector<std::string>& more) {
  EYESHOT_ASSIGN_OR_RETURN(std::vector<std::string> files, ModelFiles(path));
  files.insert(files.end(), more.begin(), more.end());
  Sha256 hash;
  for (const std::string& file : files) {
    EYESHOT_ASSIGN_OR_RETURN(const MappedFile mapped, MappedFile::Open(file));
    const std::span<const uint8_t> bytes = mapped.bytes();
    const std::string head = fmt::format("{}:{}\n", file.substr(file.rfind('/') + 1), bytes.size());
    hash.Update({reinterpret_cast<const uint8_t*>(head.data()), head.size()});
    if (bytes.size() <= 2 * kEdge) {
      hash.Update(bytes);
    } else {
      hash.Update(bytes.first(kEdge));
      hash.Update(bytes.last(kEdge));
    }
  }
  std::string hex;
  for (const uint8_t byte : hash.Finish()) hex += fmt::format("{:02x}", byte);
  return hex;
}

}  // namespace eyeshot::eval
