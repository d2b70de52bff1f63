// config.json, preprocessor_config.json, processor_config.json and generation_config.json.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/generation_config.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "formats/testing.h"

namespace eyeshot {
namespace {

using nlohmann::json;
using testing::CheckpointDir;
using testing::ExpectError;
using testing::TempDir;

TEST(ModelConfigTest, SmolVLM256M) {
  const Result<ModelConfig> config = LoadModelConfig(CheckpointDir("SmolVLM-256M-Instruct"));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->model_type, "idefics3");
  EXPECT_EQ(config->vision.hidden_size, 768);
  EXPECT_EQ(config->vision.head_dim(), 64);
  EXPECT_EQ(config->vision.patches(), 1024);
  EXPECT_EQ(config->text.hidden_size, 576);
  EXPECT_EQ(config->text.num_layers, 30);
  EXPECT_EQ(config->text.num_kv_heads, 3);
  EXPECT_EQ(config->text.head_dim, 64);
  EXPECT_EQ(config->text.rope_theta, 100000.0);
  EXPECT_EQ(config->text.rms_norm_eps, 1e-5f);
  EXPECT_EQ(config->text.max_positions, 8192);
  EXPECT_EQ(config->scale_factor, 4);
  EXPECT_EQ(config->visual_tokens_per_tile(), 64);
  EXPECT_EQ(config->image_token_id, 49190);
  EXPECT_FALSE(config->tie_word_embeddings);
}

TEST(ModelConfigTest, SmolVLM2200MHasARemainderOfPatches) {
  const Result<ModelConfig> config = LoadModelConfig(CheckpointDir("SmolVLM-Instruct"));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->vision.patches_per_side(), 27);
  EXPECT_EQ(config->vision.head_dim(), 72);
  EXPECT_EQ(config->visual_tokens_per_tile(), 81);
  EXPECT_EQ(config->text.rope_theta, 273768.0);
}

TEST(ModelConfigTest, OtherFolders) {
  for (const char* name : {"SmolVLM-500M-Instruct", "SmolVLM2-500M-Video-Instruct", "granite-docling-258M"}) {
    const Result<ModelConfig> config = LoadModelConfig(CheckpointDir(name));
    ASSERT_TRUE(config.ok()) << config.status().message();
    EXPECT_EQ(config->visual_tokens_per_tile(), 64);
    EXPECT_EQ(config->tie_word_embeddings, std::string(name) == "granite-docling-258M");
  }
  const Result<ModelConfig> tiny = LoadModelConfig(testing::TinyModelDir());
  ASSERT_TRUE(tiny.ok()) << tiny.status().message();
  EXPECT_EQ(tiny->model_type, "smolvlm");
  EXPECT_EQ(tiny->text.rope_theta, 10000.0);
}

// A small valid config.json, whose values tests replace.
json SmallConfig() {
  return json::parse(R"({
    "model_type": "smolvlm", "image_token_id": 99, "scale_factor": 2,
    "vision_config": {"hidden_size": 32, "num_attention_heads": 4, "image_size": 64, "patch_size": 16},
    "text_config": {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 6,
                    "num_key_value_heads": 2, "vocab_size": 100}})");
}

Result<ModelConfig> Parse(const json& config) { return ParseModelConfig(config.dump(), "config.json"); }

TEST(ModelConfigTest, MissingKeysTakeTheDefaultsOfTransformers) {
  json small = SmallConfig();
  const Result<ModelConfig> config = Parse(small);
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->vision.intermediate_size, 3072);
  EXPECT_EQ(config->vision.num_layers, 12);
  EXPECT_EQ(config->vision.num_channels, 3);
  EXPECT_EQ(config->vision.layer_norm_eps, 1e-6f);
  EXPECT_EQ(config->vision.hidden_act, "gelu_pytorch_tanh");
  EXPECT_EQ(config->text.head_dim, 8);
  EXPECT_EQ(config->text.hidden_act, "silu");
  EXPECT_EQ(config->text.max_positions, 2048);
  EXPECT_EQ(config->text.rope_theta, 10000.0);
  EXPECT_FALSE(config->tie_word_embeddings);
  small["text_config"].erase("num_key_value_heads");
  EXPECT_EQ(Parse(small)->text.num_kv_heads, 6);
  for (const char* key : {"hidden_size", "num_attention_heads"}) small["vision_config"].erase(key);
  EXPECT_EQ(Parse(small)->vision.hidden_size, 1152);
  EXPECT_EQ(Parse(small)->vision.num_heads, 16);
}

