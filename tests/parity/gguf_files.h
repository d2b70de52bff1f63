// The GGUF files of a Hugging Face folder, as llama.cpp's converter writes them, for tests that compare the two.
#ifndef EYESHOT_TESTS_PARITY_GGUF_FILES_H_
#define EYESHOT_TESTS_PARITY_GGUF_FILES_H_

#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/gguf_testing.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "formats/safetensors.h"
#include "formats/testing.h"
#include "formats/tokenizer_json.h"

namespace eyeshot::testing {

// Old: ffn_up and ffn_down of the tower swapped, no scale_factor, as in files of early 2025.
enum class MmprojAge { kCurrent, kOld };

class GgufFiles {
 public:
  // Writes the files to `out`. dtype: of the matrices, kBF16 or kF32; all else is float32.
  GgufFiles(const std::string& dir, DType dtype, MmprojAge age, const TempDir& out)
      : dtype_(dtype), config_(Value(LoadModelConfig(dir))), checkpoint_(Value(Checkpoint::Open(dir))) {
    text = out.Write("model.gguf", Text(dir));
    mmproj = out.Write("mmproj-model.gguf", Mmproj(dir, age));
  }

  std::string text;
  std::string mmproj;

 private:
  template <typename T>
  static T Value(Result<T> result) {
    if (!result.ok()) throw std::runtime_error(result.status().message());
    return *std::move(result);
  }

  static uint32_t Number(DType dtype) { return dtype == DType::kBF16 ? 30 : 0; }

  // A tensor of the checkpoint under its name in the file; its rows interleaved by halves if it has rotary heads.
  void Add(GgufBuilder& builder, const std::string& name, const std::string& source, bool matrix, int64_t heads = 0) {
    HostTensor tensor = Value(checkpoint_.Get(source));
    const DType dtype = matrix ? dtype_ : DType::kF32;
    const auto count = static_cast<size_t>(tensor.elements());
    std::vector<float> values(count);
    ConvertToF32(tensor.dtype, tensor.data, count, values.data());
    if (heads > 0) values = Interleave(values, heads, static_cast<int64_t>(count) / tensor.shape[0]);
    std::string bytes(count * DTypeBytes(dtype), '\0');
    for (size_t i = 0; i < count; ++i) {
      if (dtype == DType::kF32) {
        std::memcpy(bytes.data() + i * 4, &values[i], 4);
      } else {
        const bf16_bits half = Bf16FromF32(values[i]);
        std::memcpy(bytes.data() + i * 2, &half, 2);
      }
    }
    const std::vector<uint64_t> dims(tensor.shape.rbegin(), tensor.shape.rend());
    builder.Tensor(name, dims, Number(dtype), bytes);
  }

  static std::vector<float> Interleave(const std::vector<float>& rows, int64_t heads, int64_t width) {
    const int64_t head_dim = static_cast<int64_t>(rows.size()) / width / heads;
    std::vector<float> out(rows.size());
    for (int64_t row = 0; row < heads * head_dim; ++row) {
      const int64_t in_head = row % head_dim;
      const int64_t half = head_dim / 2;
      const int64_t to = row - in_head + 2 * (in_head % half) + in_head / half;
      std::copy_n(rows.begin() + row * width, width, out.begin() + to * width);
    }
    return out;
  }

  std::string Text(const std::string& dir) {
    const TextConfig& t = config_.text;
    GgufBuilder builder;
    builder.String("general.architecture", "llama")
        .Integer("llama.block_count", static_cast<uint32_t>(t.num_layers))
        .Integer("llama.context_length", static_cast<uint32_t>(t.max_positions))
        .Integer("llama.embedding_length", static_cast<uint32_t>(t.hidden_size))
        .Integer("llama.feed_forward_length", static_cast<uint32_t>(t.intermediate_size))
        .Integer("llama.attention.head_count", static_cast<uint32_t>(t.num_heads))
        .Integer("llama.attention.head_count_kv", static_cast<uint32_t>(t.num_kv_heads))
        .Float("llama.rope.freq_base", static_cast<float>(t.rope_theta))
        .Float("llama.attention.layer_norm_rms_epsilon", t.rms_norm_eps);
    const TokenizerFile tokenizer = Value(LoadTokenizerFile(dir));
    std::vector<std::string> tokens = tokenizer.vocabulary;
    tokens.resize(static_cast<size_t>(t.vocab_size));
    std::vector<int32_t> types(tokens.size(), 1);
    for (const AddedToken& added : tokenizer.added_tokens) {
      tokens[static_cast<size_t>(added.id)] = added.content;
      types[static_cast<size_t>(added.id)] = added.special ? 3 : 4;
    }
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (tokens[id].empty()) tokens[id] = "[PAD" + std::to_string(id) + "]";
    }
    std::vector<std::string> merges;
    for (const BpeMerge& merge : tokenizer.merges) {
      merges.push_back(tokenizer.vocabulary[static_cast<size_t>(merge.left)] + " " +
                       tokenizer.vocabulary[static_cast<size_t>(merge.right)]);
    }
    builder.String("tokenizer.ggml.model", "gpt2")
        .String("tokenizer.ggml.pre", tokenizer.split_digits ? "smollm" : "gpt-2");
    builder.Strings("tokenizer.ggml.tokens", tokens).Integers("tokenizer.ggml.token_type", types);
    builder.Strings("tokenizer.ggml.merges", merges);

