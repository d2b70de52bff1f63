// LayerHook: how a token reducer looks into a tower or a decoder and drops or merges tokens between layers.
#ifndef EYESHOT_VISION_LAYER_HOOK_H_
#define EYESHOT_VISION_LAYER_HOOK_H_

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace eyeshot {

// The tokens that are on their way through a tower: runs of independent tokens (tiles), side by side.
struct TokenRuns {
  MatrixView x;                          // [tokens, width]; x.rows is the current count
  std::vector<int32_t> cu_tokens;        // [runs + 1] on the host; a hook keeps it true
  DeviceSpan<int32_t> device_cu_tokens;  // the same on the device, uploaded after each hook
  DeviceSpan<float> key_bias;            // [tokens] log of how many tokens each one stands for
  bool use_key_bias = false;             // a hook that merges tokens sets it
  DeviceSpan<float> column_mean;         // [tokens] of the layer that just ran, where WantsColumnMean
};

// Called by VisionTower::RunLayers. A hook may compact rows of `runs.x` (Backend::CopyRows) and must then
// update x.rows, cu_tokens and, when in use, key_bias alike; it may not add rows.
class LayerHook {
 public:
  virtual ~LayerHook() = default;

  // Whether the attention of `layer` shall leave the mean probability that each token received.
  virtual bool WantsColumnMean(int64_t layer) const = 0;

  // After layer `layer` (0 is the first) has run.
  virtual Status AfterLayer(Backend& backend, Stream& stream, int64_t layer, TokenRuns& runs) = 0;

  // After the tower's final norm: runs.x is what the connector will see.
  virtual Status AfterTower(Backend&, Stream&, TokenRuns&) { return Status::Ok(); }
};

}  // namespace eyeshot

#endif  // EYESHOT_VISION_LAYER_HOOK_H_
