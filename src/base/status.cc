#include "eyeshot/status.h"

namespace eyeshot {

std::string_view StatusCodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk: return "ok";
    case StatusCode::kInvalidArgument: return "invalid argument";
    case StatusCode::kNotFound: return "not found";
    case StatusCode::kCorrupt: return "corrupt";
    case StatusCode::kUnsupported: return "unsupported";
    case StatusCode::kLimitExceeded: return "limit exceeded";
    case StatusCode::kOutOfMemory: return "out of memory";
    case StatusCode::kIo: return "input/output";
    case StatusCode::kCancelled: return "cancelled";
    case StatusCode::kContextFull: return "context full";
    case StatusCode::kBusy: return "busy";
  }
  return "unknown";
}

std::string Status::message() const {
  if (mend_.empty()) return found_;
  return found_ + ": " + mend_;
}

Status Status::At(std::string_view where) const {
  if (ok()) return *this;
  return Status(code_, std::string(where) + ": " + found_, mend_);
}

}  // namespace eyeshot