    const std::string prefix = "model.text_model.";
    Add(builder, "token_embd.weight", prefix + "embed_tokens.weight", true);
    Add(builder, "output_norm.weight", prefix + "norm.weight", false);
    if (checkpoint_.Has("lm_head.weight")) Add(builder, "output.weight", "lm_head.weight", true);
    for (int64_t i = 0; i < t.num_layers; ++i) {
      const std::string from = prefix + "layers." + std::to_string(i) + ".";
      const std::string to = "blk." + std::to_string(i) + ".";
      Add(builder, to + "attn_norm.weight", from + "input_layernorm.weight", false);
      Add(builder, to + "ffn_norm.weight", from + "post_attention_layernorm.weight", false);
      Add(builder, to + "attn_q.weight", from + "self_attn.q_proj.weight", true, t.num_heads);
      Add(builder, to + "attn_k.weight", from + "self_attn.k_proj.weight", true, t.num_kv_heads);
      Add(builder, to + "attn_v.weight", from + "self_attn.v_proj.weight", true);
      Add(builder, to + "attn_output.weight", from + "self_attn.o_proj.weight", true);
      Add(builder, to + "ffn_gate.weight", from + "mlp.gate_proj.weight", true);
      Add(builder, to + "ffn_up.weight", from + "mlp.up_proj.weight", true);
      Add(builder, to + "ffn_down.weight", from + "mlp.down_proj.weight", true);
    }
    return builder.Bytes();
  }

  std::string Mmproj(const std::string& dir, MmprojAge age) {
    const VisionConfig& v = config_.vision;
    const ImageProcessorConfig processor = Value(LoadProcessorConfig(dir));
    GgufBuilder builder;
    builder.String("general.architecture", "clip")
        .String("clip.projector_type", "idefics3")
        .Integer("clip.vision.image_size", static_cast<uint32_t>(v.image_size))
        .Integer("clip.vision.patch_size", static_cast<uint32_t>(v.patch_size))
        .Integer("clip.vision.embedding_length", static_cast<uint32_t>(v.hidden_size))
        .Integer("clip.vision.feed_forward_length", static_cast<uint32_t>(v.intermediate_size))
        .Integer("clip.vision.block_count", static_cast<uint32_t>(v.num_layers))
        .Integer("clip.vision.attention.head_count", static_cast<uint32_t>(v.num_heads))
        .Float("clip.vision.attention.layer_norm_epsilon", v.layer_norm_eps);
    builder.Integer("clip.vision.preproc_image_size", static_cast<uint32_t>(processor.longest_edge));
    if (age == MmprojAge::kCurrent) {
      builder.Integer("clip.vision.projector.scale_factor", static_cast<uint32_t>(config_.scale_factor));
    }
    const std::string prefix = "model.vision_model.";
    Add(builder, "v.patch_embd.weight", prefix + "embeddings.patch_embedding.weight", false);
    Add(builder, "v.patch_embd.bias", prefix + "embeddings.patch_embedding.bias", false);
    Add(builder, "v.position_embd.weight", prefix + "embeddings.position_embedding.weight", false);
    Add(builder, "mm.model.fc.weight", "model.connector.modality_projection.proj.weight", true);
    const bool old = age == MmprojAge::kOld;
    const std::map<std::string, std::string> layer = {{"ln1", "layer_norm1"},
                                                      {"ln2", "layer_norm2"},
                                                      {"attn_q", "self_attn.q_proj"},
                                                      {"attn_k", "self_attn.k_proj"},
                                                      {"attn_v", "self_attn.v_proj"},
                                                      {"attn_out", "self_attn.out_proj"},
                                                      {"ffn_up", old ? "mlp.fc2" : "mlp.fc1"},
                                                      {"ffn_down", old ? "mlp.fc1" : "mlp.fc2"}};
    for (int64_t i = 0; i < v.num_layers; ++i) {
      for (const auto& [ours, theirs] : layer) {
        const std::string to = "v.blk." + std::to_string(i) + "." + ours;
        const std::string from = prefix + "encoder.layers." + std::to_string(i) + "." + theirs;
        Add(builder, to + ".weight", from + ".weight", !ours.starts_with("ln"));
        Add(builder, to + ".bias", from + ".bias", false);
      }
    }
    for (const char* part : {".weight", ".bias"})
      Add(builder, std::string("v.post_ln") + part, prefix + "post_layernorm" + part, false);
    return builder.Bytes();
  }

  DType dtype_;
  ModelConfig config_;
  Checkpoint checkpoint_;
};

}  // namespace eyeshot::testing

#endif  // EYESHOT_TESTS_PARITY_GGUF_FILES_H_
