// Parts of the program that can be tested without running it; tests/e2e runs it.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/file.h"
#include "cli/png_writer.h"
#include "cli/question_set.h"
#include "cli/text_distance.h"
#include "cli/tile_picture.h"

namespace eyeshot::cli {
namespace {

TEST(TextDistanceTest, NormalizedCollapsesWhiteSpace) {
  EXPECT_EQ(Normalized("  a\t\nb  c \n"), U"a b c");
  EXPECT_EQ(Normalized(" \n"), U"");
  EXPECT_EQ(Normalized("\u00a0x\u3000y"), U"x y");
  EXPECT_EQ(Normalized("\xff"
                       "a"),
            U"\uFFFDa");
}

TEST(TextDistanceTest, EditDistanceCountsCodePoints) {
  EXPECT_EQ(EditDistance(U"kitten", U"sitting"), 3u);
  EXPECT_EQ(EditDistance(U"", U"abc"), 3u);
  EXPECT_EQ(EditDistance(U"abc", U""), 3u);
  EXPECT_EQ(EditDistance(U"same", U"same"), 0u);
  EXPECT_EQ(EditDistance(Normalized("€15"), Normalized("$15")), 1u);
}

Tiles SmallTiles(int rows, int cols, int side) {
  Tiles tiles;
  tiles.side = side;
  tiles.grids.push_back({.width = 10, .height = 10, .rows = rows, .cols = cols});
  tiles.rgb.assign(static_cast<size_t>(tiles.grids[0].tiles()) * static_cast<size_t>(side * side * 3), 7);
  return tiles;
}

// How many pixels have all three bytes 7: those of tiles.
int64_t TilePixels(const Image& image) {
  int64_t count = 0;
  for (size_t i = 0; i < image.rgb.size(); i += 3) {
    count += image.rgb[i] == 7 && image.rgb[i + 1] == 7 && image.rgb[i + 2] == 7 ? 1 : 0;
  }
  return count;
}

TEST(TilePictureTest, EveryPixelOfEveryTileIsThere) {
  for (const auto& [rows, cols] : {std::pair{2, 3}, {1, 2}, {0, 0}}) {
    const Image image = DrawTiles(SmallTiles(rows, cols, 128));
    EXPECT_EQ(image.rgb.size(), static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3);
    EXPECT_EQ(TilePixels(image), int64_t{rows * cols + 1} * 128 * 128);
  }
}

TEST(PngWriterTest, DecodesToTheSamePixels) {
  Image image{3, 2, {}};
  for (uint8_t i = 0; i < 18; ++i) image.rgb.push_back(static_cast<uint8_t>(13 * i));
  const Result<std::vector<uint8_t>> png = EncodePng(image);
  ASSERT_TRUE(png.ok()) << png.status().message();
  const Result<Image> decoded = DecodeImage(*png, "test.png");
  ASSERT_TRUE(decoded.ok()) << decoded.status().message();
  EXPECT_EQ(decoded->width, 3);
  EXPECT_EQ(decoded->height, 2);
  EXPECT_EQ(decoded->rgb, image.rgb);
}

class QuestionSetTest : public testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = testing::TempDir() + "/question_set_test_" +
                             testing::UnitTest::GetInstance()->current_test_info()->name() + ".jsonl";
    EXPECT_TRUE(WriteFile(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}).ok());
    return path;
  }
};

TEST_F(QuestionSetTest, ReadsALineAQuestion) {
  const auto set = LoadQuestionSet(
      Write("{\"id\": 7, \"images\": [\"a.png\", \"/b.png\"], \"video\": true, \"question\": \"q\", \"answer\": \"x\", "
            "\"task\": \"t\"}\n\n{\"question\": \"hello\", \"answer\": \"hi\"}\r\n"));
  ASSERT_TRUE(set.ok()) << set.status().message();
  ASSERT_EQ(set->size(), 2u);
  EXPECT_EQ((*set)[0].id, "7");
  EXPECT_EQ((*set)[0].images[0], testing::TempDir() + "/a.png");
  EXPECT_EQ((*set)[0].images[1], "/b.png");
  EXPECT_TRUE((*set)[0].video);
  EXPECT_EQ((*set)[1].id, "3");
  EXPECT_TRUE((*set)[1].images.empty());
}

TEST_F(QuestionSetTest, ErrorsNameTheLine) {
  const auto check = [&](const std::string& text, const std::string& part) {
    const auto set = LoadQuestionSet(Write(text));
    ASSERT_FALSE(set.ok());
    EXPECT_NE(set.status().message().find(part), std::string::npos) << set.status().message();
  };
  check("{\"question\": \"q\", \"answer\": \"a\"}\n{\"question\": \"q\"}\n", "jsonl:2");
  check("{\"question\": \"q\", \"answer\": 5}", "answer");
  check("{\"question\": \"q\", \"answer\": \"a\", \"images\": \"a.png\"}", "images");
  check("nonsense", "jsonl:1");
  check("\n\n", "no question");
}

}  // namespace
}  // namespace eyeshot::cli
