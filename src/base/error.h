// Short ways to make and to pass on errors.
#ifndef EYESHOT_BASE_ERROR_H_
#define EYESHOT_BASE_ERROR_H_

#include <fmt/format.h>

#include <string>
#include <utility>

#include "eyeshot/status.h"

namespace eyeshot {

// Each takes what was found (already formatted, naming the value and the limit or key) and the mend:
//   return CorruptError(fmt::format("tensor '{}' ends at byte {} of {}", name, end, size),
//                       "the file is truncated; download it again");
inline Status InvalidArgumentError(std::string found, std::string mend) {
  return {StatusCode::kInvalidArgument, std::move(found), std::move(mend)};
}
inline Status NotFoundError(std::string found, std::string mend) {
  return {StatusCode::kNotFound, std::move(found), std::move(mend)};
}
inline Status CorruptError(std::string found, std::string mend) {
  return {StatusCode::kCorrupt, std::move(found), std::move(mend)};
}
inline Status UnsupportedError(std::string found, std::string mend) {
  return {StatusCode::kUnsupported, std::move(found), std::move(mend)};
}
inline Status LimitError(std::string found, std::string mend) {
  return {StatusCode::kLimitExceeded, std::move(found), std::move(mend)};
}
inline Status OutOfMemoryError(std::string found, std::string mend) {
  return {StatusCode::kOutOfMemory, std::move(found), std::move(mend)};
}
inline Status IoError(std::string found, std::string mend) {
  return {StatusCode::kIo, std::move(found), std::move(mend)};
}
inline Status ContextFullError(std::string found, std::string mend) {
  return {StatusCode::kContextFull, std::move(found), std::move(mend)};
}
inline Status CancelledError(std::string found) { return {StatusCode::kCancelled, std::move(found), ""}; }

}  // namespace eyeshot

#define EYESHOT_CONCAT_INNER(a, b) a##b
#define EYESHOT_CONCAT(a, b) EYESHOT_CONCAT_INNER(a, b)

// Evaluates an expression of type Status and returns it from the enclosing function if it's an error.
#define EYESHOT_RETURN_IF_ERROR(expr)                \
  do {                                               \
    ::eyeshot::Status eyeshot_status = (expr);       \
    if (!eyeshot_status.ok()) return eyeshot_status; \
  } while (false)

// EYESHOT_ASSIGN_OR_RETURN(auto x, F()): x is F()'s value, or F()'s error is returned.
#define EYESHOT_ASSIGN_OR_RETURN(lhs, expr) \
  EYESHOT_ASSIGN_OR_RETURN_INNER(EYESHOT_CONCAT(eyeshot_result_, __LINE__), lhs, expr)
#define EYESHOT_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                   \
  if (!tmp.ok()) return tmp.status();                  \
  lhs = std::move(tmp).value()

#endif  // EYESHOT_BASE_ERROR_H_
