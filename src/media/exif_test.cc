#include "media/exif.h"

#include <gtest/gtest.h>

#include <vector>

namespace eyeshot::media {
namespace {

// A picture of 3 x 2 pixels that are all different: pixel i has red i.
Image Numbered() {
  Image image{3, 2, std::vector<uint8_t>(18)};
  for (uint8_t i = 0; i < 6; ++i) image.rgb[3 * i] = i;
  return image;
}

std::vector<int> Reds(const Image& image) {
  std::vector<int> reds;
  for (size_t i = 0; i < image.rgb.size(); i += 3) reds.push_back(image.rgb[i]);
  return reds;
}

TEST(Orient, TurnsAndMirrorsAsTheStandardSays) {
  // Stored:  0 1 2
  //          3 4 5
  const std::vector<std::vector<int>> upright = {{0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0},
                                                 {3, 4, 5, 0, 1, 2}, {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2},
                                                 {5, 2, 4, 1, 3, 0}, {2, 5, 1, 4, 0, 3}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Image image = Orient(Numbered(), orientation);
    EXPECT_EQ(image.width, orientation >= 5 ? 2 : 3) << orientation;
    EXPECT_EQ(image.height, orientation >= 5 ? 3 : 2) << orientation;
    EXPECT_EQ(Reds(image), upright[static_cast<size_t>(orientation - 1)]) << orientation;
  }
}

// A TIFF header and a directory of two entries, the second of which is the orientation.
std::vector<uint8_t> LittleEndianBlock(uint8_t type, uint8_t value) {
  return {'I', 'I', 42, 0,    8,    0,    0, 0, 2, 0, 0x0f, 0x01,  2, 0, 4, 0, 0, 0, 'a',
          'b', 'c', 0,  0x12, 0x01, type, 0, 1, 0, 0, 0,    value, 0, 0, 0, 0, 0, 0, 0};
}

TEST(ExifOrientation, ReadsBothByteOrdersAndTheIntegerTypes) {
  EXPECT_EQ(ExifOrientation(LittleEndianBlock(3, 6)), 6);
  EXPECT_EQ(ExifOrientation(LittleEndianBlock(1, 5)), 5);
  EXPECT_EQ(ExifOrientation(LittleEndianBlock(4, 8)), 8);
  const std::vector<uint8_t> big = {'E', 'x', 'i', 'f',  0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8,
                                    0,   1,   1,   0x12, 0, 3, 0,   0,   0, 1,  0, 3, 0, 0};
  EXPECT_EQ(ExifOrientation(big), 3);
}

TEST(ExifOrientation, TakesDamageAsNotStated) {
  EXPECT_EQ(ExifOrientation({}), 0);
  EXPECT_EQ(ExifOrientation(LittleEndianBlock(2, 6)), 0) << "text";
  const std::vector<uint8_t> whole = LittleEndianBlock(3, 6);
  for (size_t length = 0; length < 32; ++length) {
    EXPECT_EQ(ExifOrientation(std::span(whole).first(length)), 0) << length;
  }
  std::vector<uint8_t> far = whole;
  far[4] = far[5] = far[6] = far[7] = 0xff;
  EXPECT_EQ(ExifOrientation(far), 0) << "directory beyond the end";
}

TEST(XmpOrientation, ReadsAttributesAndElements) {
  EXPECT_EQ(XmpOrientation("<a tiff:Orientation=\"6\"/>"), 6);
  EXPECT_EQ(XmpOrientation("<tiff:Orientation>8</tiff:Orientation>"), 8);
  EXPECT_EQ(XmpOrientation("<a tiff:Orientation='6' tiff:Orientation=\"3\"/>"), 3);
  EXPECT_EQ(XmpOrientation("<a tiff:Orientation=\""), 0);
  EXPECT_EQ(XmpOrientation(""), 0);
}

TEST(ChooseOrientation, PrefersExif) {
  EXPECT_EQ(ChooseOrientation(6, 3), 6);
  EXPECT_EQ(ChooseOrientation(0, 3), 3);
  EXPECT_EQ(ChooseOrientation(0, 0), 1);
  EXPECT_EQ(ChooseOrientation(0, 9), 1);
}

}  // namespace
}  // namespace eyeshot::media
