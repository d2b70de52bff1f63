// Lists of JSON files that may be of any length.
#ifndef EYESHOT_ENERGY_JSON_LIST_H_
#define EYESHOT_ENERGY_JSON_LIST_H_

#include <cstddef>
#include <string>

#include "eyeshot/status.h"
#include "formats/json.h"

namespace eyeshot {

// The list `key` of `parent`, of at most `most` values; it lives as long as the tree. Errors: kCorrupt (absent, or no
// list), kLimitExceeded; each with `mend`.
Result<const Json*> ListOf(const JsonObject& parent, const std::string& key, size_t most, const std::string& mend);

}  // namespace eyeshot

#endif  // EYESHOT_ENERGY_JSON_LIST_H_
