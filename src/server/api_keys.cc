#include "server/api_keys.h"

#include <algorithm>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"

namespace eyeshot::server {
namespace {

std::array<uint8_t, 32> DigestOf(std::string_view key) {
  Sha256 hash;
  hash.Update({reinterpret_cast<const uint8_t*>(key.data()), key.size()});
  return hash.Finish();
}

bool IsKey(std::string_view key) {
  return key.size() <= limits::kMaxKeyBytes &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

}  // namespace

Result<ApiKeys> ApiKeys::Load(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxKeyFileBytes));
  return Parse(text, path);
}

Result<ApiKeys> ApiKeys::Parse(std::string_view text, const std::string& where) {
  ApiKeys keys;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    if (!IsKey(line)) {  // the key itself is not shown
      return CorruptError(
          fmt::format("{}: line {} is no key", where, number),
          fmt::format("write one key a line: up to {} printable characters without spaces", limits::kMaxKeyBytes));
    }
    keys.digests_.push_back(DigestOf(line));
  }
  if (keys.digests_.empty()) return CorruptError(fmt::format("{}: there is no key", where), "write one key a line");
  return keys;
}

std::optional<size_t> ApiKeys::Find(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  if (!authorization.starts_with(kScheme) || authorization.size() > kScheme.size() + limits::kMaxKeyBytes) {
    return std::nullopt;
  }
  const std::array<uint8_t, 32> digest = DigestOf(authorization.substr(kScheme.size()));
  size_t found = digests_.size();
  for (size_t i = 0; i < digests_.size(); ++i) {
    uint32_t difference = 0;
    for (size_t j = 0; j < digest.size(); ++j) difference |= static_cast<uint32_t>(digest[j] ^ digests_[i][j]);
    const size_t equal = (difference - 1) >> 31;  // 1 or 0, without a branch
    found = equal * i + (1 - equal) * found;
  }
  return found == digests_.size() ? std::nullopt : std::optional(found);
}

}  // namespace eyeshot::server
