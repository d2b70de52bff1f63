#include "hub/repository.h"

#include <algorithm>

#include "base/error.h"
#include "base/limits.h"
#include "hub/listing.h"

namespace eyeshot {
namespace {

constexpr const char* kMend =
    "name a model as its page does, ORG/NAME or ORG/NAME@REVISION: `eyeshot models` has a list";

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

// The hub's own rules (huggingface_hub, utils/_validators.py).
bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= limits::kMaxHubNameBytes &&
         std::all_of(text.begin(), text.end(), IsNameByte) && text.find("--") == std::string_view::npos &&
         text.find("..") == std::string_view::npos && text.front() != '-' && text.front() != '.' &&
         text.back() != '-' && text.back() != '.';
}

}  // namespace

bool IsHex(std::string_view text, size_t digits) {
  return text.size() == digits &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsCommit(std::string_view revision) { return IsHex(revision, 40); }

bool LooksLikeRepository(std::string_view text) { return ParseRepository(text).ok(); }

Result<Repository> ParseRepository(std::string_view text) {
  Repository repository;
  const size_t at = text.find('@');
  if (at != std::string_view::npos) {
    repository.revision = text.substr(at + 1);
    text = text.substr(0, at);
    if (!IsSafePath(repository.revision)) {
      return InvalidArgumentError(fmt::format("'{}' is no revision", PrintableText(repository.revision)),
                                  "give a branch, a tag or a commit behind the @");
    }
  }
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return InvalidArgumentError(fmt::format("'{}' is no model of a hub: it has no '/'", PrintableText(text)), kMend);
  }
  repository.owner = text.substr(0, slash);
  repository.name = text.substr(slash + 1);
  for (const std::string& part : {repository.owner, repository.name}) {
    if (IsName(part)) continue;
    return InvalidArgumentError(
        fmt::format("'{}' is no name on a hub (1 to {} letters, digits, '-', '_', '.'; no '--' or '..')",
                    PrintableText(part), limits::kMaxHubNameBytes),
        kMend);
  }
  return repository;
}

}  // namespace eyeshot
