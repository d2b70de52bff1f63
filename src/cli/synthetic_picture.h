// Pictures made by a formula, for measurements that need no particular one.
#ifndef EYESHOT_CLI_SYNTHETIC_PICTURE_H_
#define EYESHOT_CLI_SYNTHETIC_PICTURE_H_

#include "eyeshot/media.h"

namespace eyeshot::cli {

// No two tiles alike, no large flat part: what a compressor or a cache could profit from.
// Pictures of unlike `variant` have no pixel in common.
Image SyntheticPicture(int width, int height, int variant = 0);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_SYNTHETIC_PICTURE_H_
