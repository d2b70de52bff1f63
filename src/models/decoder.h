// The shared decoder: a Llama with grouped-query attention over a paged key/value cache.
//
// Source of the architecture: transformers, models/llama/modeling_llama.py; SmolLM2, arXiv 2502.02737.
#ifndef EYESHOT_MODELS_DECODER_H_
#define EYESHOT_MODELS_DECODER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "formats/model_config.h"
#include "kernels/backend.h"
#include "tensor/arena.h"
#include "vision/weight_loader.h"

namespace eyeshot {

// Tensor names of one checkpoint layout.
struct DecoderNames {
  std::string prefix;  // "model.text_model.": embed_tokens, layers.{i}, norm follow
  std::string head;    // "lm_head.weight"
};

// One step on its way through the layers. A hook may replace rows and batch alike.
struct DecoderStep {
  MatrixView x;      // [tokens, hidden]
  PagedBatch batch;  // device arrays of batch.tokens == x.rows
};

// Looks into the decoder between layers, as LayerHook does into a tower: to drop tokens it compacts step.x and
// points step.batch at arrays for the remaining ones (whose later layers then are a layer group of their own).
class DecoderHook {
 public:
  virtual ~DecoderHook() = default;
  // After layer `layer` (0 is the first) has run.
  virtual Status AfterLayer(Backend& backend, Stream& stream, int64_t layer, DecoderStep& step) = 0;
};

// Memory for steps of up to `max_tokens` tokens of up to `max_sequences` sequences.
struct DecoderWorkspace {
  int64_t max_tokens = 0;
  int64_t max_sequences = 0;
  DeviceSpan<uint8_t> inputs;          // holds the arrays below, so that one copy brings a step's
  DeviceSpan<int32_t> ids;             // [max_tokens]
  DeviceSpan<int32_t> positions;       // [max_tokens]
  DeviceSpan<int32_t> slots;           // [groups, max_tokens]
  DeviceSpan<int32_t> query_start;     // [max_sequences + 1]
  DeviceSpan<int32_t> context_length;  // [groups, max_sequences]
  DeviceSpan<int32_t> block_table;     // [groups, max_sequences, max_blocks]
  DeviceSpan<int32_t> logit_rows;      // [max_sequences] rows of x whose logits are wanted
  MatrixView x;                        // [max_tokens, hidden] float32: sums of all layers, which bfloat16 would blur
  MatrixView normed;                   // [max_tokens, hidden]
  MatrixView qkv;                      // [max_tokens, (heads + 2 kv_heads) * head_dim]
  MatrixView attended;                 // [max_tokens, heads * head_dim]
  MatrixView inner;                    // [max_tokens, intermediate]
  MatrixView last;                     // [max_sequences, hidden] float32
  MatrixView logits;                   // [max_sequences, vocabulary]

  DecoderWorkspace() = default;
  DecoderWorkspace(Arena& arena, const TextConfig& config, DType activation, int64_t tokens, int64_t sequences,
                   int64_t max_blocks, int64_t groups);
};

class LlamaDecoder {
 public:
  // The format of the head, and so of a tied embedding, beside that of the layers: 4 bits are too few for it, and so
  // are the 4 that matter of fp8.
  static WeightFormat HeadFormat(WeightFormat layers) {
    if (layers == WeightFormat::kFp8) return WeightFormat::kBf16;
    return layers == WeightFormat::kInt4 || layers == WeightFormat::kQ4 ? WeightFormat::kQ8 : layers;
  }

  // The head is `names.head` where the checkpoint has it, else the embedding if `tied`; neither is an error.
  static Result<LlamaDecoder> Load(WeightLoader& loader, Backend& backend, const TextConfig& config,
                                   const DecoderNames& names, bool tied);

  const TextConfig& config() const { return config_; }
  // The cache for `context` tokens in blocks of `block_size`, all layers in one group.
  KvCacheShape CacheShape(int64_t context, int64_t block_size, KvFormat format = KvFormat::kHalf) const;

  // y: [ids.size, hidden], the embeddings of tokens. An id outside the vocabulary gives zeros.
  void Embed(Stream& stream, DeviceSpan<const int32_t> ids, MatrixView y) const;

  // Layers [begin, end), in place in step.x; may be called piece by piece. The hook may be null.
  Status RunLayers(Stream& stream, DecoderWorkspace& workspace, KvCache& cache, DecoderStep& step, int64_t begin,
                   int64_t end, DecoderHook* hook) const;

  // The final norm: y = norm(x), [rows, hidden]; may be in place.
  void FinalNorm(Stream& stream, ConstMatrixView x, MatrixView y) const;
  // The head: logits = normed head^T, [rows, vocabulary] float32.
  void Head(Stream& stream, ConstMatrixView normed, MatrixView logits) const;
  // Norm and head: workspace.logits of the first `count` rows that workspace.logit_rows names.
  MatrixView Logits(Stream& stream, DecoderWorkspace& workspace, const DecoderStep& step, int64_t count) const;

 private:
  struct Layer {
    PackedWeightPtr input_norm, qkv, out, post_norm, gate_up, down;
  };

  LlamaDecoder(Backend& backend, const TextConfig& config) : backend_(&backend), config_(config) {}
  static Result<Layer> LoadLayer(WeightLoader& loader, const TextConfig& config, const std::string& prefix);
  Status LoadHead(WeightLoader& loader, const DecoderNames& names, bool tied);
  Status LoadRotary();
  void RunLayer(Stream& stream, DecoderWorkspace& workspace, KvCache& cache, DecoderStep& step, int64_t index) const;

  Backend* backend_;
  TextConfig config_;
  bool reduced_ = false;  // attention may round
  PackedWeightPtr embedding_;  // null when tied: the head is gathered from
  PackedWeightPtr head_;
  PackedWeightPtr final_norm_;
  Buffer inverse_frequency_;   // [head_dim / 2] float32 on the device
  std::vector<Layer> layers_;
};

}  // namespace eyeshot

#endif  // EYESHOT_MODELS_DECODER_H_
