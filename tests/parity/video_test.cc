// Clips from their files to what the tower gets, and to the prompt, against transformers' SmolVLM processor
// (tests/golden/video.py): frames, times, tiles, pixel values and token ids are equal.
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "eyeshot/media.h"
#include "formats/model_config.h"
#include "formats/processor_config.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include "vision/image_processor.h"

namespace eyeshot {
namespace {

const std::string kMedia = EYESHOT_SOURCE_DIR "/tests/data/media/";

nlohmann::json LoadGolden() {
  std::ifstream file(EYESHOT_SOURCE_DIR "/tests/data/golden/video.json");
  return nlohmann::json::parse(file);
}

struct Model {
  explicit Model(const std::string& dir)
      : processor(ImageProcessor::Create(LoadProcessorConfig(dir).value()).value()),
        prompt(PromptFormat::Load(dir, Tokenizer::Load(dir).value(), LoadProcessorConfig(dir).value().image_seq_len)
                   .value()) {}
  ImageProcessor processor;
  PromptFormat prompt;
};

const Model& GetModel(const std::string& name) {
  static std::map<std::string, std::unique_ptr<Model>> models;
  std::unique_ptr<Model>& model = models[name];
  if (model == nullptr) {
    model = std::make_unique<Model>(name == "eyeshot-tiny" ? EYESHOT_SOURCE_DIR "/models/eyeshot-tiny"
                                                           : EYESHOT_UNPACKED_DIR
                                        "/tests/data/checkpoints/SmolVLM2-500M-Video-Instruct");
  }
  return *model;
}

std::string HashOf(const void* data, size_t bytes) {
  return Sha256Hex(std::span(static_cast<const uint8_t*>(data), bytes));
}

// [frames, 3, M, M] float32, as the tower gets them.
std::vector<float> PixelValues(const ImageProcessor& processor, const Tiles& tiles) {
  const auto table = processor.FrameNormalizationTable();
  const auto area = static_cast<size_t>(tiles.side) * static_cast<size_t>(tiles.side);
  std::vector<float> values;
  values.reserve(tiles.rgb.size());
  for (size_t frame = 0; frame < static_cast<size_t>(tiles.count()); ++frame) {
    for (size_t c = 0; c < 3; ++c) {
      for (size_t i = 0; i < area; ++i) values.push_back(table[c][tiles.rgb[(frame * area + i) * 3 + c]]);
    }
  }
  return values;
}

void ExpectSampled(const std::string& file, const std::string& question, const nlohmann::json& golden) {
  const Model& model = GetModel(golden.at("processor"));
  VideoOptions options = model.processor.VideoDefaults(0);
  options.fps = golden.at("fps");
  options.max_frames = golden.at("num_frames");
  const Result<Frames> frames = LoadVideo(kMedia + file, options);
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  EXPECT_EQ(frames->indices, golden.at("indices").get<std::vector<int64_t>>());
  EXPECT_EQ(frames->timestamps_s, golden.at("timestamps").get<std::vector<double>>());
  Tiles tiles;
  for (const Image& image : frames->images) {
    const Status status = model.processor.AppendFrameTile(image, tiles);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  EXPECT_EQ(HashOf(tiles.rgb.data(), tiles.rgb.size()), golden.at("tiles_sha256").get<std::string>());
  const std::vector<float> values = PixelValues(model.processor, tiles);
  EXPECT_EQ(HashOf(values.data(), values.size() * sizeof(float)), golden.at("pixel_values_sha256").get<std::string>());

  const PromptMessage message{Role::kUser, {PromptVideo{frames->timestamps_s, frames->duration_s}, question}};
  const Result<Prompt> prompt = model.prompt.Render({&message, 1}, true);
  ASSERT_TRUE(prompt.ok()) << prompt.status().message();
  EXPECT_EQ(prompt->ids.size(), golden.at("count").get<size_t>());
  EXPECT_EQ(HashOf(prompt->ids.data(), prompt->ids.size() * sizeof(int32_t)),
            golden.at("ids_sha256").get<std::string>());
}

TEST(VideoParity, ClipsBecomeWhatTransformersMakesOfThem) {
  const nlohmann::json golden = LoadGolden();
  size_t clips = 0, cases = 0;
  for (const auto& clip : golden.at("clips")) {
    for (const auto& sampled : clip.at("sampled")) {
      SCOPED_TRACE(::testing::Message() << clip.at("file") << " " << sampled.at("processor") << " fps "
                                        << sampled.at("fps") << " num_frames " << sampled.at("num_frames"));
      ExpectSampled(clip.at("file"), golden.at("question"), sampled);
      ++cases;
    }
    ++clips;
  }
  std::printf("%zu clips, %zu samplings: indices, times, tiles, pixel values and ids equal\n", clips, cases);
  EXPECT_GE(clips, 26u);
}

// What a model's own settings are: those of its files.
TEST(VideoParity, DefaultsAreTheModelsOwn) {
  const VideoOptions smolvlm2 = GetModel("smolvlm2-500m").processor.VideoDefaults(1);
  EXPECT_EQ(smolvlm2.fps, 1);
  EXPECT_EQ(smolvlm2.max_frames, 64);
  EXPECT_EQ(smolvlm2.tile_side, 512);
  const VideoOptions tiny = GetModel("eyeshot-tiny").processor.VideoDefaults(1);
  EXPECT_EQ(tiny.max_frames, 8);
  EXPECT_EQ(tiny.tile_side, 256);
}

}  // namespace
}  // namespace eyeshot
