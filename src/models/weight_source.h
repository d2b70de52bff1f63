// Where a folder's weights come from: its checkpoint, or a file of packed weights beside or instead of it.
#ifndef EYESHOT_MODELS_WEIGHT_SOURCE_H_
#define EYESHOT_MODELS_WEIGHT_SOURCE_H_

#include <memory>
#include <optional>
#include <string>

#include "formats/packed_weights.h"
#include "formats/safetensors.h"
#include "models/model.h"

namespace eyeshot {

struct WeightSource {
  // Errors: those of the two Open functions, kUnsupported (packed for another backend).
  Status Open(const std::string& dir, const Backend& backend);
  // REQUIRES: Open succeeded. The loader must not outlive this.
  WeightLoader Loader(const ModelOptions& options, Backend& backend) const;

  std::unique_ptr<PackedWeights> packed;  // must outlive the weights
  std::optional<Checkpoint> checkpoint;
};

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_WEIGHT_SOURCE_H_
