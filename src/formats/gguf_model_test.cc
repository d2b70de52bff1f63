#include "formats/gguf_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "formats/gguf_testing.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using testing::ExpectError;
using testing::GgufBuilder;
using testing::TempDir;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4K = 12;
constexpr uint32_t kQ5_0 = 6;

std::string Floats(size_t count) { return std::string(count * 4, '\0'); }

// Metadata of a text file, less the keys in `without`; `more` adds to it.
struct TextOptions {
  std::vector<std::string> without;
  std::function<void(GgufBuilder&)> more;
  std::string architecture = "llama";
  std::string tokenizer = "gpt2";
  std::string pre = "smollm";
  bool image_token = true;
  uint64_t rows = 6;
};

std::string TextBytes(const TextOptions& options = {}) {
  GgufBuilder builder;
  const auto has = [&](std::string_view key) {
    return std::find(options.without.begin(), options.without.end(), key) == options.without.end();
  };
  const auto integer = [&](const char* key, uint32_t value) {
    if (has(key)) builder.Integer(key, value);
  };
  if (has("general.architecture")) builder.String("general.architecture", options.architecture);
  integer("llama.block_count", 1);
  integer("llama.context_length", 64);
  integer("llama.embedding_length", 8);
  integer("llama.feed_forward_length", 16);
  integer("llama.attention.head_count", 2);
  integer("llama.attention.head_count_kv", 1);
  if (has("llama.rope.freq_base")) builder.Float("llama.rope.freq_base", 100000);
  builder.Float("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  builder.String("tokenizer.ggml.model", options.tokenizer).String("tokenizer.ggml.pre", options.pre);
  builder.Strings("tokenizer.ggml.tokens",
                  {"a", "b", "ab", "<|im_start|>", options.image_token ? "<image>" : "<picture>", "7"});
  builder.Strings("tokenizer.ggml.merges", {"a b"}).Integers("tokenizer.ggml.token_type", {1, 1, 1, 3, 3, 1});
  builder.Integer("tokenizer.ggml.eos_token_id", 3);
  if (has("tokenizer.chat_template")) builder.String("tokenizer.chat_template", "{{ x }}");
  if (options.more) options.more(builder);
  builder.Tensor("token_embd.weight", {8, options.rows}, kF32, Floats(8 * options.rows));
  // Row r holds r: heads of 4 rows.
  std::string rows;
  for (int row = 0; row < 8; ++row) {
    for (int i = 0; i < 8; ++i) rows += GgufBuilder::Number(std::bit_cast<uint32_t>(static_cast<float>(row)), 4);
  }
  builder.Tensor("blk.0.attn_q.weight", {8, 8}, kF32, rows);
  builder.Tensor("blk.0.attn_k.weight", {8, 4}, kF32, rows.substr(0, rows.size() / 2));
  builder.Tensor("blk.0.attn_v.weight", {8, 4}, kF32, rows.substr(0, rows.size() / 2));
  return builder.Bytes();
}

struct TowerOptions {
  std::vector<std::string> without;
  std::string projector = "idefics3";
  float epsilon = 1e-6f;
  bool swapped = false;
  uint64_t decoder_width = 8;
  uint32_t scale = 2;
};

std::string TowerBytes(const TowerOptions& options = {}) {
  GgufBuilder builder;
  const auto has = [&](std::string_view key) {
    return std::find(options.without.begin(), options.without.end(), key) == options.without.end();
  };
  builder.String("general.architecture", "clip").String("clip.projector_type", options.projector);
  builder.Integer("clip.vision.image_size", 32).Integer("clip.vision.patch_size", 8);
  builder.Integer("clip.vision.embedding_length", 4).Integer("clip.vision.feed_forward_length", 12);
  builder.Integer("clip.vision.block_count", 1).Integer("clip.vision.attention.head_count", 2);
  builder.Float("clip.vision.attention.layer_norm_epsilon", options.epsilon);
  if (has("scale")) builder.Integer("clip.vision.projector.scale_factor", options.scale);
  if (has("edge")) builder.Integer("clip.vision.preproc_image_size", 96);
  builder.Tensor("mm.model.fc.weight", {16, options.decoder_width}, kF32, Floats(16 * options.decoder_width));
  builder.Tensor(options.swapped ? "v.blk.0.ffn_down.weight" : "v.blk.0.ffn_up.weight", {4, 12}, kF32, Floats(48));
  builder.Tensor(options.swapped ? "v.blk.0.ffn_up.weight" : "v.blk.0.ffn_down.weight", {12, 4}, kF32, Floats(48));
  return builder.Bytes();
}

// Files in memory, and the model in them. An empty tower: text alone.
class Model {
 public:
  explicit Model(std::string text, std::string tower = "", const GgufModelOptions& options = {})
      : text_(std::move(text)), tower_(std::move(tower)) {
    auto text_file = Parse(text_, "text.gguf");
    if (!text_file.ok()) throw std::runtime_error(text_file.status().message());
    std::unique_ptr<GgufFile> tower_file;
    if (!tower_.empty()) {
      auto parsed = Parse(tower_, "mmproj.gguf");
      if (!parsed.ok()) throw std::runtime_error(parsed.status().message());
      tower_file = std::make_unique<GgufFile>(*std::move(parsed));
    }
    auto model = GgufModel::Create(*std::move(text_file), std::move(tower_file), options);
    if (model.ok()) {
      model_ = *std::move(model);
    } else {
      status_ = model.status();
    }
  }

  const Status& status() const { return status_; }
  const GgufModel* operator->() const { return model_.get(); }
  bool HasNote(std::string_view part) const {
    return std::any_of(model_->notes().begin(), model_->notes().end(),
                       [&](const std::string& note) { return note.find(part) != std::string::npos; });
  }

 private:
  static Result<GgufFile> Parse(const std::string& bytes, const std::string& name) {
    return GgufFile::Parse({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, name);
  }

  std::string text_;
  std::string tower_;
  std::unique_ptr<GgufModel> model_;
  Status status_;
};

TEST(GgufModelTest, ReadsWhatAFolderWouldSay) {
  const Model model(TextBytes(), TowerBytes());
  ASSERT_TRUE(model.status().ok()) << model.status().message();
  const ModelConfig& config = model->config();
  EXPECT_TRUE(config.has_vision());
  EXPECT_EQ(config.text.hidden_size, 8);
  EXPECT_EQ(config.text.head_dim, 4);
  EXPECT_EQ(config.text.num_kv_heads, 1);
  EXPECT_EQ(config.text.max_positions, 64);
  EXPECT_EQ(config.text.rope_theta, 100000);
  EXPECT_EQ(config.text.rms_norm_eps, 1e-5f);
  EXPECT_EQ(config.text.vocab_size, 6);
  EXPECT_EQ(config.image_token_id, 4);
  EXPECT_EQ(config.vision.layer_norm_eps, 1e-6f);
  EXPECT_EQ(config.scale_factor, 2);
  EXPECT_EQ(config.visual_tokens_per_tile(), 4);
  EXPECT_EQ(model->processor().longest_edge, 96);
  EXPECT_EQ(model->processor().max_image_edge, 32);
  EXPECT_EQ(model->generation().eos_token_ids, (std::vector<int32_t>{3}));
  EXPECT_EQ(model->chat_template(), "{{ x }}");
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_TRUE(model.HasNote("no output.weight")) << "and nothing else is odd";
  EXPECT_EQ(model->notes().size(), 1u);
  const auto tokenizer = model->ReadTokenizer();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  EXPECT_EQ(tokenizer->vocabulary.size(), 6u);
  EXPECT_EQ(tokenizer->merges.size(), 1u);
  ASSERT_EQ(tokenizer->added_tokens.size(), 2u);
  EXPECT_EQ(tokenizer->added_tokens[1].content, "<image>");
  EXPECT_TRUE(tokenizer->individual_digits);
}

TEST(GgufModelTest, ADecoderAloneIsATextModel) {
  const Model model(TextBytes({.without = {"tokenizer.chat_template"}, .image_token = false}));
  ASSERT_TRUE(model.status().ok()) << model.status().message();
  EXPECT_FALSE(model->config().has_vision());
  EXPECT_EQ(model->config().image_token_id, -1);
  EXPECT_TRUE(model.HasNote("no chat template"));
}

// The converter interleaves the halves of each head; tensors come out in Hugging Face's order.
TEST(GgufModelTest, RowsOfQueriesAndKeysArePutRight) {
  const Model model(TextBytes(), TowerBytes());
  const auto rows = [&](const std::string& name) {
    const auto tensor = model->Get(name);
    EXPECT_TRUE(tensor.ok()) << tensor.status().message();
    EXPECT_EQ(tensor->name, name);
    std::vector<float> values(static_cast<size_t>(tensor->elements()));
    ConvertToF32(tensor->dtype, tensor->data, values.size(), values.data());
    std::vector<float> first;
    for (size_t i = 0; i < values.size(); i += 8) first.push_back(values[i]);
    model->Release(*tensor);
    return first;
  };
  const std::string layer = "model.text_model.layers.0.self_attn.";
  EXPECT_EQ(rows(layer + "q_proj.weight"), (std::vector<float>{0, 2, 1, 3, 4, 6, 5, 7}));
  EXPECT_EQ(rows(layer + "k_proj.weight"), (std::vector<float>{0, 2, 1, 3}));
  EXPECT_EQ(rows(layer + "v_proj.weight"), (std::vector<float>{0, 1, 2, 3}));
  EXPECT_EQ(rows("model.layers.0.self_attn.q_proj.weight").size(), 8u) << "names of a decoder alone";
  ExpectError(model->Get(layer + "o_proj.weight").status(), StatusCode::kNotFound,
              {"blk.0.attn_output.weight", "self_attn.o_proj.weight"});
  EXPECT_FALSE(model->Has("model.text_model.layers.0.self_attn.q_proj.bias"));
  EXPECT_FALSE(model->Has("something.else"));
}

TEST(GgufModelTest, OldFilesWithSwappedProductsAreReadRight) {
  for (const bool swapped : {false, true}) {
    const Model model(TextBytes(), TowerBytes({.swapped = swapped}));
    ASSERT_TRUE(model.status().ok()) << model.status().message();
    const auto fc1 = model->Get("model.vision_model.encoder.layers.0.mlp.fc1.weight");
    ASSERT_TRUE(fc1.ok()) << fc1.status().message();
    EXPECT_EQ(fc1->shape, (std::vector<int64_t>{12, 4}));
    EXPECT_EQ(model.HasNote("swapped"), swapped);
  }
}

TEST(GgufModelTest, MissingSizesAreInferredAndNoted) {
  const Model model(TextBytes(), TowerBytes({.without = {"edge", "scale"}}));
  ASSERT_TRUE(model.status().ok()) << model.status().message();
  EXPECT_EQ(model->processor().longest_edge, 4 * 32);
  EXPECT_EQ(model->config().scale_factor, 2);
  EXPECT_TRUE(model.HasNote("preproc_image_size"));
  EXPECT_TRUE(model.HasNote("scale_factor"));
}

TEST(GgufModelTest, TheConvertersEpsilonIsNotedAndCanBeTheReferences) {
  const Model as_filed(TextBytes(), TowerBytes({.epsilon = 1e-5f}));
  EXPECT_EQ(as_filed->config().vision.layer_norm_eps, 1e-5f);
  EXPECT_TRUE(as_filed.HasNote("--hf-defaults"));
  const Model as_reference(TextBytes(), TowerBytes({.epsilon = 1e-5f}), {.reference_defaults = true});
  EXPECT_EQ(as_reference->config().vision.layer_norm_eps, 1e-6f);
  EXPECT_TRUE(as_reference.HasNote("so does this run"));
}

TEST(GgufModelTest, WidthsThatKTypesCannotHoldAreNoted) {
  const Model model(TextBytes({.more = [](GgufBuilder& builder) {
    builder.Tensor("k", {256, 1}, kQ4K, std::string(144, '\0'));
    builder.Tensor("fallback", {32, 1}, kQ5_0, std::string(22, '\0'));
  }}));
  EXPECT_TRUE(model.HasNote("1 matrices have rows (32) that are no multiples of 256")) << model->notes().back();
  EXPECT_TRUE(model.HasNote("stored as Q5_0"));
}

TEST(GgufModelTest, WhatContradictsItselfIsRefused) {
  const auto text = [](const TextOptions& options) { return Model(TextBytes(options), TowerBytes()).status(); };
  const auto tower = [](const TowerOptions& options) { return Model(TextBytes(), TowerBytes(options)).status(); };
  ExpectError(text({.without = {"general.architecture"}}), StatusCode::kNotFound, {"general.architecture is absent"});
  ExpectError(text({.architecture = "qwen2"}), StatusCode::kUnsupported, {"general.architecture is \"qwen2\""});
  ExpectError(Model(TowerBytes()).status(), StatusCode::kUnsupported, {"text.gguf", "\"clip\""});
  ExpectError(Model(TextBytes(), TextBytes()).status(), StatusCode::kUnsupported, {"mmproj.gguf", "vision tower"});
  ExpectError(text({.without = {"llama.block_count"}}), StatusCode::kNotFound, {"llama.block_count"});
  ExpectError(text({.rows = 3}), StatusCode::kCorrupt, {"6 tokens", "3 rows"});
  ExpectError(text({.image_token = false}), StatusCode::kCorrupt, {"no token <image>"});
  ExpectError(text({.more = [](GgufBuilder& b) { b.String("llama.rope.scaling.type", "yarn"); }}),
              StatusCode::kUnsupported, {"rope.scaling.type is \"yarn\""});
  ExpectError(text({.more = [](GgufBuilder& b) { b.Tensor("rope_freqs.weight", {2}, kF32, Floats(2)); }}),
              StatusCode::kUnsupported, {"rope_freqs.weight"});
  ExpectError(text({.more = [](GgufBuilder& b) { b.Integer("llama.rope.dimension_count", 2); }}),
              StatusCode::kUnsupported, {"dimension_count is 2"});
  ExpectError(text({.more = [](GgufBuilder& b) { b.Integer("llama.attention.value_length", 2); }}),
              StatusCode::kUnsupported, {"value_length is 2"});
  ExpectError(tower({.projector = "resampler"}), StatusCode::kUnsupported, {"clip.projector_type is \"resampler\""});
  ExpectError(tower({.decoder_width = 16}), StatusCode::kCorrupt, {"width 16", "width 8"});
  ExpectError(tower({.scale = 4}), StatusCode::kCorrupt, {"mm.model.fc.weight takes 16 values"});
}

TEST(GgufModelTest, OtherTokenizersAreRefusedByName) {
  ExpectError(Model(TextBytes({.tokenizer = "llama"}))->ReadTokenizer().status(), StatusCode::kUnsupported,
              {"tokenizer.ggml.model is \"llama\""});
  ExpectError(Model(TextBytes({.pre = "mystery"}))->ReadTokenizer().status(), StatusCode::kUnsupported,
              {"tokenizer.ggml.pre is \"mystery\""});
}

TEST(FindGgufFilesTest, FindsThePairInAFolder) {
  const TempDir dir;
  EXPECT_FALSE(IsGgufModel(dir.path()));
  const std::string text = dir.Write("smol-Q8_0.gguf", "x");
  EXPECT_TRUE(IsGgufModel(dir.path()));
  EXPECT_TRUE(IsGgufModel(text));
  auto paths = FindGgufFiles(dir.path(), "");
  ASSERT_TRUE(paths.ok());
  EXPECT_EQ(paths->text, text);
  EXPECT_EQ(paths->mmproj, "") << "the decoder alone";

  const std::string tower = dir.Write("mmproj-smol-f16.gguf", "x");
  EXPECT_EQ(FindGgufFiles(dir.path(), "")->mmproj, tower);
  EXPECT_EQ(FindGgufFiles(text, "")->mmproj, tower) << "the one beside the named file";
  EXPECT_EQ(FindGgufFiles(text, "none")->mmproj, "");
  EXPECT_EQ(FindGgufFiles(text, "other.gguf")->mmproj, "other.gguf");

  dir.Write("mmproj-smol-Q8_0.gguf", "x");
  ExpectError(FindGgufFiles(text, "").status(), StatusCode::kNotFound,
              {"mmproj-smol-Q8_0.gguf", "mmproj-smol-f16.gguf"});
  dir.Write("smol-f16.gguf", "x");
  ExpectError(FindGgufFiles(dir.path(), "none").status(), StatusCode::kNotFound, {"smol-Q8_0.gguf", "smol-f16.gguf"});

  dir.Write("config.json", "{}");
  EXPECT_FALSE(IsGgufModel(dir.path())) << "a Hugging Face folder first";
}

}  // namespace
}  // namespace eyeshot
