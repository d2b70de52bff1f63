// Connector: from what the tower leaves of tiles to visual tokens as wide as the decoder.
#ifndef EYESHOT_VISION_CONNECTOR_H_
#define EYESHOT_VISION_CONNECTOR_H_

#include <cstdint>
#include <memory>
#include <span>

#include "formats/model_config.h"
#include "kernels/backend.h"
#include "vision/weight_loader.h"

namespace eyeshot {

// What a connector sees of some tiles.
struct ConnectorInput {
  ConstMatrixView tower;  // [tiles * patches, width] the tower's output
  ConstMatrixView query;  // [1, hidden of the decoder] what is asked, in the backend's activation type; may be empty
};

class Connector {
 public:
  virtual ~Connector() = default;

  // The hidden states of the tower that KeepState() must get, ascending: 0 is what the first layer gets, i what i
  // layers leave.
  virtual std::span<const int64_t> states() const { return {}; }
  // x: [tiles * patches, width], the hidden state states()[index].
  virtual void KeepState(Stream& stream, size_t index, ConstMatrixView x) {
    static_cast<void>(stream);
    static_cast<void>(index);
    static_cast<void>(x);
  }

  // out: [tiles * visual_tokens_per_tile, hidden of the decoder]. REQUIRES: KeepState() had all states of these tiles.
  virtual void Run(Stream& stream, const ConnectorInput& input, MatrixView out) = 0;
};

// That of the configuration, with memory for `tiles` tiles at a time. Tensors are named `prefix`... (docs/formats.md).
// Errors: those of the loader, kOutOfMemory.
Result<std::unique_ptr<Connector>> LoadConnector(WeightLoader& loader, Backend& backend, const ModelConfig& config,
                                                 const std::string& prefix, int64_t tiles);

// What it takes, in bytes.
struct ConnectorBytes {
  size_t weights = 0;
  size_t workspace = 0;
};
ConnectorBytes PlanConnector(const ModelConfig& config, const Backend& backend, WeightFormat format, int64_t tiles);

}  // namespace eyeshot

#endif  // EYESHOT_VISION_CONNECTOR_H_
