#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "base/sha256.h"
#include "eyeshot/media.h"

namespace eyeshot {
namespace {

const std::string kMedia = EYESHOT_SOURCE_DIR "/tests/data/media/";

const nlohmann::json& Golden() {
  static const nlohmann::json golden = [] {
    std::ifstream file(EYESHOT_SOURCE_DIR "/tests/data/golden/video.json");
    return nlohmann::json::parse(file);
  }();
  return golden;
}

std::vector<uint8_t> Read(const std::string& file) {
  auto bytes = ReadFile(kMedia + file, limits::kMaxImageBytes);
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? std::move(bytes).value() : std::vector<uint8_t>();
}

// Every frame of a clip.
VideoOptions All() {
  VideoOptions options;
  options.fps = 1000;
  options.max_frames = static_cast<int>(limits::kMaxFramesPerPrompt);
  return options;
}

std::vector<uint8_t> Pixels(const Frames& frames) {
  std::vector<uint8_t> pixels;
  for (const Image& image : frames.images) pixels.insert(pixels.end(), image.rgb.begin(), image.rgb.end());
  return pixels;
}

TEST(Video, FramesEqualThoseOfTorchcodecToTheByte) {
  size_t clips = 0;
  for (const auto& golden : Golden().at("clips")) {
    const std::string file = golden.at("file");
    const Result<Frames> frames = LoadVideo(kMedia + file, All());
    ASSERT_TRUE(frames.ok()) << frames.status().message();
    const VideoInfo& info = frames->source;
    EXPECT_EQ(info.frames, golden.at("frames").get<int64_t>()) << file;
    EXPECT_EQ(info.fps, golden.at("fps").get<double>()) << file;
    EXPECT_EQ(info.duration_s, golden.at("duration").get<double>()) << file;
    EXPECT_EQ(info.codec, golden.at("codec").get<std::string>()) << file;
    EXPECT_EQ(info.width, golden.at("width")) << file;
    EXPECT_EQ(info.height, golden.at("height")) << file;
    ASSERT_EQ(static_cast<int64_t>(frames->images.size()), info.frames) << file;
    EXPECT_EQ(frames->images[0].width, info.width) << file;
    EXPECT_EQ(frames->images[0].height, info.height) << file;
    EXPECT_EQ(Sha256Hex(Pixels(*frames)), golden.at("rgb_sha256").get<std::string>()) << file;
    ++clips;
  }
  EXPECT_GE(clips, 26u);
}

TEST(Video, SparseFramesAreThoseOfTheWholeClip) {
  for (const char* file : {"video/open_gop.mp4", "video/five_seconds.mp4", "video/vp9_odd.webm", "video/bunny.gif",
                           "video/fragments.mp4", "video/hevc_10_bit.mp4", "video/uneven_times.mp4"}) {
    const Result<Frames> all = LoadVideo(kMedia + file, All());
    ASSERT_TRUE(all.ok()) << all.status().message();
    for (const int count : {1, 2, 3, 5, 7}) {
      VideoOptions options = All();
      options.max_frames = count;
      const Result<Frames> some = LoadVideo(kMedia + file, options);
      ASSERT_TRUE(some.ok()) << some.status().message();
      ASSERT_EQ(some->images.size(), static_cast<size_t>(count)) << file;
      for (size_t i = 0; i < some->images.size(); ++i) {
        const auto index = static_cast<size_t>(some->indices[i]);
        EXPECT_EQ(some->images[i].rgb, all->images[index].rgb) << file << " frame " << index;
        EXPECT_EQ(some->timestamps_s[i], static_cast<double>(index) / all->source.fps);
      }
    }
  }
}

TEST(Video, APathAndBytesGiveTheSame) {
  const std::vector<uint8_t> bytes = Read("video/h264.mp4");
  const Result<Frames> from_bytes = DecodeVideo(bytes, "clip");
  const Result<Frames> from_path = LoadVideo(kMedia + "video/h264.mp4");
  ASSERT_TRUE(from_bytes.ok() && from_path.ok());
  EXPECT_EQ(from_bytes->indices, from_path->indices);
  EXPECT_EQ(Pixels(*from_bytes), Pixels(*from_path));
}

TEST(Video, TurnedFramesAreUpright) {
  const Result<Frames> stored = LoadVideo(kMedia + "video/h264.mp4", All());
  const Result<Frames> turned = LoadVideo(kMedia + "video/turned_90.mp4", All());
  ASSERT_TRUE(stored.ok() && turned.ok());
  // ffmpeg's "rotate=90" says that the camera was turned: stored frames are turned by 270 degrees.
  EXPECT_EQ(turned->source.rotation, 270);
  const Image& from = stored->images[0];
  const Image& to = turned->images[0];
  ASSERT_EQ(to.width, from.height);
  ASSERT_EQ(to.height, from.width);
  // The stored right edge is the top.
  const auto pixel = [](const Image& image, int x, int y) {
    const size_t at = (static_cast<size_t>(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x)) * 3;
    return std::vector<uint8_t>(image.rgb.begin() + static_cast<std::ptrdiff_t>(at),
                                image.rgb.begin() + static_cast<std::ptrdiff_t>(at) + 3);
  };
  for (int x = 0; x < to.width; x += 7) {
    for (int y = 0; y < to.height; y += 7) EXPECT_EQ(pixel(to, x, y), pixel(from, from.width - 1 - y, x));
  }
}

TEST(Video, APartIsSampledByTheSameRuleAndKeepsTheClipsTimes) {
  VideoOptions options;
  options.fps = 2;
  options.from_s = 1;
  options.to_s = 3;
  const Result<Frames> frames = LoadVideo(kMedia + "video/five_seconds.mp4", options);  // 25 a second
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  EXPECT_EQ(frames->indices, (std::vector<int64_t>{25, 41, 57, 74}));
  EXPECT_EQ(frames->timestamps_s, (std::vector<double>{1, 1.64, 2.28, 2.96}));
  EXPECT_EQ(frames->duration_s, 5.28);
  // Between two frames: the one on show is taken.
  options.from_s = 2.01;
  options.to_s = 2.03;
  EXPECT_EQ(LoadVideo(kMedia + "video/five_seconds.mp4", options)->indices, std::vector<int64_t>{50});
  // Beyond the end.
  options.from_s = 5.28;
  options.to_s = 9;
  EXPECT_EQ(LoadVideo(kMedia + "video/five_seconds.mp4", options).status().code(), StatusCode::kInvalidArgument);
}

TEST(Video, ScenesAreFoundWhereTheyChange) {
  // Red for 40 s, blue for 40 s, two frames a second: the cut is frame 80.
  VideoOptions options;
  options.sampling = FrameSampling::kScene;
  options.max_frames = 2;
  const Result<Frames> frames = LoadVideo(kMedia + "video/scenes_80s.mp4", options);
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  EXPECT_EQ(frames->indices, (std::vector<int64_t>{0, 80}));
  EXPECT_GT(frames->images[0].rgb[0], 200);
  EXPECT_GT(frames->images[1].rgb[2], 200);
  options.max_frames = 4;
  options.from_s = 30;
  EXPECT_EQ(LoadVideo(kMedia + "video/scenes_80s.mp4", options)->indices, (std::vector<int64_t>{60, 80, 100, 120}));
}

TEST(Video, FramesArePreparedOneByOne) {
  VideoOptions options = All();
  options.tile_side = 1;
  size_t calls = 0;
  options.prepare = [&](const Image& image) -> Result<Image> {
    ++calls;
    return Image{1, 1, {image.rgb[0], image.rgb[1], image.rgb[2]}, 0, 0};
  };
  const Result<Frames> frames = LoadVideo(kMedia + "video/h264.mp4", options);
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  EXPECT_EQ(calls, 60u);
  EXPECT_EQ(frames->tile_side, 1);
  EXPECT_EQ(frames->images[59].rgb.size(), 3u);
  EXPECT_EQ(frames->source.width, 176);
  options.prepare = [](const Image&) -> Result<Image> { return Status(StatusCode::kCancelled, "enough", ""); };
  EXPECT_EQ(LoadVideo(kMedia + "video/h264.mp4", options).status().code(), StatusCode::kCancelled);
}

TEST(Video, InspectionDecodesNothingAndKnowsAll) {
  const Result<VideoInfo> info = InspectVideo(kMedia + "video/turned_270.mp4");
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_EQ(info->container, "mp4");
  EXPECT_EQ(info->codec, "h264");
  EXPECT_EQ(info->rotation, 90);
  EXPECT_EQ(info->width, 100);
  EXPECT_EQ(info->height, 176);
  EXPECT_EQ(InspectVideo(kMedia + "video/vp8.webm")->container, "webm");
  EXPECT_EQ(InspectVideo(kMedia + "video/full_range.mkv")->container, "mkv");
  EXPECT_EQ(InspectVideo(kMedia + "video/mpeg4.mov")->container, "mov");
  EXPECT_EQ(InspectVideo(Read("video/bunny.gif"), "bunny")->container, "gif");
}

TEST(Video, OptionsThatCannotBeAreRefused) {
  const auto code = [](auto change) {
    VideoOptions options;
    change(options);
    return LoadVideo(kMedia + "video/h264.mp4", options).status().code();
  };
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(code([](auto& o) { o.fps = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.fps = kNan; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.max_frames = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.max_frames = 513; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.from_s = -1; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.from_s = kNan; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.from_s = 2, o.to_s = 2; }), StatusCode::kInvalidArgument);
}

TEST(Video, LimitsAreNamed) {
  const auto status = [](const char* file, auto change) {
    VideoOptions options;
    change(options.limits);
    return LoadVideo(kMedia + file, options).status();
  };
  const Status bytes = status("video/h264.mp4", [](auto& limits) { limits.max_bytes = 17312; });
  EXPECT_EQ(bytes.code(), StatusCode::kLimitExceeded);
  EXPECT_NE(bytes.message().find("17313 bytes, the limit for a video is 17312"), std::string::npos) << bytes.message();
  const Status pixels = status("video/h264.mp4", [](auto& limits) { limits.max_pixels = 17599; });
  EXPECT_EQ(pixels.code(), StatusCode::kLimitExceeded);
  EXPECT_NE(pixels.message().find("176 x 100 = 17600 pixels, the limit is 17599"), std::string::npos)
      << pixels.message();
  EXPECT_EQ(status("video/h264.mp4", [](auto& limits) { limits.max_frames = 59; }).code(), StatusCode::kLimitExceeded);
  EXPECT_TRUE(status("video/h264.mp4", [](auto& limits) { limits.max_frames = 60; }).ok());
}

TEST(Video, WhatIsNoVideoIsRefused) {
  const auto status = [](std::string_view bytes) {
    return DecodeVideo(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), "it").status();
  };
  using namespace std::literals;
  EXPECT_EQ(status("").code(), StatusCode::kUnsupported);
  EXPECT_EQ(status("#EXTM3U\nhttp://localhost/a.ts\n").code(), StatusCode::kUnsupported);
  EXPECT_EQ(status("ffconcat version 1.0\nfile '/etc/passwd'\n").code(), StatusCode::kUnsupported);
  EXPECT_EQ(status("\0\0\0\x18"
                   "ftypisom"sv)
                .code(),
            StatusCode::kCorrupt);
  // 8000 x 8000 pixels.
  EXPECT_EQ(status("GIF89a\x40\x1f\x40\x1f\0\0\0"
                   ",\0\0\0\0\x40\x1f\x40\x1f\0\x02\x02\x4c\x01\0;"sv)
                .code(),
            StatusCode::kLimitExceeded);
  const Status sound = LoadVideo(kMedia + "malformed/video/sound_only.m4a").status();
  EXPECT_EQ(sound.code(), StatusCode::kUnsupported);
  EXPECT_NE(sound.message().find("no video"), std::string::npos) << sound.message();
}

// A file cut off anywhere is a clip or a clear error; what is behind the cut is never shown as black.
TEST(Video, CutOffFilesEndInAClipOrAnError) {
  size_t errors = 0, clips = 0;
  for (const char* file : {"video/fragments.mp4", "video/vp8.webm", "video/av1.mp4", "formats/anim_mixed_disposal.gif",
                           "video/turned_90.mp4"}) {
    const std::vector<uint8_t> bytes = Read(file);
    for (size_t i = 0; i < 40; ++i) {
      const size_t length = bytes.size() * i / 40;
      const Result<Frames> frames = DecodeVideo(std::span(bytes).first(length), "cut", All());
      if (frames.ok()) {
        ++clips;
        EXPECT_FALSE(frames->images.empty());
        EXPECT_EQ(frames->images.size(), frames->timestamps_s.size());
      } else {
        ++errors;
        EXPECT_EQ(frames.status().message().substr(0, 5), "cut: ");
        EXPECT_NE(frames.status().mend(), "");
      }
    }
  }
  EXPECT_GT(errors, 60u);
  EXPECT_GT(clips, 10u);
}

TEST(Video, AFileWithoutFramesSaysSo) {
  // The header of a file in fragments, whose frames come later.
  const std::vector<uint8_t> bytes = Read("video/fragments.mp4");
  constexpr std::string_view kBox = "moof";
  const auto fragment = std::search(bytes.begin(), bytes.end(), kBox.begin(), kBox.end()) - bytes.begin() - 4;
  const Status status = DecodeVideo(std::span(bytes).first(static_cast<size_t>(fragment)), "empty").status();
  EXPECT_EQ(status.code(), StatusCode::kCorrupt) << status.message();
}

TEST(Video, ChangedBytesDoNoHarm) {
  size_t ok = 0;
  for (const char* file :
       {"video/yuv444.mp4", "video/vp8.webm", "formats/anim_mixed_disposal.gif", "video/mjpeg.mov"}) {
    const std::vector<uint8_t> bytes = Read(file);
    for (size_t i = 0; i < 60; ++i) {
      std::vector<uint8_t> changed = bytes;
      changed[(i * 2654435761u) % changed.size()] ^= static_cast<uint8_t>(1u << (i % 8));
      VideoOptions options = All();
      options.limits.max_pixels = 1 << 20;
      ok += DecodeVideo(changed, "changed", options).ok() ? 1 : 0;
    }
  }
  EXPECT_GT(ok, 50u);
}

}  // namespace
}  // namespace eyeshot
