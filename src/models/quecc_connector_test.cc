// The query-conditioned connector against a PyTorch transcription of its published description
// (tests/golden/quecc.py), which equals the authors' code on the same weights.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "formats/testing.h"
#include "models/seeded_checkpoint.h"
#include "vision/connector.h"

namespace eyeshot {
namespace {

using testing::TempDir;

constexpr char kPrefix[] = "model.connector.";

class QueccTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::ifstream file(EYESHOT_SOURCE_DIR "/tests/data/golden/quecc.json");
    golden_ = nlohmann::json::parse(file);
    seed_ = golden_.at("seed").get<uint64_t>();
    auto backend = CreateBackend({.name = GetParam(), .threads = 2});
    ASSERT_TRUE(backend.ok()) << backend.status().message();
    backend_ = *std::move(backend);
    stream_ = backend_->NewStream();
  }

  // Values of order 1, as the golden's inputs.
  std::vector<float> Input(const std::string& name, int64_t rows, int64_t cols) {
    const TensorSpec spec{name, DType::kF32, {rows, cols}};
    std::vector<float> values(static_cast<size_t>(rows * cols));
    FillSeededTensor(spec, seed_, false, pool_,
                     {reinterpret_cast<uint8_t*>(values.data()), values.size() * sizeof(float)});
    for (float& value : values) value *= std::sqrt(static_cast<float>(cols));
    return values;
  }

  static ModelConfig ConfigOf(const nlohmann::json& golden, const nlohmann::json& test_case) {
    ModelConfig config;
    config.vision.hidden_size = test_case.at("width").get<int64_t>();
    config.vision.num_layers = golden.at("layers").get<int64_t>();
    config.vision.image_size = 16 * test_case.at("grid").get<int64_t>();
    config.vision.patch_size = 16;
    config.text.hidden_size = test_case.at("hidden").get<int64_t>();
    config.scale_factor = test_case.at("scale").get<int64_t>();
    config.connector = {.type = ConnectorConfig::Type::kQuecc,
                        .reduced_tokens = {},
                        .num_heads = test_case.at("heads").get<int64_t>(),
                        .query_layer = golden.at("query_layer").get<int64_t>(),
                        .key_layers = golden.at("key_layers").get<std::vector<int64_t>>(),
                        .hidden_act = test_case.at("hidden_act").get<std::string>()};
    return config;
  }

  // The connector of a checkpoint in float32, with room for `tiles` tiles.
  std::unique_ptr<Connector> Load(const ModelConfig& config, int64_t tiles) {
    std::vector<TensorSpec> specs;
    for (const TensorSpec& spec : SeededTensors(config, DType::kF32)) {
      if (spec.name.starts_with(kPrefix)) specs.push_back(spec);
    }
    EXPECT_TRUE(WriteSafetensors(dir_.File("model.safetensors"), specs, [&](size_t i, std::span<uint8_t> out) {
                  FillSeededTensor(specs[i], seed_, false, pool_, out);
                  return Status::Ok();
                }).ok());
    const auto checkpoint = Checkpoint::Open(dir_.path());
    EXPECT_TRUE(checkpoint.ok());
    WeightLoader loader(*checkpoint, *backend_, {}, {});
    auto connector = LoadConnector(loader, *backend_, config, kPrefix, tiles);
    EXPECT_TRUE(connector.ok()) << connector.status().message();
    const ConnectorBytes plan = PlanConnector(config, *backend_, WeightFormat::kFloat32, tiles);
    EXPECT_NEAR(static_cast<double>(loader.packed_bytes()), static_cast<double>(plan.weights), 0.1 * plan.weights);
    return *std::move(connector);
  }

  std::vector<float> Run(Connector& connector, const ModelConfig& config, int64_t tiles, bool with_query) {
    const int64_t patches = tiles * config.vision.patches();
    const int64_t width = config.vision.hidden_size;
    const int64_t hidden = config.text.hidden_size;
    for (size_t i = 0; i < connector.states().size(); ++i) {
      const std::vector<float> state = Input("state." + std::to_string(connector.states()[i]), patches, width);
      connector.KeepState(*stream_, i, {state.data(), DType::kF32, patches, width, width});
    }
    const std::vector<float> query = Input("query", 1, hidden);
    const int64_t tokens = tiles * config.visual_tokens_per_tile();
    std::vector<float> out(static_cast<size_t>(tokens * hidden));
    ConnectorInput input;
    if (with_query) input.query = {query.data(), DType::kF32, 1, hidden, hidden};
    connector.Run(*stream_, input, {out.data(), DType::kF32, tokens, hidden, hidden});
    EXPECT_TRUE(backend_->Sync(*stream_).ok());
    return out;
  }

  nlohmann::json golden_;
  uint64_t seed_ = 0;
  ThreadPool pool_{1};
  TempDir dir_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
};

TEST_P(QueccTest, IsThePublishedDescription) {
  for (const nlohmann::json& test_case : golden_.at("cases")) {
    SCOPED_TRACE(test_case.at("name").get<std::string>());
    const ModelConfig config = ConfigOf(golden_, test_case);
    const auto tiles = test_case.at("tiles").get<int64_t>();
    const auto connector = Load(config, tiles + 1);
    const auto expected = test_case.at("out").get<std::vector<float>>();
    const std::vector<float> out = Run(*connector, config, tiles, true);
    ASSERT_EQ(out.size(), expected.size());
    for (size_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out[i], expected[i], 1e-5f) << i;
    // Tokens are other ones when nothing is asked.
    EXPECT_NE(Run(*connector, config, tiles, false), out);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, QueccTest, ::testing::Values("reference", "portable"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace eyeshot
