#include "media/frame_list.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/limits.h"

namespace eyeshot::media {
namespace {

TEST(ParseClock, ReadsSecondsMinutesAndHours) {
  EXPECT_EQ(*ParseClock("0"), 0);
  EXPECT_EQ(*ParseClock("83.5"), 83.5);
  EXPECT_EQ(*ParseClock("1:23.5"), 83.5);
  EXPECT_EQ(*ParseClock("90:00"), 5400);
  EXPECT_EQ(*ParseClock("1:02:03"), 3723);
}

TEST(ParseClock, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", ":", "1:", ":1", "-1", "1:60", "1:-2", "1.5:00", "1:2:3:4", "1e3", "nan", "inf", "1s", " 1", "0x1"}) {
    const Result<double> seconds = ParseClock(text);
    ASSERT_FALSE(seconds.ok()) << text;
    EXPECT_EQ(seconds.status().code(), StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(ParseClock("99999999").status().code(), StatusCode::kLimitExceeded);
}

TEST(ParseFrameList, ReadsPathsWithAndWithoutTimes) {
  const auto plain = ParseFrameList("# a clip\na.png\r\n\n  sub/b 2.png \n/abs/c.png", "dir");
  ASSERT_TRUE(plain.ok()) << plain.status().message();
  ASSERT_EQ(plain->size(), 3u);
  EXPECT_EQ((*plain)[0].path, "dir/a.png");
  EXPECT_EQ((*plain)[1].path, "dir/sub/b 2.png");
  EXPECT_EQ((*plain)[2].path, "/abs/c.png");
  EXPECT_FALSE((*plain)[0].seconds);

  const auto timed = ParseFrameList("0 a.png\n0:01.5\tb.png\n1:00 with blanks.png\n", "dir");
  ASSERT_TRUE(timed.ok()) << timed.status().message();
  EXPECT_EQ((*timed)[1].seconds, 1.5);
  EXPECT_EQ((*timed)[2].seconds, 60);
  EXPECT_EQ((*timed)[2].path, "dir/with blanks.png");
}

TEST(ParseFrameList, NamesTheLineThatIsWrong) {
  const auto status = [](const char* text) { return ParseFrameList(text, "dir").status(); };
  EXPECT_EQ(status("# nothing\n").code(), StatusCode::kNotFound);
  EXPECT_EQ(status("1 a.png\n\nb.png\n").message().substr(0, 7), "line 3:");
  EXPECT_EQ(status("2 a.png\n1 b.png\n").code(), StatusCode::kCorrupt);
  std::string lines;
  for (size_t i = 0; i <= limits::kMaxFrameListEntries; ++i) lines += "a\n";
  EXPECT_EQ(ParseFrameList(lines, "dir").status().code(), StatusCode::kLimitExceeded);
}

TEST(ListFrames, SortsNumbersAsNumbersAndLeavesHiddenFilesOut) {
  const std::string folder =
      ::testing::TempDir() + "/frames_of_" + ::testing::UnitTest::GetInstance()->current_test_info()->name();
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder + "/folder");
  EXPECT_EQ(ListFrames(folder).status().code(), StatusCode::kNotFound);
  for (const char* name : {"f10.png", "f2.png", "f1.png", ".hidden"}) std::ofstream(folder + "/" + name) << "x";
  const auto frames = ListFrames(folder);
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  std::vector<std::string> paths;
  for (const FrameFile& frame : *frames) paths.push_back(frame.path);
  EXPECT_EQ(paths, (std::vector<std::string>{folder + "/f1.png", folder + "/f2.png", folder + "/f10.png"}));
  EXPECT_FALSE(ListFrames(folder + "/none").ok());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace eyeshot::media
