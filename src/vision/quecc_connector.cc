#include "vision/quecc_connector.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace eyeshot {
namespace {

int64_t RegionRows(const ModelConfig& config) { return config.scale_factor * config.scale_factor; }

int64_t KeyWidth(const ModelConfig& config) {
  return config.vision.hidden_size * static_cast<int64_t>(config.connector.key_layers.size());
}

// The patch of each row of `tiles` tiles whose rows stand region by region.
std::vector<int32_t> RegionOrder(const ModelConfig& config, int64_t tiles) {
  const int64_t side = config.vision.patches_per_side();
  const int64_t scale = config.scale_factor;
  std::vector<int32_t> order;
  order.reserve(static_cast<size_t>(tiles * side * side));
  for (int64_t region = 0; region < tiles * config.visual_tokens_per_tile(); ++region) {
    const int64_t per_side = config.visual_tokens_per_side();
    const int64_t tile = region / (per_side * per_side);
    const int64_t top = region / per_side % per_side * scale;
    const int64_t left = region % per_side * scale;
    for (int64_t i = 0; i < scale * scale; ++i) {
      order.push_back(static_cast<int32_t>((tile * side + top + i / scale) * side + left + i % scale));
    }
  }
  return order;
}

}  // namespace

QueccConnector::Workspace::Workspace(Arena& arena, const ModelConfig& config, DType activation, int64_t tiles) {
  const int64_t m = tiles * config.vision.patches();
  const int64_t count = tiles * config.visual_tokens_per_tile();
  const int64_t width = config.vision.hidden_size;
  order = arena.Array<int32_t>(m);
  region_of = arena.Array<int32_t>(m);
  first_of = arena.Array<int32_t>(count);
  cu_tokens = arena.Array<int32_t>(count + 1);
  zero_query = arena.Matrix(activation, 1, config.text.hidden_size);
  query = arena.Matrix(activation, 1, width);
  asked = arena.Matrix(activation, m, width);
  keys = arena.Matrix(activation, m, KeyWidth(config));
  inner = arena.Matrix(activation, m, width);
  mixed = arena.Matrix(activation, m, width);
  qkv = arena.Matrix(activation, m, 3 * width);
  regions = arena.Matrix(activation, count, width);
  regions_inner = arena.Matrix(activation, count, std::max(width, config.text.hidden_size));
}

QueccConnector::QueccConnector(Backend& backend, const ModelConfig& config, bool reduced)
    : backend_(backend),
      config_(config),
      reduced_(reduced),
      activation_(config.connector.hidden_act == "gelu" ? Activation::kGelu : Activation::kGeluTanh) {
  std::set<int64_t> states(config.connector.key_layers.begin(), config.connector.key_layers.end());
  states.insert(config.connector.query_layer);
  states_.assign(states.begin(), states.end());
}

Result<std::unique_ptr<Connector>> QueccConnector::Load(WeightLoader& loader, Backend& backend,
                                                        const ModelConfig& config, const std::string& prefix,
                                                        int64_t tiles) {
  const bool reduced = loader.format() != WeightFormat::kExact && loader.format() != WeightFormat::kFloat32;
  std::unique_ptr<QueccConnector> connector(new QueccConnector(backend, config, reduced));
  EYESHOT_RETURN_IF_ERROR(connector->LoadWeights(loader, prefix));
  EYESHOT_RETURN_IF_ERROR(connector->Prepare(tiles));
  return std::unique_ptr<Connector>(std::move(connector));
}

Result<QueccConnector::Dense> QueccConnector::LoadDense(WeightLoader& loader, const std::string& name, int64_t outputs,
                                                        int64_t inputs) {
  Dense dense;
  EYESHOT_ASSIGN_OR_RETURN(dense.weight, loader.Linear({name + ".weight"}, {outputs}, inputs));
  EYESHOT_ASSIGN_OR_RETURN(dense.bias, loader.Vector({name + ".bias"}, {outputs}));
  return dense;
}

