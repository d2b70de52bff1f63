#include "media/frame_sampling.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/sha256.h"

namespace eyeshot::media {
namespace {

using Indices = std::vector<int64_t>;

nlohmann::json Golden(const std::string& root, const std::string& name) {
  std::ifstream file(root + "/tests/data/golden/" + name);
  return nlohmann::json::parse(file);
}

TEST(UniformFrames, EqualThoseOfTransformers) {
  size_t cases = 0;
  const nlohmann::json goldens = Golden(EYESHOT_UNPACKED_DIR, "prompts.json");
  for (const auto& golden : goldens.at("sampling")) {
    const double stream_fps = golden.at("stream_fps");
    const int64_t frames = golden.at("total_frames");
    EXPECT_EQ(UniformFrames(frames, static_cast<double>(frames) / stream_fps, stream_fps, golden.at("fps"),
                            golden.at("num_frames")),
              golden.at("indices").get<Indices>())
        << golden;
    ++cases;
  }
  EXPECT_GE(cases, 76u);
}

// Random lengths, rates and limits, also durations that do not follow from frames and rate. Indices by digest.
TEST(UniformFrames, EqualThoseOfTransformersForRandomVideos) {
  size_t cases = 0;
  const nlohmann::json goldens = Golden(EYESHOT_SOURCE_DIR, "video.json");
  for (const auto& golden : goldens.at("samplings")) {
    const Indices indices = UniformFrames(golden[0], golden[1], golden[2], golden[3], golden[4]);
    std::string text;
    for (const int64_t index : indices) text.append(text.empty() ? "" : " ").append(std::to_string(index));
    const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    ASSERT_EQ(indices.size(), golden[5].get<size_t>()) << golden;
    ASSERT_EQ(Sha256Hex(bytes).substr(0, 12), golden[6].get<std::string>()) << golden << text;
    ++cases;
  }
  EXPECT_GE(cases, 500u);
}

TEST(UniformFrames, OfAPartLeaveNoSecondOut) {
  // 100 s at 10 a second, of which 4 frames: the reference begins at 1 s.
  EXPECT_EQ(UniformFrames(1000, 100, 10, 1, 4).front(), 10);
  EXPECT_EQ(UniformFrames(1000, 100, 10, 1, 4, /*skip_ends=*/false), (Indices{0, 333, 666, 999}));
}

TEST(FrameBudget, RoundsHalvesToEvenAndStaysInItsLimits) {
  EXPECT_EQ(FrameBudget(2.5, 1, 64), 2);
  EXPECT_EQ(FrameBudget(3.5, 1, 64), 4);
  EXPECT_EQ(FrameBudget(0, 1, 64), 1);
  EXPECT_EQ(FrameBudget(1e9, 1000, 64), 64);
}

TEST(SceneFrames, TakeTheFirstFrameAndTheStrongestCuts) {
  std::vector<float> difference(100, 0.05f);
  difference[0] = 1;  // of no account
  difference[30] = 0.5f;
  difference[50] = 0.9f;
  difference[70] = 0.4f;
  EXPECT_EQ(SceneFrames(difference, 1), Indices{0});
  EXPECT_EQ(SceneFrames(difference, 2), (Indices{0, 50}));
  EXPECT_EQ(SceneFrames(difference, 3), (Indices{0, 30, 50}));
  EXPECT_EQ(SceneFrames(difference, 4), (Indices{0, 30, 50, 70}));
}

TEST(SceneFrames, FillTheLongestGaps) {
  std::vector<float> difference(100, 0.0f);
  difference[40] = kSceneChange;
  // Gaps of 40 and 60: the middle of the longer one, then that of the first, then again.
  EXPECT_EQ(SceneFrames(difference, 3), (Indices{0, 40, 70}));
  EXPECT_EQ(SceneFrames(difference, 4), (Indices{0, 20, 40, 70}));
  // Motion alone is no change of scene.
  std::fill(difference.begin(), difference.end(), kSceneChange * 0.99f);
  EXPECT_EQ(SceneFrames(difference, 2), (Indices{0, 50}));
}

TEST(SceneFrames, AreNoMoreThanThereAre) {
  const std::vector<float> difference = {0, 0, 1};
  EXPECT_EQ(SceneFrames(difference, 64), (Indices{0, 1, 2}));
}

}  // namespace
}  // namespace eyeshot::media