TEST(ModelConfigTest, RopeThetaOfBothVersions) {
  json config = SmallConfig();
  config["text_config"]["rope_theta"] = 5000;
  EXPECT_EQ(Parse(config)->text.rope_theta, 5000.0);
  config["text_config"]["rope_parameters"] = {{"rope_theta", 7000.5}, {"rope_type", "default"}};
  config["text_config"]["rope_scaling"] = nullptr;
  EXPECT_EQ(Parse(config)->text.rope_theta, 7000.5);
}

TEST(ModelConfigTest, AcceptsAllNamesOfTheTower) {
  for (const char* name : {"idefics3", "idefics3_vision", "siglip_vision_model", "smolvlm_vision"}) {
    json config = SmallConfig();
    config["vision_config"]["model_type"] = name;
    EXPECT_TRUE(Parse(config).ok()) << name;
  }
}

json QueccConfig() {
  json config = SmallConfig();
  config["connector_type"] = "quecc";
  config["connector_config"] = {{"num_attention_heads", 4}, {"query_layer", 11}, {"key_layers", {6, 8, 11, 12}}};
  return config;
}

TEST(ModelConfigTest, ConnectorsThatWereTrainedForFewTokens) {
  EXPECT_EQ(Parse(SmallConfig())->connector.type, ConnectorConfig::Type::kPixelShuffle);
  const Result<ModelConfig> quecc = Parse(QueccConfig());
  ASSERT_TRUE(quecc.ok()) << quecc.status().message();
  EXPECT_TRUE(quecc->query_conditioned());
  EXPECT_EQ(quecc->connector.key_layers, (std::vector<int64_t>{6, 8, 11, 12}));
  EXPECT_EQ(quecc->connector.hidden_act, "gelu");
  EXPECT_EQ(quecc->visual_tokens_per_tile(), 4);
  json elastic = SmallConfig();
  elastic["connector_type"] = "elastic";
  elastic["connector_config"] = {{"reduced_tokens", {1}}};
  EXPECT_EQ(Parse(elastic)->connector.reduced_tokens, (std::vector<int64_t>{1}));
  EXPECT_FALSE(Parse(elastic)->query_conditioned());
}

TEST(ModelConfigTest, ConnectorsThatCantBe) {
  const auto expect = [](json config, const char* pointer, const json& value, StatusCode code, const char* part) {
    config[json::json_pointer(pointer)] = value;
    ExpectError(Parse(config).status(), code, {part});
  };
  const json quecc = QueccConfig();
  expect(quecc, "/connector_type", "resampler", StatusCode::kUnsupported, "pixel_shuffle, elastic, quecc");
  expect(quecc, "/connector_config", nullptr, StatusCode::kCorrupt, "expected an object");
  expect(quecc, "/connector_config/query_layer", 13, StatusCode::kLimitExceeded, "query_layer");
  expect(quecc, "/connector_config/num_attention_heads", 5, StatusCode::kCorrupt, "vision_config.hidden_size (32)");
  expect(quecc, "/connector_config/hidden_act", "relu", StatusCode::kUnsupported, "gelu_pytorch_tanh");
  for (const json& bad : {json(3), json::array(), json({8, 6}), json({13}), json({1.5})}) {
    expect(quecc, "/connector_config/key_layers", bad, StatusCode::kCorrupt, "ascending integers of 0 to 12");
  }
  json elastic = SmallConfig();
  elastic["connector_type"] = "elastic";
  expect(elastic, "/connector_config/reduced_tokens", {2}, StatusCode::kCorrupt, "squares of divisors of the 2");
  expect(elastic, "/connector_config/reduced_tokens", {1, 4}, StatusCode::kCorrupt, "1 to 3");
}

TEST(ModelConfigTest, NamesEachMissingKey) {
  for (const char* pointer :
       {"/model_type", "/image_token_id", "/vision_config", "/text_config", "/text_config/hidden_size",
        "/text_config/intermediate_size", "/text_config/num_hidden_layers", "/text_config/num_attention_heads",
        "/text_config/vocab_size"}) {
    json config = SmallConfig();
    const json::json_pointer key(pointer);
    config.at(key.parent_pointer()).erase(key.back());
    std::string path = std::string(pointer).substr(1);
    std::replace(path.begin(), path.end(), '/', '.');
    ExpectError(Parse(config).status(), StatusCode::kNotFound, {"config.json: " + path + " is missing", "add the key"});
  }
}

