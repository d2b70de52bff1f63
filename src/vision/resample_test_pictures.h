// The synthetic pictures of the goldens (tests/golden/reference.py), and their files.
#ifndef EYESHOT_VISION_RESAMPLE_TEST_PICTURES_H_
#define EYESHOT_VISION_RESAMPLE_TEST_PICTURES_H_

#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "eyeshot/media.h"

namespace eyeshot::testing_pictures {

inline Image Blank(int width, int height) {
  Image image{width, height, {}};
  image.rgb.resize(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  return image;
}

// Bands and ramps: byte (x, y, c) = (7x + 3y + 50c + (xy >> 5)) & 255.
inline Image Smooth(int width, int height) {
  Image image = Blank(width, height);
  size_t at = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) image.rgb[at++] = static_cast<uint8_t>(7 * x + 3 * y + 50 * c + ((x * y) >> 5));
    }
  }
  return image;
}

inline uint64_t SplitMix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// White noise: byte i = splitmix64(seed + i) >> 56.
inline Image Noise(uint64_t seed, int width, int height) {
  Image image = Blank(width, height);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(SplitMix64(seed + i) >> 56);
  return image;
}

// `root`: EYESHOT_UNPACKED_DIR for those that are committed packed.
inline nlohmann::json ReadGolden(const std::string& path, const std::string& root = EYESHOT_SOURCE_DIR) {
  std::ifstream file(root + "/tests/data/" + path);
  return nlohmann::json::parse(file);
}

}  // namespace eyeshot::testing_pictures

#endif  // EYESHOT_VISION_RESAMPLE_TEST_PICTURES_H_
