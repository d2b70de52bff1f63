#include "models/seeded_checkpoint.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/splitmix64.h"
#include "formats/json.h"
#include "models/model_files.h"

namespace eyeshot {
namespace {

// Elements of one task: long enough to drown the cost of handing it out, short enough to balance threads.
constexpr size_t kTaskElements = 1 << 16;

uint64_t Fnv1a64(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  return hash;
}

// Value = offset + scale * v or v / divisor: divisions stay divisions, so that doubles equal Python's.
struct Distribution {
  double offset = 0;
  double scale = 1;
  double divisor = 1;
};

Distribution DistributionOf(const TensorSpec& spec) {
  const auto has = [&](std::string_view part) { return spec.name.find(part) != std::string::npos; };
  if (spec.shape.size() == 1) {
    return spec.name.ends_with(".weight") ? Distribution{1, 0.1, 1} : Distribution{0, 0.02, 1};
  }
  if (has("embed_tokens") || has("position_embedding")) return {0, 0.5, 1};
  if (spec.name.ends_with("q_proj.weight")) return {0, 3, std::sqrt(static_cast<double>(spec.shape[1]))};
  double inputs = 1;
  for (size_t i = 1; i < spec.shape.size(); ++i) inputs *= static_cast<double>(spec.shape[i]);
  return {0, 1, std::sqrt(inputs)};
}

// The same channels and tensors as in checkpoint.py.
constexpr int64_t kOutliers = 8;
constexpr double kOutlierFactor = 50;
constexpr std::string_view kOutlierLayers = "model.vision_model.encoder.layers.";
constexpr std::array<std::string_view, 4> kOutlierWriters = {"layer_norm1.weight", "layer_norm1.bias",
                                                             "layer_norm2.weight", "layer_norm2.bias"};
constexpr std::array<std::string_view, 3> kOutlierReaders = {"self_attn.q_proj.weight", "self_attn.k_proj.weight",
                                                             "mlp.fc1.weight"};

// What the elements of the last dimension are multiplied by; empty: nothing.
std::vector<double> OutlierFactors(const TensorSpec& spec) {
  const auto is_one_of = [&](const auto& names) {
    return spec.name.starts_with(kOutlierLayers) &&
           std::any_of(names.begin(), names.end(), [&](std::string_view name) { return spec.name.ends_with(name); });
  };
  double factor = 1;
  if (is_one_of(kOutlierWriters)) factor = kOutlierFactor;
  if (is_one_of(kOutlierReaders)) factor = 1 / kOutlierFactor;
  if (factor == 1) return {};
  const int64_t width = spec.shape.back();
  std::vector<double> factors(static_cast<size_t>(width), 1.0);
  for (int64_t i = 0; i < kOutliers; ++i) factors[static_cast<size_t>((2 * i + 1) * width / (2 * kOutliers))] = factor;
  return factors;
}

// Names and shapes, collected.
class SpecList {
 public:
  explicit SpecList(DType dtype) : dtype_(dtype) {}
  void Add(std::string name, std::vector<int64_t> shape) {
    specs_.push_back({std::move(name), dtype_, std::move(shape)});
  }
  std::vector<TensorSpec> Sorted() {
    std::sort(specs_.begin(), specs_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return std::move(specs_);
  }

 private:
  DType dtype_;
  std::vector<TensorSpec> specs_;
};

void AddText(const TextConfig& text, SpecList& list) {
  const int64_t q = text.num_heads * text.head_dim;
  const int64_t kv = text.num_kv_heads * text.head_dim;
  list.Add("model.text_model.embed_tokens.weight", {text.vocab_size, text.hidden_size});
  list.Add("model.text_model.norm.weight", {text.hidden_size});
  for (int64_t i = 0; i < text.num_layers; ++i) {
    const std::string layer = fmt::format("model.text_model.layers.{}.", i);
    list.Add(layer + "input_layernorm.weight", {text.hidden_size});
    list.Add(layer + "post_attention_layernorm.weight", {text.hidden_size});
    list.Add(layer + "self_attn.q_proj.weight", {q, text.hidden_size});
    list.Add(layer + "self_attn.k_proj.weight", {kv, text.hidden_size});
    list.Add(layer + "self_attn.v_proj.weight", {kv, text.hidden_size});
    list.Add(layer + "self_attn.o_proj.weight", {text.hidden_size, q});
    list.Add(layer + "mlp.gate_proj.weight", {text.intermediate_size, text.hidden_size});
    list.Add(layer + "mlp.up_proj.weight", {text.intermediate_size, text.hidden_size});
    list.Add(layer + "mlp.down_proj.weight", {text.hidden_size, text.intermediate_size});
  }
}

void AddVision(const VisionConfig& vision, SpecList& list) {
  const int64_t width = vision.hidden_size;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    list.Add(name + ".bias", {shape[0]});
    list.Add(name + ".weight", std::move(shape));
  };
  const std::string prefix = "model.vision_model.";
  add(prefix + "embeddings.patch_embedding", {width, vision.num_channels, vision.patch_size, vision.patch_size});
  list.Add(prefix + "embeddings.position_embedding.weight", {vision.patches(), width});
  add(prefix + "post_layernorm", {width});
  for (int64_t i = 0; i < vision.num_layers; ++i) {
    const std::string layer = fmt::format("{}encoder.layers.{}.", prefix, i);
    add(layer + "layer_norm1", {width});
    add(layer + "layer_norm2", {width});
    for (const char* projection : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      add(layer + "self_attn." + projection, {width, width});
    }
    add(layer + "mlp.fc1", {vision.intermediate_size, width});
    add(layer + "mlp.fc2", {width, vision.intermediate_size});
  }
}

void AddQuecc(const ModelConfig& config, const std::string& prefix, SpecList& list) {
  const int64_t width = config.vision.hidden_size;
  const int64_t hidden = config.text.hidden_size;
  const auto keys = static_cast<int64_t>(config.connector.key_layers.size());
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    list.Add(prefix + name + ".bias", {shape[0]});
    list.Add(prefix + name + ".weight", std::move(shape));
  };
  add("text_projection.0", {width, hidden});
  add("text_projection.1", {width});
  for (const auto& [name, inputs] : {std::pair("q_proj", width), {"k_proj", keys * width}, {"v_proj", keys * width}}) {
    add(fmt::format("{}.0", name), {width, inputs});
    add(fmt::format("{}.2", name), {width, width});
    add(fmt::format("{}.3", name), {width});
  }
  add("q_downsample", {width, 1, config.scale_factor, config.scale_factor});
  for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
    add(std::string("clip_attn.") + name, {width, width});
  }
  add("projector.0", {hidden, width});
  add("projector.2", {hidden, hidden});
}