struct BadValue {
  const char* pointer;
  json value;
  StatusCode code;
  std::vector<std::string> parts;
};

const std::vector<BadValue>& BadValues() {
  constexpr auto kCorrupt = StatusCode::kCorrupt;
  constexpr auto kLimit = StatusCode::kLimitExceeded;
  constexpr auto kUnsupported = StatusCode::kUnsupported;
  static const std::vector<BadValue> values = {
      {"/model_type", 3, kCorrupt, {"model_type is 3", "a string"}},
      {"/model_type", "llava", kUnsupported, {"model_type is \"llava\"", "smolvlm, idefics3"}},
      {"/image_token_id", -1, kLimit, {"image_token_id is -1"}},
      {"/image_token_id", 100, kCorrupt, {"image_token_id is 100", "text_config.vocab_size (100)"}},
      {"/image_token_id", "x", kCorrupt, {"image_token_id is \"x\""}},
      {"/scale_factor", 0, kLimit, {"scale_factor is 0", "[1, 16]"}},
      {"/scale_factor", 3, kCorrupt, {"scale_factor is 3", "divisor of the 4 patches"}},
      {"/tie_word_embeddings", 1, kCorrupt, {"tie_word_embeddings is 1", "true or false"}},
      {"/vision_config", json::array(), kCorrupt, {"vision_config is []", "an object"}},
      {"/vision_config/model_type", "clip", kUnsupported, {"vision_config.model_type is \"clip\""}},
      {"/vision_config/hidden_act",
       "relu",
       kUnsupported,
       {"vision_config.hidden_act is \"relu\"", "gelu_pytorch_tanh"}},
      {"/vision_config/hidden_size", 65537, kLimit, {"vision_config.hidden_size is 65537", "65536"}},
      {"/vision_config/hidden_size", 33, kCorrupt, {"vision_config.hidden_size is 33", "num_attention_heads (4)"}},
      {"/vision_config/hidden_size", 4096, kLimit, {"vision_config.num_attention_heads is 4", "256"}},
      {"/vision_config/intermediate_size", 0, kLimit, {"vision_config.intermediate_size is 0"}},
      {"/vision_config/num_hidden_layers", 257, kLimit, {"vision_config.num_hidden_layers is 257", "256"}},
      {"/vision_config/num_attention_heads", 513, kLimit, {"vision_config.num_attention_heads is 513", "512"}},
      {"/vision_config/image_size", 4097, kLimit, {"vision_config.image_size is 4097", "4096"}},
      {"/vision_config/image_size", 8, kCorrupt, {"vision_config.patch_size is 16", "image_size (8)"}},
      {"/vision_config/patch_size", 129, kLimit, {"vision_config.patch_size is 129", "128"}},
      {"/vision_config/patch_size", 1.5, kCorrupt, {"vision_config.patch_size is 1.5"}},
      {"/vision_config/num_channels", 4, kLimit, {"vision_config.num_channels is 4", "[3, 3]"}},
      {"/vision_config/layer_norm_eps", -1e-6, kLimit, {"vision_config.layer_norm_eps is -1e-06"}},
      {"/text_config", nullptr, kCorrupt, {"text_config is null"}},
      {"/text_config/model_type", "mistral", kUnsupported, {"text_config.model_type is \"mistral\"", "llama"}},
      {"/text_config/hidden_act", "gelu", kUnsupported, {"text_config.hidden_act is \"gelu\"", "silu"}},
      {"/text_config/attention_bias", true, kUnsupported, {"text_config.attention_bias is true"}},
      {"/text_config/mlp_bias", true, kUnsupported, {"text_config.mlp_bias is true"}},
      {"/text_config/hidden_size", "abc", kCorrupt, {"text_config.hidden_size is \"abc\"", "[1, 65536]"}},
      {"/text_config/hidden_size", 47, kCorrupt, {"text_config.hidden_size is 47", "num_attention_heads (6)"}},
      {"/text_config/hidden_size", 1 << 20, kLimit, {"text_config.hidden_size is 1048576"}},
      {"/text_config/hidden_size", 6 * 1024, kLimit, {"text_config.num_attention_heads is 6", "256"}},
      {"/text_config/hidden_size", 6, kCorrupt, {"text_config.head_dim", "even"}},
      {"/text_config/intermediate_size", 65537, kLimit, {"text_config.intermediate_size is 65537"}},
      {"/text_config/num_hidden_layers", 0, kLimit, {"text_config.num_hidden_layers is 0"}},
      {"/text_config/num_key_value_heads", 4, kCorrupt, {"text_config.num_attention_heads is 6", "heads (4)"}},
      {"/text_config/head_dim", 7, kCorrupt, {"text_config.head_dim is 7", "even"}},
      {"/text_config/head_dim", 258, kLimit, {"text_config.head_dim is 258", "256"}},
      {"/text_config/vocab_size", 1 << 21, kLimit, {"text_config.vocab_size is 2097152"}},
      {"/text_config/max_position_embeddings", (1 << 20) + 1, kLimit, {"text_config.max_position_embeddings"}},
      {"/text_config/rms_norm_eps", "x", kCorrupt, {"text_config.rms_norm_eps is \"x\""}},
      {"/text_config/rope_theta", 0, kLimit, {"text_config.rope_theta is 0"}},
      {"/text_config/rope_scaling", {{"type", "linear"}}, kUnsupported, {"rope_scaling.type is \"linear\""}},
      {"/text_config/rope_scaling", {{"rope_type", "yarn"}}, kUnsupported, {"rope_scaling.rope_type is \"yarn\""}},
      {"/text_config/rope_parameters",
       {{"rope_type", "llama3"}},
       kUnsupported,
       {"rope_parameters.rope_type", "llama3"}},
      {"/text_config/rope_parameters", {{"rope_theta", -1}}, kLimit, {"text_config.rope_parameters.rope_theta is -1"}}};
  return values;
}

