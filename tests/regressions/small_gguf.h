// A whole model of one layer in two GGUF files of some hundred kilobytes, sound unless a test says otherwise.
#ifndef EYESHOT_TESTS_REGRESSIONS_SMALL_GGUF_H_
#define EYESHOT_TESTS_REGRESSIONS_SMALL_GGUF_H_

#include <map>
#include <memory>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "eyeshot/engine.h"
#include "formats/byte_symbols.h"
#include "formats/gguf_testing.h"
#include "formats/testing.h"

namespace eyeshot::testing {

using Keys = std::map<std::string, uint32_t>;

struct SmallGguf {
  Keys integers;  // further keys and other values of the text file
  Keys tower;     // the same of the mmproj file; 0: the key is absent
  // Behind those of the 256 bytes. SmolVLM's, and two to merge.
  std::vector<std::string> tokens = {
      "<|im_start|>", "<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>", "th", "the"};
  std::vector<int32_t> types = {3, 3, 3, 3, 3, 1, 1};
  std::vector<std::string> merges = {"t h", "th e"};
  std::string chat_template;
  float epsilon = 1e-6f;
  bool swapped_ffn = false;  // as in early mmproj files

  Result<std::shared_ptr<Engine>> Load() const {
    const TempDir dir;
    Write(dir);
    return Engine::Load({.model = dir.path(), .threads = 1});
  }
  void Write(const TempDir& dir) const {
    dir.Write("small.gguf", Text());
    dir.Write("mmproj-small.gguf", Mmproj());
  }

  std::string Text() const {
    GgufBuilder b;
    b.String("general.architecture", "llama").String("tokenizer.ggml.model", "gpt2");
    Integers(b, integers, "llama.",
             "block_count 1 context_length 1024 embedding_length 32 feed_forward_length 64 "
             "attention.head_count 2 attention.head_count_kv 1");
    std::vector<std::string> all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(ByteSymbol(static_cast<uint8_t>(byte)));
    all.insert(all.end(), tokens.begin(), tokens.end());
    std::vector<int32_t> kinds(256, 1);
    kinds.insert(kinds.end(), types.begin(), types.end());
    b.Strings("tokenizer.ggml.tokens", all).Strings("tokenizer.ggml.merges", merges);
    b.Integers("tokenizer.ggml.token_type", kinds);
    if (!chat_template.empty()) b.String("tokenizer.chat_template", chat_template);
    Weight(b, "token_embd.weight", {32, all.size()});
    Weight(b, "output_norm.weight", {32});
    for (const char* norm : {"attn_norm", "ffn_norm"}) Weight(b, Block(norm), {32});
    for (const char* name : {"attn_q", "attn_output"}) Weight(b, Block(name), {32, 32});
    for (const char* name : {"attn_k", "attn_v"}) Weight(b, Block(name), {32, 16});
    for (const char* name : {"ffn_gate", "ffn_up"}) Weight(b, Block(name), {32, 64});
    Weight(b, Block("ffn_down"), {64, 32});
    return b.Bytes();
  }

  // Tiles of 32 x 32 pixels, 4 x 4 patches, 4 visual tokens.
  std::string Mmproj() const {
    GgufBuilder b;
    b.String("general.architecture", "clip").String("clip.projector_type", "idefics3");
    b.Float("clip.vision.attention.layer_norm_epsilon", epsilon);
    Integers(b, tower, "clip.vision.",
             "image_size 32 patch_size 8 embedding_length 16 feed_forward_length 48 "
             "block_count 1 attention.head_count 2 projector.scale_factor 2 preproc_image_size 64");
    Weight(b, "mm.model.fc.weight", {64, 32});
    Weight(b, "v.position_embd.weight", {16, 16});
    const auto linear = [&](const std::string& name, std::vector<uint64_t> dims) {
      Weight(b, name + ".bias", {dims.back()});
      Weight(b, name + ".weight", dims);
    };
    linear("v.patch_embd", {8, 8, 3, 16});
    for (const char* norm : {"v.post_ln", "v.blk.0.ln1", "v.blk.0.ln2"}) linear(norm, {16});
    for (const char* name : {"q", "k", "v", "out"}) linear(std::string("v.blk.0.attn_") + name, {16, 16});
    linear(swapped_ffn ? "v.blk.0.ffn_down" : "v.blk.0.ffn_up", {16, 48});
    linear(swapped_ffn ? "v.blk.0.ffn_up" : "v.blk.0.ffn_down", {48, 16});
    return b.Bytes();
  }

 private:
  static std::string Block(const char* name) { return std::string("blk.0.") + name + ".weight"; }

  // defaults: "key value key value"
  static void Integers(GgufBuilder& b, Keys values, const std::string& prefix, const std::string& defaults) {
    std::istringstream in(defaults);
    uint32_t number = 0;
    for (std::string key; in >> key >> number;) values.emplace(prefix + key, number);
    for (const auto& [key, value] : values) {
      if (value != 0) b.Integer(key, value);
    }
  }

  // Values between -0.5 and 0.5 that follow from shape and place alone, so that names can be exchanged.
  static void Weight(GgufBuilder& b, const std::string& name, const std::vector<uint64_t>& dims) {
    uint64_t count = 1;
    for (const uint64_t dim : dims) count *= dim;
    std::string bytes;
    for (uint64_t i = 0; i < count; ++i) {
      const uint32_t noise = static_cast<uint32_t>(i + 31 * dims[0]) * 2654435761u;
      bytes += GgufBuilder::Number(std::bit_cast<uint32_t>(static_cast<float>(noise >> 16) / 65536 - 0.5f), 4);
    }
    b.Tensor(name, dims, /*F32*/ 0, bytes);
  }
};

// What a new conversation answers; throws where it's an error.
inline Answer Ask(const Result<std::shared_ptr<Engine>>& engine, std::vector<ContentPart> parts, AskOptions options) {
  if (!engine.ok()) throw std::runtime_error(engine.status().message());
  auto answer = engine.value()->NewChat().value()->Ask(std::move(parts), options);
  if (!answer.ok()) throw std::runtime_error(answer.status().message());
  return *std::move(answer);
}

inline std::shared_ptr<Image> Plain(int width, int height, uint8_t grey = 128) {
  return std::make_shared<Image>(
      Image{width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), grey)});
}
inline std::shared_ptr<Image> Noise(int width, int height) {
  const auto image = Plain(width, height);
  uint32_t state = 1;
  for (uint8_t& byte : image->rgb) byte = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  return image;
}

inline std::span<const uint8_t> Span(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
inline Status ParseGguf(const std::string& bytes) { return GgufFile::Parse(Span(bytes), "m.gguf").status(); }

inline bool HasNote(const Result<std::shared_ptr<Engine>>& engine, std::string_view part) {
  for (const std::string& note : engine.value()->info().notes) {
    if (note.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace eyeshot::testing

#endif  // EYESHOT_TESTS_REGRESSIONS_SMALL_GGUF_H_
