// Engines that give a picture to stb_image or Pillow limit the bytes of the file at most: some kilobytes of PNG then
// become gigabytes of pixels. Here the pixels are counted before they are decoded.
#include "eyeshot/media.h"
#include "small_gguf.h"

namespace eyeshot::testing {
namespace {

TEST(StbDecodedPixels, EveryKindIsRefusedByItsHeader) {
  const std::string media = EYESHOT_SOURCE_DIR "/tests/data/media/formats/";
  for (const char* name : {"hopper.jpg", "apng_ball.png", "hopper.webp", "anim_combine.gif"}) {
    const std::string bytes = ReadAll(media + name);
    const Image image = DecodeImage(Span(bytes), name).value();
    ImageLimits limits;
    limits.max_pixels = image.rgb.size() / 3 - 1;
    // Half of the file: not all pixels are there, and none is asked for.
    ExpectError(DecodeImage(Span(bytes).first(bytes.size() / 2), name, limits).status(), StatusCode::kLimitExceeded,
                {name, "the limit is " + std::to_string(limits.max_pixels)});
  }
}

}  // namespace
}  // namespace eyeshot::testing
