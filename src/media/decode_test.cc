#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "eyeshot/media.h"

namespace eyeshot {
namespace {

const std::string kMedia = std::string(EYESHOT_SOURCE_DIR) + "/tests/data/media/";

// Damage that Pillow does not notice (checksums of pixel data, a length beyond the file's end): refused here.
const std::set<std::string> kStricter = {"pngsuite/xcsn0g01.png", "malformed/png/libpng_badcrc.png",
                                         "malformed/png/libpng_huge_IDAT.png",
                                         "malformed/png/imagepng_x_interlaced_chck.png"};
// Damage behind the last pixel that Pillow refuses: the whole picture is there, and shown.
const std::set<std::string> kMoreLenient = {"malformed/png/pillow_truncated_end_chunk.png"};

std::vector<uint8_t> Read(const std::string& file) {
  auto bytes = ReadFile(kMedia + file, limits::kMaxImageBytes);
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? std::move(bytes).value() : std::vector<uint8_t>();
}

nlohmann::json Goldens() {
  std::ifstream file(kMedia + "pillow.json");
  return nlohmann::json::parse(file);
}

void ExpectPicture(const nlohmann::json& golden, const std::string& file) {
  const auto image = LoadImage(kMedia + file);
  ASSERT_TRUE(image.ok()) << image.status().message();
  EXPECT_EQ(image->width, golden.at("width")) << file;
  EXPECT_EQ(image->height, golden.at("height")) << file;
  EXPECT_EQ(Sha256Hex(image->rgb), golden.at("sha256").get<std::string>()) << file;
}

class DecodeGoldens : public ::testing::TestWithParam<std::string> {};

TEST_P(DecodeGoldens, PixelsEqualPillowsToTheByte) {
  const auto goldens = Goldens();
  size_t pictures = 0;
  for (const auto& [file, golden] : goldens.at("files").items()) {
    if (!file.starts_with(GetParam() + "/")) continue;
    if (kStricter.contains(file) || (golden.contains("error") && !kMoreLenient.contains(file))) {
      EXPECT_FALSE(LoadImage(kMedia + file).ok()) << file;
    } else if (!golden.contains("error")) {
      const auto& deviations = goldens.at("deviations");
      ExpectPicture(deviations.contains(file) ? deviations.at(file) : golden, file);
      ++pictures;
    }
  }
  EXPECT_GE(pictures, 1u);
}

INSTANTIATE_TEST_SUITE_P(Folders, DecodeGoldens,
                         ::testing::Values("pngsuite", "formats", "exif", "photos", "documents", "generated",
                                           "malformed"),
                         [](const auto& folder) { return folder.param; });

std::vector<std::string> MalformedFiles() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kMedia + "malformed")) {
    if (entry.is_regular_file()) files.push_back(std::filesystem::relative(entry.path(), kMedia));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// A picture whose bytes fit its size, or an error that says where, what and what to do.
void ExpectPictureOrClearError(const Result<Image>& image, const std::string& name) {
  if (image.ok()) {
    EXPECT_GT(image->width, 0);
    EXPECT_GT(image->height, 0);
    EXPECT_EQ(image->rgb.size(), static_cast<size_t>(image->width) * static_cast<size_t>(image->height) * 3);
    return;
  }
  const Status status = image.status();
  EXPECT_NE(status.message().find(name), std::string::npos) << status.message();
  EXPECT_FALSE(status.mend().empty()) << status.message();
  const StatusCode code = status.code();
  EXPECT_TRUE(code == StatusCode::kCorrupt || code == StatusCode::kUnsupported || code == StatusCode::kLimitExceeded)
      << status.message();
}

class Malformed : public ::testing::TestWithParam<std::string> {};

TEST_P(Malformed, EndsInAPictureOrAClearError) {
  ExpectPictureOrClearError(LoadImage(kMedia + GetParam()), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Files, Malformed, ::testing::ValuesIn(MalformedFiles()), [](const auto& file) {
  std::string name = file.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
});

TEST(DecodeImage, RejectsEveryDamagedFileOfPngSuite) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kMedia + "pngsuite")) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("x") || !name.ends_with(".png")) continue;
    EXPECT_FALSE(LoadImage(entry.path()).ok()) << name;
    ++files;
  }
  EXPECT_EQ(files, 14);
}

