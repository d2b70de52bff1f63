// The vision tower: a SigLIP-style transformer over the patches of tiles.
//
// Source of the architecture: transformers, models/smolvlm/modeling_smolvlm.py (SmolVLMVisionTransformer);
// SigLIP, arXiv 2303.15343.
#ifndef EYESHOT_VISION_VISION_TOWER_H_
#define EYESHOT_VISION_VISION_TOWER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "formats/model_config.h"
#include "kernels/backend.h"
#include "tensor/arena.h"
#include "vision/layer_hook.h"
#include "vision/weight_loader.h"

namespace eyeshot {

// Row of the position table for each patch of a tile with valid_rows x valid_cols patches, on a table made for
// side x side: bucket(i) = floor(i * side / valid) along each axis, in integers. For a full tile this is
// 0, 1, 2, ...; float32 versions of the reference got it wrong for some releases.
std::vector<int32_t> PositionBuckets(int64_t valid_rows, int64_t valid_cols, int64_t side);

// Memory for one pass over `tiles` tiles. Taken from an arena, so that it can be measured first.
struct TowerWorkspace {
  int64_t tiles = 0;
  DeviceSpan<uint8_t> pixels;        // [tiles, side, side, 3]
  DeviceSpan<int32_t> position_ids;  // [tiles * patches]
  DeviceSpan<int32_t> cu_tokens;     // [tiles + 1]
  DeviceSpan<float> key_bias;        // [tiles * patches]
  DeviceSpan<float> column_mean;     // [tiles * patches]
  MatrixView x;                      // [tiles * patches, width]
  MatrixView normed;                 // the same, also the attention's output
  MatrixView wide;                   // [tiles * patches, max(3 * width, intermediate)]

  TowerWorkspace() = default;
  TowerWorkspace(Arena& arena, const VisionConfig& config, DType activation, int64_t tile_count);
};

// A layer is run in this many parts of about as much work, between which other work may go on: queries, keys and
// values; attention; the first half of the MLP; the second.
inline constexpr int64_t kLayerParts = 4;

class VisionTower {
 public:
  // Tensors named `prefix`embeddings.patch_embedding.weight and so on (docs/formats.md).
  static Result<VisionTower> Load(WeightLoader& loader, Backend& backend, const VisionConfig& config,
                                  const std::string& prefix);

  const VisionConfig& config() const { return config_; }

  // Puts the patches of `count` tiles at `pixels` ([count, side, side, 3] on the host, before normalization)
  // into the workspace. normalization: [3, 256] on the device. REQUIRES: count <= workspace.tiles.
  TokenRuns Begin(Stream& stream, TowerWorkspace& workspace, const uint8_t* pixels, int64_t count,
                  DeviceSpan<const float> normalization) const;

  // Parts [begin, end) of the kLayerParts of each layer, one behind the other, with what those before have left in the
  // workspace. The hook may be null; the error is the hook's.
  Status RunParts(Stream& stream, TowerWorkspace& workspace, TokenRuns& runs, int64_t begin, int64_t end,
                  LayerHook* hook) const;
  // Of all layers.
  int64_t parts() const { return config_.num_layers * kLayerParts; }

  // The final norm, in place: runs.x is then the tower's output.
  void Finish(Stream& stream, TokenRuns& runs) const;

 private:
  struct Layer {
    PackedWeightPtr norm1_gain, norm1_bias, qkv, qkv_bias, out, out_bias;
    PackedWeightPtr norm2_gain, norm2_bias, fc1, fc1_bias, fc2, fc2_bias;
  };

  VisionTower(Backend& backend, const VisionConfig& config) : backend_(&backend), config_(config) {}
  static Result<Layer> LoadLayer(WeightLoader& loader, const VisionConfig& config, const std::string& prefix);
  // The parts of a layer, and what lies in the workspace between them: q, k and v side by side, then their attention is
  // in runs.x; the MLP's inner values.
  MatrixView Qkv(const TowerWorkspace& workspace, const TokenRuns& runs) const;
  MatrixView Inner(const TowerWorkspace& workspace, const TokenRuns& runs) const;
  void RunQkv(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer) const;
  void RunAttention(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer,
                    bool want_column_mean) const;
  void RunInner(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer) const;
  void RunOuter(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer) const;
  void UploadRuns(Stream& stream, const TokenRuns& runs) const;

  Backend* backend_;
  VisionConfig config_;
  bool reduced_ = false;  // attention may round
  PackedWeightPtr patch_, patch_bias_, positions_, post_gain_, post_bias_;
  std::vector<Layer> layers_;
};

}  // namespace eyeshot

#endif  // EYESHOT_VISION_VISION_TOWER_H_
