#include "media/media_kind.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "eyeshot/media.h"

namespace eyeshot {
namespace {

const std::string kMedia = EYESHOT_SOURCE_DIR "/tests/data/media/";

MediaKind Detect(const std::string& file) {
  const Result<MediaKind> kind = DetectMedia(kMedia + file);
  EXPECT_TRUE(kind.ok()) << kind.status().message();
  return kind.ok() ? *kind : MediaKind::kPicture;
}

MediaKind DetectBytes(std::string_view bytes) {
  return DetectMedia(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

TEST(DetectMedia, TellsClipsByContent) {
  size_t clips = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kMedia + "video")) {
    EXPECT_EQ(Detect("video/" + entry.path().filename().string()), MediaKind::kVideo) << entry;
    ++clips;
  }
  EXPECT_GE(clips, 20u);
  for (const auto& entry : std::filesystem::directory_iterator(kMedia + "photos")) {
    EXPECT_EQ(Detect("photos/" + entry.path().filename().string()), MediaKind::kPicture) << entry;
  }
}

TEST(DetectMedia, AGifIsAVideoIfItMoves) {
  EXPECT_EQ(Detect("formats/anim_combine.gif"), MediaKind::kVideo);
  EXPECT_EQ(Detect("formats/anim_mixed_disposal.gif"), MediaKind::kVideo);
  EXPECT_EQ(Detect("formats/anim_interlaced.gif"), MediaKind::kPicture);  // one frame
  for (const auto& entry : std::filesystem::directory_iterator(kMedia + "malformed/gif")) {
    Detect("malformed/gif/" + entry.path().filename().string());  // neither crashes nor hangs
  }
}

TEST(DetectMedia, StillsInIsoFilesAreNoVideos) {
  using namespace std::literals;
  EXPECT_EQ(DetectBytes("\0\0\0\x20"
                        "ftypisom"sv),
            MediaKind::kVideo);
  EXPECT_EQ(DetectBytes("\0\0\0\x20"
                        "ftypqt  "sv),
            MediaKind::kVideo);
  EXPECT_EQ(DetectBytes("\0\0\0\x08"
                        "wide\0\0\0\0mdat"sv),
            MediaKind::kVideo);
  EXPECT_EQ(DetectBytes("\0\0\0\x20"
                        "ftypavif"sv),
            MediaKind::kPicture);
  EXPECT_EQ(DetectBytes("\0\0\0\x20"
                        "ftypheic"sv),
            MediaKind::kPicture);
  EXPECT_EQ(DetectBytes("#EXTM3U\nhttp://localhost/a.ts\n"sv), MediaKind::kPicture);
  EXPECT_EQ(DetectBytes(""sv), MediaKind::kPicture);
}

TEST(DetectMedia, NamesAFileThatIsNotThere) {
  EXPECT_EQ(DetectMedia(kMedia + "none.mp4").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(DetectMedia(kMedia).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace eyeshot