void AddConnector(const ModelConfig& config, SpecList& list) {
  const std::string prefix = "model.connector.";
  const int64_t hidden = config.text.hidden_size;
  if (config.connector.type == ConnectorConfig::Type::kQuecc) return AddQuecc(config, prefix, list);
  list.Add(prefix + "modality_projection.proj.weight",
           {hidden, config.vision.hidden_size * config.scale_factor * config.scale_factor});
  const auto scales = static_cast<int64_t>(config.connector.reduced_tokens.size());
  if (scales > 0) list.Add(prefix + "scale_embedding.weight", {scales, hidden});
}

Result<DType> StoredDType(const std::string& dir) {
  const std::string path = JoinPath(dir, "config.json");
  EYESHOT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxConfigBytes));
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(text, path));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject config, JsonObject::Root(tree, path));
  const std::string key = config.Has("dtype") ? "dtype" : "torch_dtype";
  EYESHOT_ASSIGN_OR_RETURN(const std::string name, config.StringOr(key, "bfloat16"));
  if (name == "bfloat16") return DType::kBF16;
  if (name == "float32") return DType::kF32;
  return config.Error(StatusCode::kUnsupported, key, "bfloat16 or float32",
                      "change it: seeded weights are of these types");
}

}  // namespace

std::vector<TensorSpec> SeededTensors(const ModelConfig& config, DType dtype) {
  EYESHOT_CHECK(dtype == DType::kBF16 || dtype == DType::kF32);
  SpecList list(dtype);
  AddText(config.text, list);
  AddVision(config.vision, list);
  AddConnector(config, list);
  if (!config.tie_word_embeddings) list.Add("lm_head.weight", {config.text.vocab_size, config.text.hidden_size});
  return list.Sorted();
}

void FillSeededTensor(const TensorSpec& spec, uint64_t seed, bool outliers, ThreadPool& pool, std::span<uint8_t> out) {
  EYESHOT_CHECK(out.size() == spec.bytes());
  const size_t item = DTypeBytes(spec.dtype);
  const size_t count = out.size() / item;
  const uint64_t name_hash = Fnv1a64(spec.name);
  const Distribution distribution = DistributionOf(spec);
  const std::vector<double> factors = outliers ? OutlierFactors(spec) : std::vector<double>();
  const double sqrt3 = std::sqrt(3.0);
  pool.Run((count + kTaskElements - 1) / kTaskElements, [&](size_t task, size_t) {
    const size_t end = std::min(count, (task + 1) * kTaskElements);
    for (size_t i = task * kTaskElements; i < end; ++i) {
      const uint64_t hash = SplitMix64(seed ^ (name_hash + i * kSplitMix64Step));
      const double u = static_cast<double>(hash >> 40) / 16777216.0;
      const double v = (2.0 * u - 1.0) * sqrt3;
      double exact = (distribution.offset + distribution.scale * v) / distribution.divisor;
      if (!factors.empty()) exact *= factors[i % factors.size()];
      const auto value = static_cast<float>(exact);
      if (spec.dtype == DType::kF32) {
        std::memcpy(out.data() + i * item, &value, item);
      } else {
        const bf16_bits bits = Bf16FromF32(value);
        std::memcpy(out.data() + i * item, &bits, item);
      }
    }
  });
}

Status WriteSeededCheckpoint(const SeededCheckpointOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options.config_dir));
  EYESHOT_ASSIGN_OR_RETURN(const DType dtype, StoredDType(options.config_dir));
  EYESHOT_RETURN_IF_ERROR(MakeModelFolder(options.config_dir, options.out_dir));
  const std::vector<TensorSpec> specs = SeededTensors(config, dtype);
  uint64_t total = 0;
  for (const TensorSpec& spec : specs) total += spec.bytes();

  ThreadPool pool(options.threads);
  uint64_t done = 0;
  EYESHOT_RETURN_IF_ERROR(WriteSafetensors(
      JoinPath(options.out_dir, "model.safetensors"), specs, [&](size_t index, std::span<uint8_t> out) {
        FillSeededTensor(specs[index], options.seed, options.outliers, pool, out);
        done += out.size();
        if (options.on_progress) options.on_progress(static_cast<double>(done) / static_cast<double>(total));
        return Status::Ok();
      }));
  return CopyModelFiles(options.config_dir, options.out_dir);
}

}  // namespace eyeshot
