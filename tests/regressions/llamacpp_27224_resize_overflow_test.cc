// llama.cpp multiplied the sides of a resized picture in 32 bits (issue 27224, 46368 x 46368). A header that claims
// such a size must be refused by its pixels, before anything of that size is taken.
#include <gtest/gtest.h>

#include "eyeshot/media.h"

namespace eyeshot {
namespace {

TEST(LlamaCpp27224, HugePictureIsRefusedFromItsHeader) {
  // A PNG header: 46368 x 46368, 8-bit RGB, and nothing else. The CRC is that of the chunk.
  const std::vector<uint8_t> png = {0x89, 'P',  'N', 'G', '\r', '\n', 0x1a, '\n', 0,    0,    0,
                                    13,   'I',  'H', 'D', 'R',  0,    0,    0xb5, 0x20, 0,    0,
                                    0xb5, 0x20, 8,   2,   0,    0,    0,    0xa0, 0x89, 0x5f, 0x65};
  const auto image = DecodeImage(png, "huge.png");
  ASSERT_FALSE(image.ok());
  const std::string message = image.status().message();
  EXPECT_NE(message.find("huge.png"), std::string::npos) << message;
}

}  // namespace
}  // namespace eyeshot
