#include "models/seeded_checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "formats/json.h"
#include "tensor/dtype.h"

namespace eyeshot {
namespace {

// SmolVLM-256M, the model of the golden.
ModelConfig SmallestSmolVlm() {
  ModelConfig config;
  config.model_type = "smolvlm";
  config.vision = {.hidden_size = 768,
                   .intermediate_size = 3072,
                   .num_layers = 12,
                   .num_heads = 12,
                   .image_size = 512,
                   .patch_size = 16};
  config.text = {.hidden_size = 576,
                 .intermediate_size = 1536,
                 .num_layers = 30,
                 .num_heads = 9,
                 .num_kv_heads = 3,
                 .head_dim = 64,
                 .vocab_size = 49280};
  config.scale_factor = 4;
  return config;
}

Json LoadGolden() {
  const std::string path = EYESHOT_SOURCE_DIR "/tests/data/golden/checkpoint.json";
  const Result<std::string> text = ReadTextFile(path, limits::kMaxConfigBytes);
  EXPECT_TRUE(text.ok()) << text.status().message();
  Result<Json> golden = ParseJsonTree(*text, path);
  EXPECT_TRUE(golden.ok()) << golden.status().message();
  return *std::move(golden);
}

std::string Fnv1a64Hex(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001B3;
  return fmt::format("{:016x}", hash);
}

std::vector<float> Values(const std::vector<uint8_t>& bytes) {
  std::vector<float> values(bytes.size() / 2);
  ConvertToF32(DType::kBF16, bytes.data(), values.size(), values.data());
  return values;
}

TEST(SeededCheckpointTest, EqualsThePythonImplementation) {
  const Json golden = LoadGolden();
  const std::vector<TensorSpec> specs = SeededTensors(SmallestSmolVlm(), DType::kBF16);
  EXPECT_EQ(specs.size(), golden["tensor_count"].get<size_t>());
  uint64_t parameters = 0;
  for (const TensorSpec& spec : specs) parameters += spec.bytes() / 2;
  EXPECT_EQ(parameters, golden["parameter_count"].get<uint64_t>());
  EXPECT_TRUE(std::is_sorted(specs.begin(), specs.end(), [](const auto& a, const auto& b) { return a.name < b.name; }));

  ThreadPool pool(2);
  const auto expect_equal = [&](const Json& tensor, bool outliers) {
    const auto name = tensor["name"].get<std::string>();
    SCOPED_TRACE(name);
    const auto spec = std::find_if(specs.begin(), specs.end(), [&](const auto& s) { return s.name == name; });
    ASSERT_NE(spec, specs.end());
    EXPECT_EQ(spec->shape, tensor["shape"].get<std::vector<int64_t>>());
    std::vector<uint8_t> bytes(spec->bytes());
    FillSeededTensor(*spec, golden["seed"].get<uint64_t>(), outliers, pool, bytes);
    const std::vector<float> values = Values(bytes);
    const auto first = tensor["first"].get<std::vector<float>>();
    const auto last = tensor["last"].get<std::vector<float>>();
    EXPECT_TRUE(std::equal(first.begin(), first.end(), values.begin()));
    EXPECT_TRUE(std::equal(last.rbegin(), last.rend(), values.rbegin()));
    EXPECT_EQ(Fnv1a64Hex(bytes), tensor["fnv1a64"].get<std::string>());
  };
  for (const Json& tensor : golden["tensors"]) expect_equal(tensor, false);
  for (const Json& tensor : golden["outlier_tensors"]) expect_equal(tensor, true);
}

TEST(SeededCheckpointTest, ATiedModelHasNoHeadOfItsOwn) {
  ModelConfig config = SmallestSmolVlm();
  const size_t untied = SeededTensors(config, DType::kF32).size();
  config.tie_word_embeddings = true;
  EXPECT_EQ(SeededTensors(config, DType::kF32).size(), untied - 1);
}

TEST(SeededCheckpointTest, WritesAFolderThatOpens) {
  const std::string source = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
  const std::string out = testing::TempDir() + "/seeded_checkpoint_test";
  const Status status = WriteSeededCheckpoint({.config_dir = source, .seed = 3, .out_dir = out, .threads = 2});
  ASSERT_TRUE(status.ok()) << status.message();
  const Result<Checkpoint> made = Checkpoint::Open(out);
  const Result<Checkpoint> original = Checkpoint::Open(source);
  ASSERT_TRUE(made.ok()) << made.status().message();
  ASSERT_TRUE(original.ok()) << original.status().message();
  EXPECT_EQ(made->parameters(), original->parameters());
  for (const HostTensor& tensor : original->tensors()) {
    const HostTensor* same = made->Find(tensor.name);
    ASSERT_NE(same, nullptr) << tensor.name;
    EXPECT_EQ(same->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(same->dtype, tensor.dtype) << tensor.name;
  }
  EXPECT_TRUE(FileExists(JoinPath(out, "tokenizer.json")));
}

TEST(SeededCheckpointTest, RefusesToOverwriteItsSource) {
  const std::string source = EYESHOT_SOURCE_DIR "/models/eyeshot-tiny";
  const Status status = WriteSeededCheckpoint({.config_dir = source, .seed = 3, .out_dir = source});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace eyeshot
