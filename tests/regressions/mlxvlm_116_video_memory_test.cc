// mlx-vlm took 190 GB for a video, and others keep every decoded frame. Only frames that are taken are converted, and
// each becomes its tile before the next one is.
#include <gtest/gtest.h>

#include <set>

#include "eyeshot/media.h"

namespace eyeshot {
namespace {

TEST(MlxVlm116, TakenFramesAreKeptAsTilesAlone) {
  VideoOptions options;
  options.fps = 1000;
  options.max_frames = 100;
  options.tile_side = 4;
  std::set<size_t> sizes;
  int converted = 0;
  options.prepare = [&](const Image& image) -> Result<Image> {
    sizes.insert(image.rgb.size());
    ++converted;
    return Image{4, 4, std::vector<uint8_t>(48), 0, 0};
  };
  const auto frames = LoadVideo(EYESHOT_SOURCE_DIR "/tests/data/media/video/five_seconds.mp4", options);
  ASSERT_TRUE(frames.ok()) << frames.status().message();
  EXPECT_EQ(converted, 100);  // of 132
  EXPECT_EQ(sizes, std::set<size_t>{256 * 144 * 3});
  size_t bytes = 0;
  for (const Image& image : frames->images) bytes += image.rgb.capacity();
  EXPECT_EQ(bytes, 100u * 48u);
}

}  // namespace
}  // namespace eyeshot