const std::vector<std::string> kOneOfEachKind = {"generated/jpeg_420.jpg",
                                                 "generated/jpeg_progressive_420.jpg",
                                                 "generated/jpeg_cmyk.jpg",
                                                 "pngsuite/basi3p04.png",
                                                 "pngsuite/basn6a16.png",
                                                 "generated/png_xmp_5.png",
                                                 "generated/webp_lossy.webp",
                                                 "generated/webp_alpha_exact.webp",
                                                 "generated/webp_frame_inside.webp",
                                                 "generated/gif_interlaced.gif",
                                                 "generated/gif_inside_transparent.gif"};

TEST(DecodeImage, SurvivesEveryTruncation) {
  for (const std::string& file : kOneOfEachKind) {
    const auto bytes = Read(file);
    for (size_t length = 0; length < bytes.size(); ++length) {
      // A copy of that size, so that a sanitizer sees a read behind it.
      const std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
      ExpectPictureOrClearError(DecodeImage(cut, "cut"), "cut");
    }
  }
}

TEST(DecodeImage, SurvivesEveryChangedByte) {
  for (const std::string& file : kOneOfEachKind) {
    auto bytes = Read(file);
    ImageLimits limits;
    limits.max_pixels = 1 << 20;
    for (size_t i = 0; i < bytes.size(); ++i) {
      for (const uint8_t flip : {0x01, 0x80, 0xff}) {
        bytes[i] ^= flip;
        ExpectPictureOrClearError(DecodeImage(bytes, "changed", limits), "changed");
        bytes[i] ^= flip;
      }
    }
  }
}

TEST(DecodeImage, SaysHowFarATruncatedFileCame) {
  for (const char* file : {"formats/hopper.jpg", "photos/coins.png"}) {
    auto bytes = Read(file);
    bytes.resize(bytes.size() / 2);
    const Status status = DecodeImage(bytes, "half").status();
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_NE(status.message().find("beyond row "), std::string::npos) << status.message();
  }
}

StatusCode CodeOf(std::string_view text) {
  return DecodeImage(std::vector<uint8_t>(text.begin(), text.end()), "x").status().code();
}

TEST(DecodeImage, NamesTheKindsThatItDoesNotRead) {
  const auto message = [](std::string_view text) {
    return DecodeImage(std::vector<uint8_t>(text.begin(), text.end()), "x").status().message();
  };
  EXPECT_EQ(CodeOf("BM      "), StatusCode::kUnsupported);
  EXPECT_NE(message("BM      ").find("BMP"), std::string::npos);
  EXPECT_NE(message(std::string_view("II*\0", 4)).find("TIFF"), std::string::npos);
  EXPECT_NE(message("    ftypisom").find("video"), std::string::npos);
  EXPECT_NE(message("version https://git-lfs.github.com").find("LFS"), std::string::npos);
  EXPECT_NE(message("hello").find("68 65 6c 6c 6f"), std::string::npos);
  EXPECT_NE(message("hello").find("JPEG, PNG, WebP or GIF"), std::string::npos);
  EXPECT_EQ(CodeOf("hello"), StatusCode::kUnsupported);
  EXPECT_EQ(CodeOf(""), StatusCode::kCorrupt);
  EXPECT_EQ(CodeOf("\x89PNG\n\n\x1a\n"), StatusCode::kCorrupt) << "line ends changed by a text-mode transfer";
}

// The first 33 bytes of a PNG of that size, RGB of 8 bits, and an empty IDAT chunk.
std::vector<uint8_t> PngHeader(uint32_t width, uint32_t height) {
  auto bytes = Read("pngsuite/basn2c08.png");
  for (size_t i = 0; i < 4; ++i) {
    bytes[16 + i] = static_cast<uint8_t>(width >> (24 - 8 * i));
    bytes[20 + i] = static_cast<uint8_t>(height >> (24 - 8 * i));
  }
  uint32_t crc = 0xffffffff;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
  }
  for (size_t i = 0; i < 4; ++i) bytes[29 + i] = static_cast<uint8_t>(~crc >> (24 - 8 * i));
  return bytes;
}

