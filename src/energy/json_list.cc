#include "energy/json_list.h"

#include <fmt/format.h>

namespace eyeshot {

Result<const Json*> ListOf(const JsonObject& parent, const std::string& key, size_t most, const std::string& mend) {
  const Json* const list = parent.Find(key);
  if (list == nullptr || !list->is_array()) return parent.Error(StatusCode::kCorrupt, key, "a list", mend);
  if (list->size() > most) return parent.Error(StatusCode::kLimitExceeded, key, fmt::format("at most {}", most), mend);
  return list;
}

}  // namespace eyeshot
