// The small files of a model's folder, beside its weights.
#ifndef EYESHOT_MODELS_MODEL_FILES_H_
#define EYESHOT_MODELS_MODEL_FILES_H_

#include <string>

#include "eyeshot/status.h"

namespace eyeshot {

// Makes the folder `out` for a model made from the folder `from`. Errors: kInvalidArgument (they are one), kIo.
Status MakeModelFolder(const std::string& from, const std::string& out);

// Copies configuration, tokenizer and processor files. Errors: kIo, kLimitExceeded.
Status CopyModelFiles(const std::string& from, const std::string& to);

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_MODEL_FILES_H_