TEST(DecodeImage, ChecksLimitsFromTheHeader) {
  const Status huge = DecodeImage(PngHeader(60000, 60000), "bomb").status();
  EXPECT_EQ(huge.code(), StatusCode::kLimitExceeded) << huge.message();
  EXPECT_NE(huge.message().find("60000 x 60000"), std::string::npos) << huge.message();
  EXPECT_EQ(DecodeImage(PngHeader(70000, 1), "wide").status().code(), StatusCode::kLimitExceeded);

  ImageLimits few;
  few.max_pixels = 37 * 29 - 1;
  ImageLimits narrow;
  narrow.max_side = 36;
  for (const char* file : {"generated/jpeg_420.jpg", "generated/png_exif_3.png", "generated/webp_lossy.webp",
                           "generated/gif_interlaced.gif"}) {
    EXPECT_EQ(LoadImage(kMedia + file, few).status().code(), StatusCode::kLimitExceeded) << file;
    EXPECT_EQ(LoadImage(kMedia + file, narrow).status().code(), StatusCode::kLimitExceeded) << file;
  }
}

TEST(DecodeImage, ChecksTheLimitOfBytes) {
  ImageLimits limits;
  limits.max_bytes = 100;
  const auto bytes = Read("generated/jpeg_420.jpg");
  EXPECT_EQ(DecodeImage(bytes, "large", limits).status().code(), StatusCode::kLimitExceeded);
  EXPECT_EQ(LoadImage(kMedia + "generated/jpeg_420.jpg", limits).status().code(), StatusCode::kLimitExceeded);
}

TEST(DecodeImage, TakesNoMemoryForPixelsThatTheFileCannotHold) {
  // Within the limit of pixels, but hundreds of megabytes from a few hundred bytes.
  const Status png = DecodeImage(PngHeader(10000, 10000), "png").status();
  EXPECT_EQ(png.code(), StatusCode::kCorrupt);
  EXPECT_NE(png.message().find("can hold"), std::string::npos) << png.message();

  auto jpeg = Read("generated/jpeg_420.jpg");
  const std::vector<uint8_t> size = {0, 29, 0, 37};
  const auto place = std::search(jpeg.begin(), jpeg.end(), size.begin(), size.end());
  ASSERT_NE(place, jpeg.end());
  place[0] = place[2] = 0x20;
  const Status status = DecodeImage(jpeg, "jpeg").status();
  EXPECT_EQ(status.code(), StatusCode::kCorrupt);
  EXPECT_NE(status.message().find("can hold"), std::string::npos) << status.message();
}

TEST(DecodeImage, LimitsTheScansOfAJpeg) {
  // The last scan of a progressive file, again and again.
  const auto bytes = Read("generated/jpeg_progressive_444.jpg");
  const std::vector<uint8_t> start_of_scan = {0xff, 0xda};
  const auto scan = std::find_end(bytes.begin(), bytes.end(), start_of_scan.begin(), start_of_scan.end());
  std::vector<uint8_t> many(bytes.begin(), bytes.end() - 2);
  for (int i = 0; i <= limits::kMaxJpegScans; ++i) many.insert(many.end(), scan, bytes.end() - 2);
  many.insert(many.end(), bytes.end() - 2, bytes.end());
  const Status status = DecodeImage(many, "scans").status();
  EXPECT_EQ(status.code(), StatusCode::kLimitExceeded) << status.message();
}

DecodeOptions Scaled(int long_side, int short_side) {
  DecodeOptions options;
  options.jpeg_long_side = long_side;
  options.jpeg_short_side = short_side;
  return options;
}

struct ScaleCase {
  int long_side, short_side, width, height;
};

TEST(ScaledDecoding, TakesTheSmallestSizeThatIsLargeEnough) {
  // Stored as 1800 x 1200, to be turned: upright it is 1200 x 1800.
  const ScaleCase cases[] = {{1, 0, 150, 225},       {225, 0, 150, 225},   {226, 0, 300, 450},   {450, 0, 300, 450},
                             {451, 0, 600, 900},     {900, 600, 600, 900}, {225, 151, 300, 450}, {225, 600, 600, 900},
                             {225, 601, 1200, 1800}, {901, 0, 1200, 1800}, {5000, 0, 1200, 1800}};
  for (const ScaleCase& wanted : cases) {
    const auto image = LoadImage(kMedia + "exif/Portrait_8.jpg", Scaled(wanted.long_side, wanted.short_side));
    ASSERT_TRUE(image.ok()) << image.status().message();
    const bool scaled = wanted.width < 1200;
    EXPECT_EQ(image->width, wanted.width) << wanted.long_side << ", " << wanted.short_side;
    EXPECT_EQ(image->height, wanted.height) << wanted.long_side << ", " << wanted.short_side;
    EXPECT_EQ(image->full_width, scaled ? 1200 : 0);
    EXPECT_EQ(image->full_height, scaled ? 1800 : 0);
    EXPECT_EQ(image->rgb.size(), static_cast<size_t>(image->width) * static_cast<size_t>(image->height) * 3);
  }
}

