#include "vision/vision_tower.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot {

std::vector<int32_t> PositionBuckets(int64_t valid_rows, int64_t valid_cols, int64_t side) {
  std::vector<int32_t> ids;
  ids.reserve(static_cast<size_t>(valid_rows * valid_cols));
  for (int64_t r = 0; r < valid_rows; ++r) {
    for (int64_t c = 0; c < valid_cols; ++c) {
      ids.push_back(static_cast<int32_t>(r * side / valid_rows * side + c * side / valid_cols));
    }
  }
  return ids;
}

TowerWorkspace::TowerWorkspace(Arena& arena, const VisionConfig& config, DType activation, int64_t tile_count)
    : tiles(tile_count) {
  const int64_t tokens = tile_count * config.patches();
  pixels = arena.Array<uint8_t>(tile_count * config.image_size * config.image_size * 3);
  position_ids = arena.Array<int32_t>(tokens);
  cu_tokens = arena.Array<int32_t>(tile_count + 1);
  key_bias = arena.Array<float>(tokens);
  column_mean = arena.Array<float>(tokens);
  x = arena.Matrix(activation, tokens, config.hidden_size);
  normed = arena.Matrix(activation, tokens, config.hidden_size);
  wide = arena.Matrix(activation, tokens, std::max(3 * config.hidden_size, config.intermediate_size));
}

