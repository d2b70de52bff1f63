#include "cli/synthetic_picture.h"

#include <cstddef>
#include <cstdint>

namespace eyeshot::cli {

Image SyntheticPicture(int width, int height, int variant) {
  Image image{width, height, {}};
  image.rgb.reserve(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c)
        image.rgb.push_back(static_cast<uint8_t>(7 * x + 3 * y + 50 * c + (x * y >> 5) + 41 * variant));
    }
  }
  return image;
}

}  // namespace eyeshot::cli
