// API keys: who may ask.
#ifndef EYESHOT_SERVER_API_KEYS_H_
#define EYESHOT_SERVER_API_KEYS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::server {

class ApiKeys {
 public:
  // A key a line; empty lines and those that begin with # are left out. Errors: kIo, kNotFound, kLimitExceeded,
  // kCorrupt (no key, or one with a space or a control character).
  static Result<ApiKeys> Load(const std::string& path);
  static Result<ApiKeys> Parse(std::string_view text, const std::string& where);

  // The index of the key in "Bearer KEY". Takes as long whichever key it is, and whether it is one.
  std::optional<size_t> Find(std::string_view authorization) const;

 private:
  std::vector<std::array<uint8_t, 32>> digests_;
};

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_API_KEYS_H_