Result<VisionTower> VisionTower::Load(WeightLoader& loader, Backend& backend, const VisionConfig& config,
                                      const std::string& prefix) {
  VisionTower tower(backend, config);
  tower.reduced_ = loader.format() != WeightFormat::kExact && loader.format() != WeightFormat::kFloat32;
  const int64_t width = config.hidden_size;
  const int64_t depth = config.num_channels * config.patch_size * config.patch_size;
  EYESHOT_ASSIGN_OR_RETURN(tower.patch_, loader.Linear({prefix + "embeddings.patch_embedding.weight"}, {width}, depth));
  EYESHOT_ASSIGN_OR_RETURN(tower.patch_bias_, loader.Vector({prefix + "embeddings.patch_embedding.bias"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(tower.positions_,
                           loader.Table(prefix + "embeddings.position_embedding.weight", config.patches(), width));
  for (int64_t i = 0; i < config.num_layers; ++i) {
    EYESHOT_ASSIGN_OR_RETURN(Layer layer, LoadLayer(loader, config, fmt::format("{}encoder.layers.{}.", prefix, i)));
    tower.layers_.push_back(std::move(layer));
  }
  EYESHOT_ASSIGN_OR_RETURN(tower.post_gain_, loader.Vector({prefix + "post_layernorm.weight"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(tower.post_bias_, loader.Vector({prefix + "post_layernorm.bias"}, {width}));
  return tower;
}

Result<VisionTower::Layer> VisionTower::LoadLayer(WeightLoader& loader, const VisionConfig& config,
                                                  const std::string& prefix) {
  const int64_t width = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  const std::string q = prefix + "self_attn.q_proj.";
  const std::string k = prefix + "self_attn.k_proj.";
  const std::string v = prefix + "self_attn.v_proj.";
  Layer layer;
  EYESHOT_ASSIGN_OR_RETURN(layer.norm1_gain, loader.Vector({prefix + "layer_norm1.weight"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.norm1_bias, loader.Vector({prefix + "layer_norm1.bias"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.qkv,
                           loader.Linear({q + "weight", k + "weight", v + "weight"}, {width, width, width}, width));
  EYESHOT_ASSIGN_OR_RETURN(layer.qkv_bias, loader.Vector({q + "bias", k + "bias", v + "bias"}, {width, width, width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.out, loader.Linear({prefix + "self_attn.out_proj.weight"}, {width}, width));
  EYESHOT_ASSIGN_OR_RETURN(layer.out_bias, loader.Vector({prefix + "self_attn.out_proj.bias"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.norm2_gain, loader.Vector({prefix + "layer_norm2.weight"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.norm2_bias, loader.Vector({prefix + "layer_norm2.bias"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(layer.fc1, loader.Linear({prefix + "mlp.fc1.weight"}, {inner}, width));
  EYESHOT_ASSIGN_OR_RETURN(layer.fc1_bias, loader.Vector({prefix + "mlp.fc1.bias"}, {inner}));
  EYESHOT_ASSIGN_OR_RETURN(layer.fc2, loader.Linear({prefix + "mlp.fc2.weight"}, {width}, inner));
  EYESHOT_ASSIGN_OR_RETURN(layer.fc2_bias, loader.Vector({prefix + "mlp.fc2.bias"}, {width}));
  return layer;
}

TokenRuns VisionTower::Begin(Stream& stream, TowerWorkspace& workspace, const uint8_t* pixels, int64_t count,
                             DeviceSpan<const float> normalization) const {
  EYESHOT_CHECK(count <= workspace.tiles);
  const int64_t patches = config_.patches();
  const int64_t tokens = count * patches;
  const int64_t pixel_bytes = count * config_.image_size * config_.image_size * 3;

  TokenRuns runs;
  for (int64_t i = 0; i <= count; ++i) runs.cu_tokens.push_back(static_cast<int32_t>(i * patches));
  std::vector<int32_t> ids;
  const std::vector<int32_t> tile_ids =
      PositionBuckets(config_.patches_per_side(), config_.patches_per_side(), config_.patches_per_side());
  for (int64_t i = 0; i < count; ++i) ids.insert(ids.end(), tile_ids.begin(), tile_ids.end());
  backend_->Upload(stream, pixels, workspace.pixels.data, static_cast<size_t>(pixel_bytes));
  backend_->Upload(stream, ids.data(), workspace.position_ids.data, ids.size() * sizeof(int32_t));
  backend_->Upload(stream, runs.cu_tokens.data(), workspace.cu_tokens.data, runs.cu_tokens.size() * sizeof(int32_t));

  runs.x = workspace.x.Rows(0, tokens);
  runs.device_cu_tokens = workspace.cu_tokens.Sub(0, count + 1);
  runs.key_bias = workspace.key_bias;
  runs.column_mean = workspace.column_mean;
  backend_->PatchEmbed(stream, {.tiles = workspace.pixels.Sub(0, pixel_bytes),
                                .side = config_.image_size,
                                .patch = config_.patch_size,
                                .normalization = normalization,
                                .weight = patch_.get(),
                                .bias = patch_bias_.get(),
                                .positions = positions_.get(),
                                .position_ids = workspace.position_ids.Sub(0, tokens),
                                .y = runs.x});
  return runs;
}

Status VisionTower::RunParts(Stream& stream, TowerWorkspace& workspace, TokenRuns& runs, int64_t begin, int64_t end,
                             LayerHook* hook) const {
  EYESHOT_CHECK(begin >= 0 && end <= parts());
  for (int64_t part = begin; part < end; ++part) {
    const int64_t i = part / kLayerParts;
    const Layer& layer = layers_[static_cast<size_t>(i)];
    switch (part % kLayerParts) {
      case 0: RunQkv(stream, workspace, runs, layer); break;
      case 1:
        RunAttention(stream, workspace, runs, layer, hook != nullptr && hook->WantsColumnMean(i));
        if (hook != nullptr && hook->WantsAttention(i)) {
          const ConstMatrixView keys = Qkv(workspace, runs).Cols(config_.hidden_size, config_.hidden_size);
          EYESHOT_RETURN_IF_ERROR(hook->AfterAttention(*backend_, stream, i, keys, runs));
          UploadRuns(stream, runs);
        }
        break;
      case 2: RunInner(stream, workspace, runs, layer); break;
      default: RunOuter(stream, workspace, runs, layer); break;
    }
  }
  return Status::Ok();
}

void VisionTower::UploadRuns(Stream& stream, const TokenRuns& runs) const {
  EYESHOT_CHECK(runs.cu_tokens.back() == runs.x.rows);
  backend_->Upload(stream, runs.cu_tokens.data(), runs.device_cu_tokens.data, runs.cu_tokens.size() * sizeof(int32_t));
}

MatrixView VisionTower::Qkv(const TowerWorkspace& workspace, const TokenRuns& runs) const {
  return workspace.wide.Rows(0, runs.x.rows).Cols(0, 3 * config_.hidden_size);
}

MatrixView VisionTower::Inner(const TowerWorkspace& workspace, const TokenRuns& runs) const {
  return workspace.wide.Rows(0, runs.x.rows).Cols(0, config_.intermediate_size);
}

void VisionTower::RunQkv(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer) const {
  const MatrixView normed = workspace.normed.Rows(0, runs.x.rows);
  backend_->LayerNorm(stream, {.x = runs.x,
                               .gain = layer.norm1_gain.get(),
                               .bias = layer.norm1_bias.get(),
                               .epsilon = config_.layer_norm_eps,
                               .y = normed,
                               .passing = true});
  backend_->Linear(stream,
                   {.x = normed, .weight = layer.qkv.get(), .bias = layer.qkv_bias.get(), .y = Qkv(workspace, runs)});
}

void VisionTower::RunAttention(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer,
                               bool want_column_mean) const {
  const int64_t tokens = runs.x.rows;
  const MatrixView normed = workspace.normed.Rows(0, tokens);
  int64_t longest = 0;
  for (size_t i = 1; i < runs.cu_tokens.size(); ++i) {
    longest = std::max<int64_t>(longest, runs.cu_tokens[i] - runs.cu_tokens[i - 1]);
  }
  backend_->EncodeAttention(stream,
                            {.qkv = Qkv(workspace, runs),
                             .cu_tokens = runs.device_cu_tokens,
                             .max_tokens = longest,
                             .heads = config_.num_heads,
                             .head_dim = config_.head_dim(),
                             .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim())),
                             .reduced = reduced_,
                             .key_bias = runs.use_key_bias ? runs.key_bias.Sub(0, tokens) : DeviceSpan<float>(),
                             .column_mean = want_column_mean ? runs.column_mean.Sub(0, tokens) : DeviceSpan<float>(),
                             .y = normed});
  backend_->Linear(
      stream, {.x = normed, .weight = layer.out.get(), .bias = layer.out_bias.get(), .residual = runs.x, .y = runs.x});
}

void VisionTower::RunInner(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer) const {
  const MatrixView normed = workspace.normed.Rows(0, runs.x.rows);
  backend_->LayerNorm(stream, {.x = runs.x,
                               .gain = layer.norm2_gain.get(),
                               .bias = layer.norm2_bias.get(),
                               .epsilon = config_.layer_norm_eps,
                               .y = normed,
                               .passing = true});
  backend_->Linear(stream, {.x = normed,
                            .weight = layer.fc1.get(),
                            .bias = layer.fc1_bias.get(),
                            .activation = Activation::kGeluTanh,
                            .y = Inner(workspace, runs)});
}

void VisionTower::RunOuter(Stream& stream, TowerWorkspace& workspace, const TokenRuns& runs, const Layer& layer) const {
  backend_->Linear(stream, {.x = Inner(workspace, runs),
                            .weight = layer.fc2.get(),
                            .bias = layer.fc2_bias.get(),
                            .residual = runs.x,
                            .y = runs.x});
}

void VisionTower::Finish(Stream& stream, TokenRuns& runs) const {
  backend_->LayerNorm(stream, {.x = runs.x,
                               .gain = post_gain_.get(),
                               .bias = post_bias_.get(),
                               .epsilon = config_.layer_norm_eps,
                               .y = runs.x});
}

}  // namespace eyeshot
