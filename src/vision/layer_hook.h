// LayerHook: how a token reducer looks into a tower, and drops or merges tokens within its layers.
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
  DeviceSpan<int32_t> device_cu_tokens;  // the same on the device, uploaded after AfterAttention()
  DeviceSpan<float> key_bias;            // [tokens] log of how many tokens each one stands for
  bool use_key_bias = false;             // a hook that merges tokens sets it
  DeviceSpan<float> column_mean;         // [tokens] of this layer's attention, where WantsColumnMean
};

// Called by VisionTower::RunParts. AfterAttention() may compact rows of `runs.x` (Backend::CopyRows) and must then
// update x.rows, cu_tokens and, when in use, key_bias alike; it may not add rows. Layer 0 begins with other tiles.
class LayerHook {
 public:
  virtual ~LayerHook() = default;

  // Whether the attention of `layer` (0 is the first) shall leave the mean probability that each token received.
  virtual bool WantsColumnMean(int64_t layer) const = 0;

  // Whether AfterAttention() shall be called for `layer`.
  virtual bool WantsAttention(int64_t layer) const {
    static_cast<void>(layer);
    return false;
  }
  // Between attention, whose result was added to runs.x, and MLP. keys: [tokens, width], those of all heads side by
  // side.
  virtual Status AfterAttention(Backend& backend, Stream& stream, int64_t layer, ConstMatrixView keys,
                                TokenRuns& runs) {
    static_cast<void>(backend);
    static_cast<void>(stream);
    static_cast<void>(layer);
    static_cast<void>(keys);
    static_cast<void>(runs);
    return Status::Ok();
  }

  // After the tower's final norm: runs.x is what the connector will see, all patches of the tiles. A hook that took
  // rows away must give them back, and may point runs.x at memory of its own, until its next call or its end.
  virtual Status AfterTower(Backend&, Stream&, TokenRuns&) { return Status::Ok(); }
};

}  // namespace eyeshot

#endif  // EYESHOT_VISION_LAYER_HOOK_H_
