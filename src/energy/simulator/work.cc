#include "energy/simulator/work.h"

#include "energy/simulator/find_by_name.h"

namespace eyeshot::simulator {
namespace {

constexpr double kBytes = 2;  // of a weight or an activation in bf16

constexpr VisionShape kSiglipBase512 = {12, 768, 3072, 2, 1024, 1024, 64};
constexpr VisionShape kSiglipSo400m384 = {27, 1152, 4304, 2, 729, 729, 81};
constexpr TextShape kQwen7B = {28, 3584, 18944, 3584, 512, 152064};

constexpr ModelShape kModels[] = {
    {"SmolVLM-256M",
     kSiglipBase512,
     {30, 576, 1536, 576, 192, 49280},
     8192,
     Tiling::kFixed,
     17,
     "any square picture",
     "config.json, arXiv 2504.05299"},
    {"SmolVLM-500M",
     kSiglipBase512,
     {32, 960, 2560, 960, 320, 49280},
     8192,
     Tiling::kFixed,
     17,
     "any square picture",
     "config.json, arXiv 2504.05299"},
    {"SmolVLM-2.2B",
     kSiglipSo400m384,
     {24, 2048, 8192, 2048, 2048, 49155},
     16384,
     Tiling::kFixed,
     17,
     "any square picture",
     "config.json, arXiv 2504.05299"},
    // 74 x 74 patches, four to a token; 28 layers attend within windows of 64 patches, 4 to all.
    {"Qwen2.5-VL-7B",
     {32, 1280, 3420, 3, 5476, (28 * 64.0 + 4 * 5476.0) / 32, 1369},
     kQwen7B,
     128000,
     Tiling::kNative,
     1,
     "1036 x 1036",
     "config.json, arXiv 2502.13923"},
    {"LLaVA-OneVision-7B",
     {26, 1152, 4304, 2, 729, 729, 729},
     kQwen7B,
     32768,
     Tiling::kAnyres,
     10,
     "3 x 3 tiles and an overview",
     "convert_llava_onevision_weights_to_hf.py of transformers, arXiv 2408.03326"},
    {"LLaVA-1.5-7B",
     {23, 1024, 4096, 2, 577, 577, 576},
     {32, 4096, 11008, 4096, 4096, 32064},
     4096,
     Tiling::kFixed,
     1,
     "336 x 336",
     "config.json, arXiv 2310.03744"},
    {"InternVL3-8B",
     {24, 1024, 4096, 2, 1025, 1025, 256},
     kQwen7B,
     32768,
     Tiling::kDynamic,
     10,
     "9 tiles and an overview",
     "configuration_internvl.py of transformers, arXiv 2504.10479; decoder by family"},
    {"gemma-3-12b",
     {27, 1152, 4304, 2, 4096, 4096, 256},
     {48, 3840, 15360, 4096, 2048, 262208},
     131072,
     Tiling::kFixed,
     1,
     "896 x 896",
     "config.json, arXiv 2503.19786; sliding windows left out"},
    {"gemma-3-27b",
     {27, 1152, 4304, 2, 4096, 4096, 256},
     {62, 5376, 21504, 4096, 2048, 262208},
     131072,
     Tiling::kFixed,
     1,
     "896 x 896",
     "config.json, arXiv 2503.19786; sliding windows left out"},
};

constexpr Software kSoftwares[] = {
    // Operators one by one: norms, activations, residuals and copies go through memory, float32 temporaries of norms
    // stay in the L2 cache. Host times are those of the rows that wait for it.
    {"transformers", 500, 750, 0, 28, 5, 0, 0,
     "transformers 5.17, eager, on an H100: rows bound by the host (docs/energy.md)"},
    {"graph", 0, 0, 8, 8, 2, 0, 0, "fused kernels replayed as a graph: operands of 8 kernels a layer, counted"},
    // The gap and the bytes by inter-token latency of text-only gemma-3 12B and 27B over batches (ML.ENERGY).
    {"vllm", 0, 0, 8, 12, 3, 5000, 370e6, "ML.ENERGY (arXiv 2505.06371), lm-arena-chat rows of gemma-3 on an H100"},
};

double VisionWeights(const VisionShape& v) {
  return v.layers * (4 * v.width * v.width + v.mlp_matrices * v.width * v.mlp_width);
}

double LayerWeights(const TextShape& t) {
  return t.layers * (t.width * (2 * t.query_width + 2 * t.key_value_width) + 3 * t.width * t.mlp_width);
}

double HeadWeights(const TextShape& t) { return t.vocabulary * t.width; }

// Bytes of the cache that one token takes.
double CacheBytes(const TextShape& t) { return t.layers * 2 * t.key_value_width * kBytes; }

double ActivationBytes(double rows, double layers, double width, double mlp_width, const Software& software) {
  return rows * layers * (software.width_elements * width + software.mlp_elements * mlp_width) * kBytes;
}

Work EncodeWork(const ModelShape& model, const Software& software, double tiles) {
  const VisionShape& v = model.vision;
  const double rows = tiles * v.patches;
  Work work;
  work.gemm_flops = 2 * VisionWeights(v) * rows;
  work.gemm_width = v.width;
  work.attention_flops = 4 * rows * v.keys * v.width * v.layers;
  work.stream_bytes = VisionWeights(v) * kBytes;
  work.activation_bytes = ActivationBytes(rows, v.layers, v.width, v.mlp_width, software);
  work.kernels = v.layers * software.kernels;
  work.host_s = v.layers * software.encode_host_us * 1e-6;
  return work;
}

Work PrefillWork(const ModelShape& model, const Software& software, double tokens, double batch) {
  const TextShape& t = model.text;
  const double rows = tokens * batch;
  Work work;
  work.gemm_flops = 2 * LayerWeights(t) * rows + 2 * HeadWeights(t) * batch;  // the head sees the last token alone
  work.gemm_width = t.width;
  work.attention_flops = 2 * rows * tokens * t.query_width * t.layers;  // half of 4, by the causal mask
  work.stream_bytes = (LayerWeights(t) + HeadWeights(t)) * kBytes + rows * CacheBytes(t);
  work.activation_bytes = ActivationBytes(rows, t.layers, t.width, t.mlp_width, software);
  work.kernels = t.layers * software.kernels;
  work.host_s = t.layers * software.decoder_host_us * 1e-6;
  return work;
}

Work DecodeWork(const ModelShape& model, const Software& software, double context, double batch) {
  const TextShape& t = model.text;
  Work work;
  work.gemm_flops = 2 * (LayerWeights(t) + HeadWeights(t)) * batch;
  work.gemm_width = t.width;
  work.attention_flops = 4 * context * t.query_width * t.layers * batch;
  work.stream_bytes =
      (LayerWeights(t) + HeadWeights(t)) * kBytes + batch * (context * CacheBytes(t) + software.sequence_bytes);
  work.activation_bytes = ActivationBytes(batch, t.layers, t.width, t.mlp_width, software);
  work.kernels = t.layers * software.kernels;
  work.host_s = t.layers * software.decoder_host_us * 1e-6;
  work.gap_s = software.step_gap_us * 1e-6;
  return work;
}

}  // namespace

std::string_view StageLabel(Stage stage) {
  switch (stage) {
    case Stage::kEncode: return "encode";
    case Stage::kPrefill: return "prefill";
    case Stage::kDecode: return "decode";
  }
  return "";
}

std::span<const ModelShape> ModelShapes() { return kModels; }
std::span<const Software> Softwares() { return kSoftwares; }
Result<ModelShape> FindModelShape(const std::string& name) { return FindByName(ModelShapes(), name, "model"); }
Result<Software> FindSoftware(const std::string& name) { return FindByName(Softwares(), name, "software"); }

Request RequestFor(const ModelShape& model, double tiles, double text_tokens, double output_tokens) {
  return {tiles, tiles * model.vision.tokens, text_tokens, output_tokens};
}

Work StageWork(Stage stage, const ModelShape& model, const Software& software, const Request& request, double batch) {
  const double prompt = request.visual_tokens + request.text_tokens;
  switch (stage) {
    case Stage::kEncode: return EncodeWork(model, software, request.tiles * batch);
    case Stage::kPrefill: return PrefillWork(model, software, prompt, batch);
    case Stage::kDecode: return DecodeWork(model, software, prompt + request.output_tokens / 2, batch);
  }
  return {};
}

double StageSteps(Stage stage, const Request& request) {
  if (stage == Stage::kDecode) return request.output_tokens;
  return stage == Stage::kEncode && request.tiles <= 0 ? 0 : 1;
}

}  // namespace eyeshot::simulator
