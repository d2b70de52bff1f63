#include "models/weight_source.h"

#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace eyeshot {

Status WeightSource::Open(const std::string& dir, const Backend& backend) {
  const std::string path = JoinPath(dir, kPackedWeightsFile);
  if (!FileExists(path)) {
    EYESHOT_ASSIGN_OR_RETURN(checkpoint, Checkpoint::Open(dir));
    return Status::Ok();
  }
  EYESHOT_ASSIGN_OR_RETURN(PackedWeights weights, PackedWeights::Open(path));
  if (weights.layout() != backend.packed_layout()) {
    return UnsupportedError(
        fmt::format("{}: the weights are laid out as {}, the {} backend takes {}", path, weights.layout(),
                    backend.info().name, backend.packed_layout().empty() ? "none" : backend.packed_layout()),
        "use the portable backend, or pack them again with `eyeshot quantize`");
  }
  packed = std::make_unique<PackedWeights>(std::move(weights));
  return Status::Ok();
}

WeightLoader WeightSource::Loader(const ModelOptions& options, Backend& backend) const {
  if (packed != nullptr) return {*packed, backend};
  return {*checkpoint, backend, options.on_progress, options.on_weight};
}

}  // namespace eyeshot
