// From a checkpoint to a folder with packed weights, and what that does to each of them.
#ifndef EYESHOT_MODELS_QUANTIZE_H_
#define EYESHOT_MODELS_QUANTIZE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "kernels/backend.h"
#include "models/model.h"

namespace eyeshot {

// What packing did to one weight.
struct WeightError {
  std::string name;    // of its first tensor
  std::string format;  // "int8"; "float32" of vectors
  int64_t outputs = 0;
  int64_t inputs = 0;
  uint64_t source_bytes = 0;
  uint64_t bytes = 0;
  double relative_error = 0;  // root of the mean square error over that of the weight
  double worst_cosine = 1;    // of an output's row with its source; rows of zeros don't count
};

struct QuantizeOptions {
  std::string dir;      // a Hugging Face folder; GGUF files aren't packed
  std::string out_dir;  // made if it is not there
  ModelPrecision precision;
  std::function<void(double)> on_progress;  // may be empty
};

// Writes the folder: model.eyeshot and copies of the small files; an existing model.eyeshot is replaced. Returns the
// errors in the order of the file. Errors: those of LoadModel, kInvalidArgument (out_dir is dir, or dir has packed
// weights itself), kUnsupported (the backend has no layout for files), kIo.
Result<std::vector<WeightError>> QuantizeModel(const QuantizeOptions& options, Backend& backend);

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_QUANTIZE_H_