TEST(ModelConfigTest, NamesEachBadValue) {
  ASSERT_TRUE(Parse(SmallConfig()).ok());
  for (const BadValue& bad : BadValues()) {
    SCOPED_TRACE(std::string(bad.pointer) + " = " + bad.value.dump());
    json config = SmallConfig();
    config[json::json_pointer(bad.pointer)] = bad.value;
    std::vector<std::string> parts = bad.parts;
    parts.emplace_back("config.json");
    ExpectError(Parse(config).status(), bad.code, parts);
  }
}

TEST(ModelConfigTest, NamesAFileThatIsMissingOrNoJson) {
  const TempDir dir;
  ExpectError(LoadModelConfig(dir.path()).status(), StatusCode::kNotFound, {dir.path() + "/config.json"});
  dir.Write("config.json", "<html>");
  ExpectError(LoadModelConfig(dir.path()).status(), StatusCode::kCorrupt, {"config.json", "byte 1"});
  dir.Write("config.json", "[]");
  ExpectError(LoadModelConfig(dir.path()).status(), StatusCode::kCorrupt, {"config.json", "an object"});
}

TEST(ProcessorConfigTest, PublishedFolders) {
  const Result<ImageProcessorConfig> v1 = LoadProcessorConfig(CheckpointDir("SmolVLM-Instruct"));
  ASSERT_TRUE(v1.ok()) << v1.status().message();
  EXPECT_EQ(v1->longest_edge, 1536);
  EXPECT_EQ(v1->max_image_edge, 384);
  EXPECT_EQ(v1->image_seq_len, 81);
  EXPECT_EQ(v1->processor_class, "Idefics3Processor");
  EXPECT_FALSE(v1->has_video());

  const Result<ImageProcessorConfig> v2 = LoadProcessorConfig(CheckpointDir("SmolVLM2-500M-Video-Instruct"));
  ASSERT_TRUE(v2.ok()) << v2.status().message();
  EXPECT_EQ(v2->longest_edge, 2048);
  EXPECT_EQ(v2->resample, 1);
  EXPECT_TRUE(v2->do_image_splitting && v2->do_resize && v2->do_rescale && v2->do_normalize);
  EXPECT_EQ(v2->rescale_factor, 1.0 / 255.0);
  EXPECT_EQ(v2->mean, (std::array<float, 3>{0.5f, 0.5f, 0.5f}));
  EXPECT_EQ(v2->video_longest_edge, 2048);  // `size` beats video_size, as in transformers 5
  EXPECT_EQ(v2->video_max_frames, 64);
  EXPECT_EQ(v2->video_fps, 1.0);
  EXPECT_EQ(v2->processor_class, "SmolVLMProcessor");
}