Result<QueccConnector::Dense> QueccConnector::LoadNorm(WeightLoader& loader, const std::string& name, int64_t width) {
  Dense norm;
  EYESHOT_ASSIGN_OR_RETURN(norm.weight, loader.Vector({name + ".weight"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(norm.bias, loader.Vector({name + ".bias"}, {width}));
  return norm;
}

Result<QueccConnector::Mixer> QueccConnector::LoadMixer(WeightLoader& loader, const std::string& name, int64_t width,
                                                        int64_t inputs) {
  Mixer mixer;
  EYESHOT_ASSIGN_OR_RETURN(mixer.first, LoadDense(loader, name + ".0", width, inputs));
  EYESHOT_ASSIGN_OR_RETURN(mixer.second, LoadDense(loader, name + ".2", width, width));
  EYESHOT_ASSIGN_OR_RETURN(mixer.norm, LoadNorm(loader, name + ".3", width));
  return mixer;
}

Status QueccConnector::LoadWeights(WeightLoader& loader, const std::string& prefix) {
  const int64_t width = config_.vision.hidden_size;
  const int64_t hidden = config_.text.hidden_size;
  EYESHOT_ASSIGN_OR_RETURN(text_, LoadDense(loader, prefix + "text_projection.0", width, hidden));
  EYESHOT_ASSIGN_OR_RETURN(text_norm_, LoadNorm(loader, prefix + "text_projection.1", width));
  EYESHOT_ASSIGN_OR_RETURN(query_mixer_, LoadMixer(loader, prefix + "q_proj", width, width));
  EYESHOT_ASSIGN_OR_RETURN(key_mixer_, LoadMixer(loader, prefix + "k_proj", width, KeyWidth(config_)));
  EYESHOT_ASSIGN_OR_RETURN(value_mixer_, LoadMixer(loader, prefix + "v_proj", width, KeyWidth(config_)));
  EYESHOT_ASSIGN_OR_RETURN(downsample_.weight,
                           loader.Kernel(prefix + "q_downsample.weight", width, RegionRows(config_)));
  EYESHOT_ASSIGN_OR_RETURN(downsample_.bias, loader.Vector({prefix + "q_downsample.bias"}, {width}));
  EYESHOT_ASSIGN_OR_RETURN(attend_query_, LoadDense(loader, prefix + "clip_attn.q_proj", width, width));
  EYESHOT_ASSIGN_OR_RETURN(attend_key_, LoadDense(loader, prefix + "clip_attn.k_proj", width, width));
  EYESHOT_ASSIGN_OR_RETURN(attend_value_, LoadDense(loader, prefix + "clip_attn.v_proj", width, width));
  EYESHOT_ASSIGN_OR_RETURN(attend_out_, LoadDense(loader, prefix + "clip_attn.out_proj", width, width));
  EYESHOT_ASSIGN_OR_RETURN(project_in_, LoadDense(loader, prefix + "projector.0", hidden, width));
  EYESHOT_ASSIGN_OR_RETURN(project_out_, LoadDense(loader, prefix + "projector.2", hidden, hidden));
  return Status::Ok();
}

ConnectorBytes QueccConnector::Plan(const ModelConfig& config, const Backend& backend, WeightFormat format,
                                    int64_t tiles) {
  const int64_t width = config.vision.hidden_size;
  const int64_t hidden = config.text.hidden_size;
  const auto dense = [&](int64_t outputs, int64_t inputs) {
    return backend.PackedLinearBytes(outputs, inputs, format) + static_cast<size_t>(outputs) * sizeof(float);
  };
  // Four mixers' second halves and the attention's four projections are width x width.
  const size_t weights = dense(width, hidden) + 2 * dense(width, KeyWidth(config)) + 8 * dense(width, width) +
                         dense(hidden, width) + dense(hidden, hidden) +
                         static_cast<size_t>(width * (9 + RegionRows(config))) * sizeof(float);
  Arena measure;
  Workspace(measure, config, backend.info().activation, tiles);
  return {.weights = weights, .workspace = measure.used()};
}

Status QueccConnector::Prepare(int64_t tiles) {
  const DType activation = backend_.info().activation;
  Arena measure;
  Workspace(measure, config_, activation, tiles);
  EYESHOT_ASSIGN_OR_RETURN(buffer_, backend_.Allocate(measure.used(), "the connector's workspace"));
  Arena arena(buffer_.data(), buffer_.bytes());
  workspace_ = Workspace(arena, config_, activation, tiles);

  const auto stream = backend_.NewStream();
  const auto upload = [&](const std::vector<int32_t>& values, DeviceSpan<int32_t> to) {
    EYESHOT_CHECK(static_cast<int64_t>(values.size()) == to.size);
    backend_.Upload(*stream, values.data(), to.data, values.size() * sizeof(int32_t));
  };
  const auto size = static_cast<int32_t>(RegionRows(config_));
  const int64_t regions = tiles * config_.visual_tokens_per_tile();
  std::vector<int32_t> starts(static_cast<size_t>(regions) + 1);
  for (size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<int32_t>(i) * size;
  std::vector<int32_t> region_of(static_cast<size_t>(workspace_.region_of.size));
  for (size_t i = 0; i < region_of.size(); ++i) region_of[i] = static_cast<int32_t>(i) / size;
  upload(RegionOrder(config_, tiles), workspace_.order);
  upload(region_of, workspace_.region_of);
  upload(starts, workspace_.cu_tokens);
  starts.pop_back();
  upload(starts, workspace_.first_of);
  const std::vector<uint8_t> zeros(static_cast<size_t>(config_.text.hidden_size) * DTypeBytes(activation));
  backend_.Upload(*stream, zeros.data(), workspace_.zero_query.data, zeros.size());
  return backend_.Sync(*stream);
}

void QueccConnector::KeepState(Stream& stream, size_t index, ConstMatrixView x) {
  const int64_t state = states_[index];
  const auto keep = [&](MatrixView to) {
    backend_.CopyRows(stream,
                      {.x = x, .from = workspace_.order.Sub(0, x.rows), .count = x.rows, .y = to.Rows(0, x.rows)});
  };
  if (state == config_.connector.query_layer) keep(workspace_.asked);
  const std::vector<int64_t>& layers = config_.connector.key_layers;
  const auto key = std::find(layers.begin(), layers.end(), state);
  if (key != layers.end()) keep(workspace_.keys.Cols((key - layers.begin()) * x.cols, x.cols));
}

void QueccConnector::Apply(Stream& stream, const Dense& dense, ConstMatrixView x, Activation activation, MatrixView y) {
  backend_.Linear(stream,
                  {.x = x, .weight = dense.weight.get(), .bias = dense.bias.get(), .activation = activation, .y = y});
}

void QueccConnector::Norm(Stream& stream, const Dense& norm, MatrixView x) {
  backend_.LayerNorm(stream, {.x = x,
                              .gain = norm.weight.get(),
                              .bias = norm.bias.get(),
                              .epsilon = config_.connector.layer_norm_eps,
                              .y = x});
}

void QueccConnector::Mix(Stream& stream, const Mixer& mixer, ConstMatrixView x, MatrixView y) {
  const MatrixView inner = workspace_.inner.Rows(0, x.rows);
  Apply(stream, mixer.first, x, activation_, inner);
  Apply(stream, mixer.second, inner, Activation::kNone, y);
  Norm(stream, mixer.norm, y);
}

// workspace.query = LN(Linear(query)).
void QueccConnector::ProjectQuery(Stream& stream, ConstMatrixView query) {
  Apply(stream, text_, query.empty() ? workspace_.zero_query : query, Activation::kNone, workspace_.query);
  Norm(stream, text_norm_, workspace_.query);
}

// workspace.regions: from the convolved queries to what their regions answered.
void QueccConnector::Attend(Stream& stream, int64_t patches, int64_t regions) {
  const int64_t width = config_.vision.hidden_size;
  const int64_t head_dim = width / config_.connector.num_heads;
  const MatrixView asking = workspace_.regions.Rows(0, regions);
  const MatrixView projected = workspace_.regions_inner.Rows(0, regions).Cols(0, width);
  const MatrixView qkv = workspace_.qkv.Rows(0, patches);
  const MatrixView answers = workspace_.inner.Rows(0, patches);
  Apply(stream, attend_query_, asking, Activation::kNone, projected);
  // Every patch asks what its region asks, and the first one's answer is taken.
  backend_.CopyRows(
      stream,
      {.x = projected, .from = workspace_.region_of.Sub(0, patches), .count = patches, .y = qkv.Cols(0, width)});
  backend_.EncodeAttention(stream, {.qkv = qkv,
                                    .cu_tokens = workspace_.cu_tokens.Sub(0, regions + 1),
                                    .max_tokens = RegionRows(config_),
                                    .heads = config_.connector.num_heads,
                                    .head_dim = head_dim,
                                    .scale = 1.0f / std::sqrt(static_cast<float>(head_dim)),
                                    .reduced = reduced_,
                                    .y = answers});
  backend_.CopyRows(stream, {.x = answers, .from = workspace_.first_of.Sub(0, regions), .count = regions, .y = asking});
}

void QueccConnector::Run(Stream& stream, const ConnectorInput& input, MatrixView out) {
  const int64_t width = config_.vision.hidden_size;
  const int64_t regions = out.rows;
  const int64_t patches = regions * RegionRows(config_);
  const MatrixView asked = workspace_.asked.Rows(0, patches);
  const MatrixView mixed = workspace_.mixed.Rows(0, patches);
  const MatrixView asking = workspace_.regions.Rows(0, regions);
  const ConstMatrixView keys = workspace_.keys.Rows(0, patches);
  const MatrixView qkv = workspace_.qkv.Rows(0, patches);

  ProjectQuery(stream, input.query);
  // One row, as often as there are patches.
  const ConstMatrixView everywhere(workspace_.query.data, workspace_.query.dtype, patches, width, 0);
  backend_.CopyRows(stream, {.x = everywhere, .count = patches, .y = asked, .add = true});
  Mix(stream, query_mixer_, asked, mixed);
  backend_.ConvolveRows(stream, {.x = mixed,
                                 .taps = RegionRows(config_),
                                 .weight = downsample_.weight.get(),
                                 .bias = downsample_.bias.get(),
                                 .y = asking});
  Mix(stream, key_mixer_, keys, mixed);
  Apply(stream, attend_key_, mixed, Activation::kNone, qkv.Cols(width, width));
  Mix(stream, value_mixer_, keys, mixed);
  Apply(stream, attend_value_, mixed, Activation::kNone, qkv.Cols(2 * width, width));
  Attend(stream, patches, regions);

  const MatrixView attended = workspace_.mixed.Rows(0, regions);
  Apply(stream, attend_out_, asking, Activation::kNone, attended);
  const MatrixView inner = workspace_.regions_inner.Rows(0, regions).Cols(0, out.cols);
  Apply(stream, project_in_, attended, activation_, inner);
  Apply(stream, project_out_, inner, Activation::kNone, out);
}

}  // namespace eyeshot
