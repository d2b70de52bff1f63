// The orientation of a picture: where it is written, and how it is undone.
#ifndef EYESHOT_MEDIA_EXIF_H_
#define EYESHOT_MEDIA_EXIF_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "eyeshot/media.h"

namespace eyeshot::media {

// The orientation (tag 0x0112 of the first directory) in an EXIF block, which is a TIFF header and what
// follows, with or without "Exif\0\0" before it. 0 if it isn't stated; damage counts as not stated, since
// a picture is worth showing with broken metadata.
int ExifOrientation(std::span<const uint8_t> exif);

// The orientation in an XMP packet (tiff:Orientation="6" or <tiff:Orientation>6), 0 if it isn't stated.
// Pillow reads it where EXIF states none.
int XmpOrientation(std::string_view xmp);

// EXIF's answer, else XMP's, else 1; a value outside 1 to 8 is 1.
int ChooseOrientation(int exif, int xmp);

// The picture turned and mirrored so that it is upright. `orientation` is 1 to 8, as in the EXIF standard:
// 1 as stored, 2 mirrored left-right, 3 upside down, 4 mirrored top-bottom, 5 transposed, 6 to be turned
// 90 degrees clockwise, 7 transposed over the other diagonal, 8 to be turned 90 degrees anticlockwise.
Image Orient(Image image, int orientation);

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_EXIF_H_