TEST(ProcessorConfigTest, NestedLayoutOfTransformers5) {
  const std::string dir = testing::TinyModelDir();
  const std::string image = testing::ReadAll(dir + "/preprocessor_config.json");
  const std::string processor = testing::ReadAll(dir + "/processor_config.json");
  const auto both = ParseProcessorConfig(image, processor, dir);
  const auto nested = ParseProcessorConfig("", processor, dir);
  ASSERT_TRUE(both.ok() && nested.ok()) << nested.status().message();
  for (const auto& config : {*both, *nested}) {
    EXPECT_EQ(config.longest_edge, 512);
    EXPECT_EQ(config.max_image_edge, 256);
    EXPECT_EQ(config.video_longest_edge, 256);
    EXPECT_EQ(config.video_max_frames, 8);
    EXPECT_EQ(config.image_seq_len, 64);
    EXPECT_EQ(config.processor_class, "SmolVLMProcessor");
  }
  const auto first_wins = ParseProcessorConfig(R"({"size": {"longest_edge": 128}})", processor, dir);
  EXPECT_EQ(first_wins->longest_edge, 128);
}

TEST(ProcessorConfigTest, VideoSettingsComeFromTheFileThatTransformersReads) {
  const auto file = [](int edge, int frames, const char* size) {
    return fmt::format(
        R"({{"video_sampling": {{"fps": 2, "max_frames": {}, "video_size": {{"longest_edge": {}}}}}{}}})", frames, edge,
        size);
  };
  const std::string image = file(100, 1, "");
  const std::string video = file(200, 2, R"(, "size": {"longest_edge": 222})");
  const std::string nested = fmt::format(R"({{"video_processor": {}}})", file(300, 3, ""));
  const auto edges = [](const Result<ImageProcessorConfig>& config) {
    EXPECT_TRUE(config.ok());
    return std::pair(config->video_longest_edge, config->video_max_frames);
  };
  EXPECT_EQ(edges(ParseProcessorConfig(image, "", "dir")), std::pair(100, 1));
  EXPECT_EQ(edges(ParseProcessorConfig(image, "", "dir", video)), std::pair(222, 2));
  EXPECT_EQ(edges(ParseProcessorConfig(image, nested, "dir", video)), std::pair(300, 3));
  ExpectError(ParseProcessorConfig(image, "", "dir", "[]").status(), StatusCode::kCorrupt,
              {"dir/video_preprocessor_config.json"});
}

TEST(ProcessorConfigTest, MissingKeysTakeTheDefaultsOfTransformers) {
  const auto config = ParseProcessorConfig("{}", "", "dir");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->longest_edge, 1456);
  EXPECT_EQ(config->max_image_edge, 364);
  EXPECT_EQ(config->image_seq_len, 0);
}

TEST(ProcessorConfigTest, NamesWhatIsWrong) {
  const auto image = [](const char* text) { return ParseProcessorConfig(text, "", "dir").status(); };
  const std::string file = "dir/preprocessor_config.json: ";
  ExpectError(image(""), StatusCode::kNotFound, {"preprocessor_config.json", "processor_config.json"});
  ExpectError(image("{"), StatusCode::kCorrupt, {file});
  ExpectError(image(R"({"size": 5})"), StatusCode::kCorrupt, {file + "size is 5"});
  ExpectError(image(R"({"size": {"height": 5}})"), StatusCode::kNotFound, {file + "size.longest_edge is missing"});
  ExpectError(image(R"({"size": {"longest_edge": 4097}})"), StatusCode::kLimitExceeded, {"size.longest_edge is 4097"});
  ExpectError(image(R"({"max_image_size": {"longest_edge": 0}})"), StatusCode::kLimitExceeded,
              {file + "max_image_size.longest_edge is 0", "[1, 4096]"});
  ExpectError(image(R"({"do_resize": "yes"})"), StatusCode::kCorrupt, {file + "do_resize is \"yes\""});
  ExpectError(image(R"({"resample": 6})"), StatusCode::kLimitExceeded, {file + "resample is 6", "[0, 5]"});
  ExpectError(image(R"({"rescale_factor": 255})"), StatusCode::kLimitExceeded, {file + "rescale_factor is 255"});
  ExpectError(image(R"({"image_mean": [0.5, 0.5]})"), StatusCode::kCorrupt, {file + "image_mean is [0.5,0.5]"});
  ExpectError(image(R"({"image_std": [0.5, 0, 0.5]})"), StatusCode::kCorrupt, {file + "image_std", "three numbers"});
  ExpectError(image(R"({"video_sampling": {"fps": 1}})"), StatusCode::kNotFound,
              {file + "video_sampling.max_frames is missing"});
  ExpectError(image(R"({"video_sampling": {"fps": 0, "max_frames": 1}})"), StatusCode::kLimitExceeded,
              {file + "video_sampling.fps is 0"});
  ExpectError(image(R"({"video_sampling": {"fps": 1, "max_frames": 513}})"), StatusCode::kLimitExceeded,
              {file + "video_sampling.max_frames is 513", "512"});
  ExpectError(ParseProcessorConfig("", "{}", "dir").status(), StatusCode::kNotFound,
              {"dir/processor_config.json: image_processor is missing"});
  ExpectError(ParseProcessorConfig("{}", R"({"image_seq_len": 0})", "dir").status(), StatusCode::kLimitExceeded,
              {"dir/processor_config.json: image_seq_len is 0"});
}

