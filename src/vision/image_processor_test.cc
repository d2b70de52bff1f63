#include "vision/image_processor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "vision/resample_test_pictures.h"

namespace eyeshot {
namespace {

using testing_pictures::Blank;
using testing_pictures::Noise;
using testing_pictures::ReadGolden;
using testing_pictures::Smooth;

ImageProcessorConfig Config(int longest_edge, int tile) {
  ImageProcessorConfig config;
  config.longest_edge = longest_edge;
  config.max_image_edge = tile;
  return config;
}

// The settings of a processor that prompts.json names.
ImageProcessorConfig ConfigOf(const nlohmann::json& goldens, const std::string& name) {
  const auto& settings = goldens.at("processors").at(name);
  return Config(settings.at("longest_edge"), settings.at("tile"));
}

// The picture of a case: synthetic, or one of the photographs among the test data; empty if it isn't among them.
Image PictureOf(const nlohmann::json& golden) {
  const auto& source = golden.at("source");
  if (source.contains("file")) {
    const std::string path = std::string(EYESHOT_SOURCE_DIR) + "/tests/data/media/" + std::string(source.at("file"));
    auto image = LoadImage(path);
    return image.ok() ? std::move(image).value() : Image();
  }
  const int width = golden.at("width"), height = golden.at("height");
  return source.at("pattern") == "smooth" ? Smooth(width, height) : Noise(source.at("seed"), width, height);
}

// The pixel values [count, 3, side, side] as float32 bytes.
std::vector<uint8_t> PixelValues(const ImageProcessor& processor, const Tiles& tiles) {
  const auto table = processor.NormalizationTable();
  const size_t pixels = static_cast<size_t>(tiles.side) * static_cast<size_t>(tiles.side);
  std::vector<float> values;
  values.reserve(tiles.rgb.size());
  for (size_t tile = 0; tile < tiles.rgb.size(); tile += pixels * 3) {
    for (size_t c = 0; c < 3; ++c) {
      for (size_t i = 0; i < pixels; ++i) values.push_back(table[c][tiles.rgb[tile + 3 * i + c]]);
    }
  }
  std::vector<uint8_t> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

class ImageProcessorGoldens : public ::testing::TestWithParam<std::string> {};

TEST_P(ImageProcessorGoldens, TilesEqualTheReferenceToTheByte) {
  const auto goldens = ReadGolden("golden/prompts.json", EYESHOT_UNPACKED_DIR);
  auto processor = ImageProcessor::Create(ConfigOf(goldens, GetParam()));
  ASSERT_TRUE(processor.ok()) << processor.status().message();
  ThreadPool pool(0);
  size_t cases = 0;
  for (const auto& golden : goldens.at("tiles")) {
    if (golden.at("processor") != GetParam()) continue;
    const Image image = PictureOf(golden);
    if (image.rgb.empty()) continue;
    Tiles tiles;
    const Status status = processor->Append(image, golden.at("split"), pool, tiles);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(Sha256Hex(tiles.rgb), golden.at("sha256").get<std::string>()) << golden;
    EXPECT_EQ(tiles.count(), golden.at("frames"));
    EXPECT_EQ(tiles.grids[0].rows, golden.at("rows"));
    EXPECT_EQ(tiles.grids[0].cols, golden.at("cols"));
    if (golden.contains("pixel_values")) {
      EXPECT_EQ(Sha256Hex(PixelValues(*processor, tiles)),
                golden.at("pixel_values").at("slow_sha256").get<std::string>())
          << golden;
    }
    ++cases;
  }
  std::printf("%s: %zu pictures cut as the reference does\n", GetParam().c_str(), cases);
  EXPECT_GE(cases, GetParam() == "eyeshot-tiny" ? 15u : 60u);
}

INSTANTIATE_TEST_SUITE_P(All, ImageProcessorGoldens, ::testing::Values("smolvlm-256m", "smolvlm-2.2b", "eyeshot-tiny"),
                         [](const auto& named) {
                           std::string name = named.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

TEST(ImageProcessor, VideoFramesEqualTheReferenceToTheByte) {
  const auto goldens = ReadGolden("golden/prompts.json", EYESHOT_UNPACKED_DIR);
  ThreadPool pool(0);
  size_t cases = 0;
  for (const auto& golden : goldens.at("video_frames")) {
    ImageProcessorConfig config = ConfigOf(goldens, golden.at("processor"));
    config.video_longest_edge = golden.at("longest_edge");
    auto processor = ImageProcessor::Create(config);
    ASSERT_TRUE(processor.ok()) << processor.status().message();
    Tiles tiles;
    const Status status = processor->AppendFrame(PictureOf(golden), pool, tiles);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(Sha256Hex(tiles.rgb), golden.at("torch_lanczos_sha256").get<std::string>()) << golden;
    ++cases;
  }
  EXPECT_GE(cases, 12u);
}

TEST(ImageProcessor, AFrameMadeIntoItsTileBeforehandIsTheSame) {
  ImageProcessorConfig config = Config(512, 256);
  config.video_longest_edge = 384;
  const auto processor = ImageProcessor::Create(config);
  ASSERT_TRUE(processor.ok());
  ThreadPool pool(0);
  Image frame{70, 40, std::vector<uint8_t>(70 * 40 * 3), 0, 0};
  for (size_t i = 0; i < frame.rgb.size(); ++i) frame.rgb[i] = static_cast<uint8_t>(i * 31 % 251);
  Tiles direct, prepared;
  ASSERT_TRUE(processor->AppendFrame(frame, pool, direct).ok());
  const VideoOptions options = processor->VideoDefaults(1);
  const Result<Image> tile = options.prepare(frame);
  ASSERT_TRUE(tile.ok());
  EXPECT_EQ(tile->width, options.tile_side);
  ASSERT_TRUE(processor->AppendFrameTile(*tile, prepared).ok());
  EXPECT_TRUE(std::equal(direct.rgb.begin(), direct.rgb.end(), prepared.rgb.begin(), prepared.rgb.end()));
  // One made for another model.
  const Status other = processor->AppendFrameTile(frame, prepared);
  EXPECT_EQ(other.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(other.message().find("70 x 40"), std::string::npos);
  EXPECT_FALSE(options.prepare(Image{}).ok());
}

TEST(ImageProcessor, FramesAreNormalizedAsTorchDoes) {
  const auto processor = ImageProcessor::Create(Config(512, 256));
  const auto pictures = processor->NormalizationTable();
  const auto frames = processor->FrameNormalizationTable();
  size_t differing = 0;
  for (size_t byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(frames[1][byte], (static_cast<float>(byte) - 127.5f) / 127.5f);
    EXPECT_NEAR(frames[1][byte], pictures[1][byte], 1.2e-7);
    differing += frames[1][byte] != pictures[1][byte] ? 1 : 0;
  }
  EXPECT_GT(differing, 0u);
}

struct PlanCase {
  int width, height, rows, cols, resized_width, resized_height;
};

TEST(ImageProcessor, PlansTheGridsOfThePublishedSettings) {
  // The two settings of SmolVLM; sizes whose grids depend on each rule (docs/pictures.md).
  const PlanCase at_2048[] = {{640, 480, 3, 4, 2048, 1536},   {1, 1, 4, 4, 2048, 2048},
                              {2048, 1024, 2, 4, 2048, 1024}, {3000, 200, 1, 4, 2048, 512},
                              {50, 3000, 4, 1, 512, 2048},    {2048, 1537, 4, 4, 2048, 2048}};
  const PlanCase at_1536[] = {
      {1920, 1080, 3, 4, 1536, 1152}, {2048, 1537, 3, 4, 1536, 1152}, {600, 2400, 4, 1, 384, 1536}};
  const auto check = [](int longest_edge, int tile, std::span<const PlanCase> cases) {
    auto processor = ImageProcessor::Create(Config(longest_edge, tile));
    ASSERT_TRUE(processor.ok());
    for (const PlanCase& want : cases) {
      const TileGrid grid = processor->Plan(want.width, want.height, true);
      EXPECT_EQ(grid.rows, want.rows) << want.width << " x " << want.height;
      EXPECT_EQ(grid.cols, want.cols) << want.width << " x " << want.height;
      EXPECT_EQ(grid.resized_width, want.resized_width) << want.width << " x " << want.height;
      EXPECT_EQ(grid.resized_height, want.resized_height) << want.width << " x " << want.height;
    }
  };
  check(2048, 512, at_2048);
  check(1536, 384, at_1536);
}

TEST(ImageProcessor, RoundsTwiceAsTheReferenceDoes) {
  auto large = ImageProcessor::Create(Config(2048, 512)), small = ImageProcessor::Create(Config(1536, 384));
  // 2048 / (128 / 93) is 1487 in double, made even 1488; 1536 / (512 / 75) is 224, the exact quotient 225.
  EXPECT_EQ(large->Plan(128, 93, false).resized_height, 1488);
  EXPECT_EQ(small->Plan(512, 75, false).resized_height, 224);
}

TEST(ImageProcessor, LeavesAPictureWholeWhenItFitsOneTile) {
  auto processor = ImageProcessor::Create(Config(256, 256));
  ThreadPool pool(1);
  Tiles tiles;
  ASSERT_TRUE(processor->Append(Noise(1, 256, 256), true, pool, tiles).ok());
  EXPECT_EQ(tiles.grids[0].rows, 0);
  EXPECT_EQ(tiles.count(), 1);
  EXPECT_TRUE(std::ranges::equal(tiles.rgb, Noise(1, 256, 256).rgb));
}

TEST(ImageProcessor, AppendsPicturesOneAfterTheOther) {
  auto processor = ImageProcessor::Create(Config(128, 64));
  ThreadPool pool(1);
  Tiles first, second, both;
  ASSERT_TRUE(processor->Append(Noise(1, 90, 40), true, pool, first).ok());
  ASSERT_TRUE(processor->Append(Noise(2, 40, 90), false, pool, second).ok());
  ASSERT_TRUE(processor->Append(Noise(1, 90, 40), true, pool, both).ok());
  ASSERT_TRUE(processor->Append(Noise(2, 40, 90), false, pool, both).ok());
  LargeArray<uint8_t> joined = first.rgb;
  joined.insert(joined.end(), second.rgb.begin(), second.rgb.end());
  EXPECT_EQ(both.rgb, joined);
  EXPECT_EQ(both.count(), first.count() + 1);
  EXPECT_EQ(both.grids[1].width, 40);
}

TEST(ImageProcessor, CutsAPictureByTheSizeInItsFile) {
  // 4096 x 1025 is cut into one row of tiles. Half of it, 2048 x 513, would be into two.
  auto processor = ImageProcessor::Create(Config(2048, 512));
  ThreadPool pool(1);
  Image half = Noise(1, 2048, 513);
  EXPECT_EQ(processor->Plan(half, true).rows, 2);
  half.full_width = 4096;
  half.full_height = 1025;
  EXPECT_EQ(processor->Plan(half, true).rows, 1);
  Tiles tiles;
  ASSERT_TRUE(processor->Append(half, true, pool, tiles).ok());
  EXPECT_EQ(tiles.grids[0].rows, 1);
  EXPECT_EQ(tiles.grids[0].width, 4096);
  EXPECT_EQ(tiles.grids[0].resized_height, 512);

  half.full_height = 512;
  EXPECT_EQ(processor->Append(half, true, pool, tiles).code(), StatusCode::kInvalidArgument);
}

TEST(ImageProcessor, KnowsHowSmallAPictureMayBeDecoded) {
  auto processor = ImageProcessor::Create(Config(2048, 512));
  EXPECT_EQ(processor->ScaledDecoding({}).jpeg_long_side, 2048);
  EXPECT_EQ(processor->ScaledDecoding({}).jpeg_short_side, 0);
  EXPECT_EQ(processor->ScaledDecoding({PictureDetail::Kind::kLow, 0}).jpeg_long_side, 512);
  EXPECT_EQ(processor->ScaledDecoding({PictureDetail::Kind::kLow, 0}).jpeg_short_side, 512);
  EXPECT_EQ(processor->ScaledDecoding({PictureDetail::Kind::kTiles, 3}).jpeg_long_side, 1536);
}

// Tiles of a picture with a detail, the global view included.
int TilesOf(int width, int height, const PictureDetail& detail) {
  const auto processor = ImageProcessor::Create(Config(2048, 512));
  const Image picture{width, height, {}};
  const auto budget = processor->Budget(picture, detail);
  EXPECT_TRUE(budget.ok()) << budget.status().message();
  return processor->Plan(picture, *budget).tiles();
}

TEST(PictureDetail, DecidesHowManyTilesAPictureBecomes) {
  const PictureDetail reference;
  const PictureDetail low{PictureDetail::Kind::kLow, 0};
  const PictureDetail automatic{PictureDetail::Kind::kAuto, 0};
  const auto tiles = [](int n) { return PictureDetail{PictureDetail::Kind::kTiles, n}; };
  // The reference enlarges an icon to 2,048 pixels a side.
  EXPECT_EQ(TilesOf(100, 100, reference), 17);
  EXPECT_EQ(TilesOf(100, 100, automatic), 1);
  EXPECT_EQ(TilesOf(512, 512, automatic), 1);
  EXPECT_EQ(TilesOf(513, 512, automatic), 5);
  EXPECT_EQ(TilesOf(1024, 500, automatic), 3);
  EXPECT_EQ(TilesOf(1920, 1080, automatic), TilesOf(1920, 1080, reference));
  EXPECT_EQ(TilesOf(4000, 3000, automatic), TilesOf(4000, 3000, reference));
  EXPECT_EQ(TilesOf(4000, 3000, low), 1);
  EXPECT_EQ(TilesOf(4000, 3000, tiles(1)), 1);
  EXPECT_EQ(TilesOf(4000, 3000, tiles(2)), 5);
  EXPECT_EQ(TilesOf(4000, 3000, tiles(4)), 13);
  EXPECT_EQ(TilesOf(4000, 3000, tiles(6)), 6 * 5 + 1);
}

TEST(PictureDetail, OfManyLargeTilesIsRefused) {
  const auto processor = ImageProcessor::Create(Config(2048, 1024));
  const Image picture{100, 100, {}};
  EXPECT_TRUE(processor->Budget(picture, {PictureDetail::Kind::kTiles, 4}).ok());
  const Status status = processor->Budget(picture, {PictureDetail::Kind::kTiles, 5}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.mend(), "use at most 4");
}

TEST(PictureDetail, IsReadFromWords) {
  for (const char* word : {"reference", "low", "auto", "1", "6"}) {
    const auto detail = ParsePictureDetail(word);
    ASSERT_TRUE(detail.ok()) << detail.status().message();
    EXPECT_EQ(PictureDetailName(*detail), word);
  }
  EXPECT_EQ(*ParsePictureDetail("high"), PictureDetail());
  for (const char* word : {"", "0", "7", "-1", "1.5", "Auto", "auto "}) {
    EXPECT_EQ(ParsePictureDetail(word).status().code(), StatusCode::kInvalidArgument) << word;
  }
}

TEST(ImageProcessor, NormalizesBytesToMinusOneToOne) {
  const auto table = ImageProcessor::Create(Config(512, 256))->NormalizationTable();
  EXPECT_EQ(table[0][0], -1.0f);
  EXPECT_EQ(table[2][255], 1.0f);
  EXPECT_EQ(table[1][128], (static_cast<float>(128 * (1.0 / 255.0)) - 0.5f) / 0.5f);
}

TEST(ImageProcessor, RefusesSettingsThatCannotBe) {
  const auto code = [](auto change) {
    ImageProcessorConfig config = Config(2048, 512);
    change(config);
    return ImageProcessor::Create(config).status().code();
  };
  EXPECT_EQ(code([](auto& c) { c.resample = 0; }), StatusCode::kUnsupported);
  EXPECT_EQ(code([](auto& c) { c.do_resize = false; }), StatusCode::kUnsupported);
  EXPECT_EQ(code([](auto& c) { c.longest_edge = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& c) { c.longest_edge = 4097; }), StatusCode::kLimitExceeded);
  EXPECT_EQ(code([](auto& c) { c.max_image_edge = -1; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& c) { c.max_image_edge = 64; }), StatusCode::kLimitExceeded);
  EXPECT_EQ(code([](auto& c) { c.video_longest_edge = 1 << 20; }), StatusCode::kLimitExceeded);
  EXPECT_EQ(code([](auto& c) { c.std[1] = 0; }), StatusCode::kInvalidArgument);
}

TEST(ImageProcessor, RefusesPicturesThatCannotBe) {
  auto processor = ImageProcessor::Create(Config(512, 256));
  ThreadPool pool(1);
  Tiles tiles;
  EXPECT_EQ(processor->Append(Image(), true, pool, tiles).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(processor->AppendFrame(Image(), pool, tiles).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(processor->Append(Image{4, 4, std::vector<uint8_t>(47)}, true, pool, tiles).code(),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(processor->Append(Blank(70000, 1), true, pool, tiles).code(), StatusCode::kLimitExceeded);
  EXPECT_TRUE(tiles.grids.empty());
  EXPECT_TRUE(processor->Append(Blank(65535, 1), true, pool, tiles).ok());
}

}  // namespace
}  // namespace eyeshot
