// Draws what the model sees of a picture: its tiles in their grid, numbered, and the global view beside them.
#ifndef EYESHOT_CLI_TILE_PICTURE_H_
#define EYESHOT_CLI_TILE_PICTURE_H_

#include "eyeshot/media.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {

// REQUIRES: `tiles` holds one picture.
Image DrawTiles(const Tiles& tiles);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_TILE_PICTURE_H_
