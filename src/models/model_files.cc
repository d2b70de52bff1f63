#include "models/model_files.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

// Files of a model's folder besides the weights.
constexpr const char* kCopiedFiles[] = {
    "added_tokens.json",       "chat_template.jinja", "chat_template.json",       "config.json",
    "generation_config.json",  "merges.txt",          "preprocessor_config.json", "processor_config.json",
    "special_tokens_map.json", "tokenizer.json",      "tokenizer_config.json",    "vocab.json"};

}  // namespace

Status MakeModelFolder(const std::string& from, const std::string& out) {
  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error) return IoError(fmt::format("{}: {}", out, error.message()), "name a folder that can be made");
  if (std::filesystem::equivalent(from, out, error)) {
    return InvalidArgumentError(fmt::format("'{}' is both read and written", out),
                                "name another folder to write, so that no true weights are lost");
  }
  return Status::Ok();
}

Status CopyModelFiles(const std::string& from, const std::string& to) {
  for (const char* name : kCopiedFiles) {
    const std::string source = JoinPath(from, name);
    if (!FileExists(source)) continue;
    EYESHOT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(source, limits::kMaxTokenizerBytes));
    EYESHOT_RETURN_IF_ERROR(WriteFile(JoinPath(to, name), bytes));
  }
  return Status::Ok();
}

}  // namespace eyeshot
