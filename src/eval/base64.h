// Base64, in which question sets hold their pictures.
#ifndef EYESHOT_EVAL_BASE64_H_
#define EYESHOT_EVAL_BASE64_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::eval {

// The bytes of base64 (base/base64.h); white space is skipped, "data:...;base64," may stand before
// it. `where` names the text in errors: kCorrupt (says at which character), kLimitExceeded (kMaxImageBytes).
Result<std::vector<uint8_t>> DecodeBase64(std::string_view text, const std::string& where);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_BASE64_H_
