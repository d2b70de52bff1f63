// Status and Result<T>: how Eyeshot reports anything that a file, a picture or a request can cause.
//
// Every error says three things: what was found, which limit or key it met, and what to do about it
// (the mend). The library aborts only for its own bugs (src/base/check.h).
#ifndef EYESHOT_STATUS_H_
#define EYESHOT_STATUS_H_

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "eyeshot/export.h"

namespace eyeshot {

enum class StatusCode {
  kOk = 0,
  kInvalidArgument,  // the caller asked for something that can't be: a flag, a parameter, a prompt
  kNotFound,         // a file, a tensor or a key is missing
  kCorrupt,          // bytes that contradict their own format
  kUnsupported,      // well-formed, but not something that this build can do
  kLimitExceeded,    // a named limit of docs/limits.md
  kOutOfMemory,      // the memory plan doesn't fit
  kIo,               // the operating system refused: open, read, map, write
  kCancelled,        // the caller asked to stop
  kContextFull,      // the prompt or the answer outgrew the model's context
  kBusy,             // too much is under way: the same may succeed later
};

// "corrupt", "limit exceeded", ...
EYESHOT_EXPORT std::string_view StatusCodeName(StatusCode code);

class [[nodiscard]] EYESHOT_EXPORT Status {
 public:
  Status() = default;

  // `found` names the value that was found and the limit or key that it met; `mend` says what to do.
  // Both are sentence parts without a full stop at the end.
  Status(StatusCode code, std::string found, std::string mend)
      : code_(code), found_(std::move(found)), mend_(std::move(mend)) {}

  static Status Ok() { return {}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& found() const { return found_; }
  const std::string& mend() const { return mend_; }

  // "model.safetensors: header is 12 bytes longer than the file: download the file again"
  std::string message() const;

  // The same error with "`where`: " before what was found: a file name, a tensor, a request.
  Status At(std::string_view where) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string found_;
  std::string mend_;
};

// A T or the error that prevented it.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}               // NOLINT(google-explicit-constructor)
  Result(Status status) : state_(std::move(status)) {}        // NOLINT(google-explicit-constructor)

  bool ok() const { return std::holds_alternative<T>(state_); }
  Status status() const { return ok() ? Status::Ok() : std::get<Status>(state_); }

  // REQUIRES: ok().
  T& value() & { return std::get<T>(state_); }
  const T& value() const& { return std::get<T>(state_); }
  T&& value() && { return std::get<T>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace eyeshot

#endif  // EYESHOT_STATUS_H_
