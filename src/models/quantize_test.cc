// On the built-in model: what is packed into a file is what loading from the checkpoint packs.
#include "models/quantize.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/file.h"
#include "formats/packed_weights.h"
#include "formats/testing.h"
#include "models/model_source.h"

namespace eyeshot {
namespace {

using testing::ExpectError;
using testing::TempDir;
using testing::TinyModelDir;

class QuantizeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto backend = CreateBackend({.name = "portable", .threads = 2});
    ASSERT_TRUE(backend.ok()) << backend.status().message();
    backend_ = *std::move(backend);
  }

  Result<std::vector<WeightError>> Quantize(const std::string& precision) {
    const Result<ModelPrecision> parsed = ParsePrecision(precision, *backend_);
    if (!parsed.ok()) return parsed.status();
    return QuantizeModel({.dir = TinyModelDir(), .out_dir = out_.File("out"), .precision = *parsed, .on_progress = {}},
                         *backend_);
  }

  Result<std::unique_ptr<VisionLanguageModel>> Load(const std::string& dir, const std::string& precision) {
    Ledger ledger;
    Result<ModelSource> source = ModelSource::Open({.path = dir});
    if (!source.ok()) return source.status();
    const Result<ModelPrecision> chosen = ChoosePrecision(*source, precision, *backend_);
    if (!chosen.ok()) return chosen.status();
    ModelOptions options;
    options.precision = *chosen;
    return LoadModel(*std::move(source), options, *backend_, ledger);
  }

  // The visual tokens of a grey tile.
  std::vector<float> Encode(VisionLanguageModel& model) {
    const ModelConfig& config = model.config();
    const int64_t side = config.vision.image_size;
    const std::vector<uint8_t> pixels(static_cast<size_t>(side * side * 3), 77);
    const int64_t tokens = config.visual_tokens_per_tile();
    std::vector<float> out(static_cast<size_t>(tokens * config.text.hidden_size));
    Ledger ledger;
    const auto stream = backend_->NewStream();
    const MatrixView rows(out.data(), DType::kF32, tokens, config.text.hidden_size, config.text.hidden_size);
    EXPECT_TRUE(model.Encode(*stream, pixels.data(), 1, TileKind::kPicture, rows, ledger, {}, nullptr).ok());
    return out;
  }

  TempDir out_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(QuantizeTest, PackedWeightsAreThoseOfTheCheckpoint) {
  for (const char* precision : {"exact", "int8", "int4", "int8,q8_0"}) {
    SCOPED_TRACE(precision);
    const auto errors = Quantize(precision);
    ASSERT_TRUE(errors.ok()) << errors.status().message();
    auto direct = Load(TinyModelDir(), precision);
    auto packed = Load(out_.File("out"), "");
    ASSERT_TRUE(direct.ok() && packed.ok()) << packed.status().message();
    EXPECT_EQ((*packed)->parameters(), (*direct)->parameters());
    EXPECT_EQ(Encode(**packed), Encode(**direct));
  }
}

TEST_F(QuantizeTest, ErrorsAreThoseOfTheFormats) {
  const auto errors = Quantize("int8,int4");
  ASSERT_TRUE(errors.ok()) << errors.status().message();
  std::map<std::string, int> formats;
  for (const WeightError& error : *errors) {
    ++formats[error.format];
    EXPECT_GT(error.bytes, 0u) << error.name;
    if (error.format == "float32" || error.format == "exact") {
      EXPECT_LT(error.relative_error, 2e-3) << error.name;
      continue;
    }
    const double bound = error.format == "int4" ? 0.09 : 0.03;
    EXPECT_GT(error.relative_error, 0) << error.name;
    EXPECT_LT(error.relative_error, bound) << error.name << " " << error.format;
    EXPECT_GT(error.worst_cosine, 1 - bound) << error.name << " " << error.format;
  }
  EXPECT_GT(formats["int8"], 10);
  EXPECT_GT(formats["int4"], 10);
  EXPECT_EQ(formats["q8_0"], 1);  // the head of a 4-bit decoder, tied to the embedding
}

TEST_F(QuantizeTest, SaysWhatCannotBe) {
  ASSERT_TRUE(Quantize("int8").ok());
  const std::string out = out_.File("out");
  ExpectError(Load(out, "exact").status(), StatusCode::kInvalidArgument, {"int8,int8", "exact"});
  EXPECT_TRUE(Load(out, "int8").ok());
  const auto again =
      QuantizeModel({.dir = out, .out_dir = out_.File("more"), .precision = {}, .on_progress = {}}, *backend_);
  ExpectError(again.status(), StatusCode::kInvalidArgument, {"packed weights already"});
  const auto onto =
      QuantizeModel({.dir = TinyModelDir(), .out_dir = TinyModelDir(), .precision = {}, .on_progress = {}}, *backend_);
  ExpectError(onto.status(), StatusCode::kInvalidArgument, {"both read and written"});
}

// A file for one model beside the configuration of another.
TEST_F(QuantizeTest, ShapesMustBeTheConfigurations) {
  ASSERT_TRUE(Quantize("int8").ok());
  const std::string path = JoinPath(out_.File("out"), "config.json");
  std::string config = testing::ReadAll(path);
  const size_t at = config.find("\"intermediate_size\": ");
  ASSERT_NE(at, std::string::npos);
  config[config.find_first_of("0123456789", at)] = '9';
  out_.Write("out/config.json", config);
  ExpectError(Load(out_.File("out"), "").status(), StatusCode::kCorrupt, {"weight ", "config.json"});
}

}  // namespace
}  // namespace eyeshot