TEST(ScaledDecoding, RoundsOddSidesUp) {
  const auto image = LoadImage(kMedia + "generated/jpeg_420.jpg", Scaled(10, 0));  // 37 x 29
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->width, 10);
  EXPECT_EQ(image->height, 8);
}

TEST(ScaledDecoding, TurnsThePictureAsWhole) {
  // A pixel of the small picture is nearly the average of those that it stands for.
  const auto whole = LoadImage(kMedia + "exif/Portrait_8.jpg");
  const auto half = LoadImage(kMedia + "exif/Portrait_8.jpg", Scaled(900, 0));
  ASSERT_TRUE(whole.ok() && half.ok());
  const auto at = [](const Image& image, int x, int y) {
    return image.rgb[static_cast<size_t>(y * image.width + x) * 3];
  };
  double off = 0;
  for (int y = 0; y < half->height; ++y) {
    for (int x = 0; x < half->width; ++x) {
      const int sum = at(*whole, 2 * x, 2 * y) + at(*whole, 2 * x + 1, 2 * y) + at(*whole, 2 * x, 2 * y + 1) +
                      at(*whole, 2 * x + 1, 2 * y + 1);
      off += std::abs(at(*half, x, y) - sum / 4.0);
    }
  }
  EXPECT_LT(off / (half->width * half->height), 1.0);
}

TEST(ScaledDecoding, WithoutItEveryFileIsDecodedExactly) {
  const auto goldens = Goldens();
  for (const auto& [file, golden] : goldens.at("files").items()) {
    if (!file.ends_with(".jpg") || golden.contains("error")) continue;
    const auto image = LoadImage(kMedia + file, DecodeOptions());
    ASSERT_TRUE(image.ok()) << image.status().message();
    EXPECT_EQ(Sha256Hex(image->rgb), golden.at("sha256").get<std::string>()) << file;
    EXPECT_EQ(image->full_width, 0) << file;
  }
}

TEST(ScaledDecoding, LeavesOtherFormatsAlone) {
  const auto whole = LoadImage(kMedia + "photos/astronaut.png");
  const auto scaled = LoadImage(kMedia + "photos/astronaut.png", Scaled(64, 64));
  ASSERT_TRUE(whole.ok() && scaled.ok());
  EXPECT_EQ(scaled->rgb, whole->rgb);
}

TEST(ScaledDecoding, DoesNotRaiseTheLimits) {
  DecodeOptions options = Scaled(225, 0);
  options.limits.max_pixels = 1800 * 1200 - 1;
  EXPECT_EQ(LoadImage(kMedia + "exif/Portrait_8.jpg", options).status().code(), StatusCode::kLimitExceeded);
}

TEST(LoadImage, SaysThatAFileIsMissing) {
  EXPECT_EQ(LoadImage(kMedia + "none.png").status().code(), StatusCode::kNotFound);
}

TEST(FramesFromImages, SpacesTheFramesEvenly) {
  auto frames = FramesFromImages(std::vector<Image>(3, Image{1, 1, {1, 2, 3}}), 2.0);
  ASSERT_TRUE(frames.ok());
  EXPECT_EQ(frames->timestamps_s, (std::vector<double>{0.0, 0.5, 1.0}));
  EXPECT_EQ(frames->duration_s, 1.5);
  EXPECT_EQ(frames->images.size(), 3u);
}

TEST(FramesFromImages, RefusesWhatIsNoVideo) {
  const Image image{1, 1, {1, 2, 3}};
  EXPECT_EQ(FramesFromImages({}, 1.0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(FramesFromImages({image}, 0.0).status().code(), StatusCode::kInvalidArgument);
  for (const double fps : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(FramesFromImages({image}, fps).status().code(), StatusCode::kInvalidArgument) << fps;
  }
  EXPECT_EQ(FramesFromImages(std::vector<Image>(limits::kMaxFramesPerPrompt + 1, image), 1.0).status().code(),
            StatusCode::kLimitExceeded);
}

}  // namespace
}  // namespace eyeshot