TEST(GenerationConfigTest, PublishedFolders) {
  const auto config = LoadGenerationConfig(CheckpointDir("SmolVLM-256M-Instruct"));
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->eos_token_ids, std::vector<int32_t>{49279});
  EXPECT_EQ(config->bos_token_id, 0);
  EXPECT_EQ(config->pad_token_id, 2);
  EXPECT_FALSE(config->do_sample.has_value());
  const auto tiny = LoadGenerationConfig(testing::TinyModelDir());
  EXPECT_EQ(tiny->do_sample, false);
  EXPECT_EQ(tiny->max_new_tokens, 256);
}

TEST(GenerationConfigTest, ReadsListsAndSampling) {
  const TempDir dir;
  dir.Write("generation_config.json", R"({"eos_token_id": [2, 49279], "do_sample": true, "temperature": 0.7,
    "top_p": 0.9, "top_k": 50, "min_p": 0.05, "repetition_penalty": 1.1})");
  const auto config = LoadGenerationConfig(dir.path());
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->eos_token_ids, (std::vector<int32_t>{2, 49279}));
  EXPECT_EQ(config->do_sample, true);
  EXPECT_EQ(config->temperature, 0.7);
  EXPECT_EQ(config->top_p, 0.9);
  EXPECT_EQ(config->top_k, 50);
  EXPECT_EQ(config->min_p, 0.05);
  EXPECT_EQ(config->repetition_penalty, 1.1);
}

TEST(GenerationConfigTest, FallsBackToTheModelsConfig) {
  const TempDir dir;
  EXPECT_TRUE(LoadGenerationConfig(dir.path())->eos_token_ids.empty());
  dir.Write("config.json", R"({"pad_token_id": 128002, "text_config": {"eos_token_id": 7, "bos_token_id": 1}})");
  const auto config = LoadGenerationConfig(dir.path());
  ASSERT_TRUE(config.ok()) << config.status().message();
  EXPECT_EQ(config->eos_token_ids, std::vector<int32_t>{7});
  EXPECT_EQ(config->bos_token_id, 1);
  EXPECT_FALSE(config->pad_token_id.has_value());
  dir.Write("config.json", R"({"eos_token_id": 5, "text_config": {"eos_token_id": 7}})");
  EXPECT_EQ(LoadGenerationConfig(dir.path())->eos_token_ids, std::vector<int32_t>{5});
  dir.Write("generation_config.json", R"({"eos_token_id": 3})");
  EXPECT_EQ(LoadGenerationConfig(dir.path())->eos_token_ids, std::vector<int32_t>{3});
}

TEST(GenerationConfigTest, NamesWhatIsWrong) {
  const std::vector<std::pair<const char*, std::string>> bad = {
      {R"({"eos_token_id": "x"})", "eos_token_id is \"x\""},
      {R"({"eos_token_id": [1, -1]})", "eos_token_id is [1,-1]"},
      {R"({"eos_token_id": 1048576})", "eos_token_id is 1048576"},
      {R"({"bos_token_id": 1.5})", "bos_token_id is 1.5"},
      {R"({"pad_token_id": -1})", "pad_token_id is -1"},
      {R"({"do_sample": 1})", "do_sample is 1"},
      {R"({"temperature": -1})", "temperature is -1"},
      {R"({"top_p": 1.5})", "top_p is 1.5"},
      {R"({"top_k": -3})", "top_k is -3"},
      {R"({"max_new_tokens": "all"})", "max_new_tokens is \"all\""}};
  for (const auto& [text, part] : bad) {
    const TempDir dir;
    dir.Write("generation_config.json", text);
    const auto config = LoadGenerationConfig(dir.path());
    ASSERT_FALSE(config.ok()) << text;
    ExpectError(config.status(), config.status().code(), {"generation_config.json: " + part});
  }
}

}  // namespace
}  // namespace eyeshot
