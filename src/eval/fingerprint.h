// What tells one model's files from another's, without reading gigabytes.
#ifndef EYESHOT_EVAL_FINGERPRINT_H_
#define EYESHOT_EVAL_FINGERPRINT_H_

#include <string>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::eval {

// SHA-256 over the names, sizes and content of a model's files (a folder's *.json, *.jinja, *.txt, *.safetensors,
// *.gguf, or the one that `path` names, and `more`), of files beyond 2 MiB their first and last MiB. Errors: kIo,
// kNotFound.
Result<std::string> ModelFingerprint(const std::string& path, const std::vector<std::string>& more = {});

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_FINGERPRINT_H_
