// Base64 (RFC 4648, section 4).
#ifndef EYESHOT_BASE_BASE64_H_
#define EYESHOT_BASE_BASE64_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

// What may stand between the characters.
enum class Base64Blanks {
  kLineBreaks,  // as MIME breaks lines
  kAll,         // spaces and tabs, too
};

// The bytes of base64 text, whose padding may be missing. Anything else that is not of the alphabet, and bits behind
// the last byte, are kCorrupt; says at which character.
Result<std::vector<uint8_t>> DecodeBase64(std::string_view text, Base64Blanks blanks = Base64Blanks::kLineBreaks);

}  // namespace eyeshot

#endif  // EYESHOT_BASE_BASE64_H_
