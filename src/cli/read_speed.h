// How fast memory can be read: the floor of decoding.
#ifndef EYESHOT_CLI_READ_SPEED_H_
#define EYESHOT_CLI_READ_SPEED_H_

#include <cstddef>

namespace eyeshot::cli {

// Bytes a second at which `threads` threads together read a buffer of `bytes` bytes once; the median of several times.
// Smaller buffers stay in caches, as smaller weights do.
double ReadBytesPerSecond(size_t bytes, int threads);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_READ_SPEED_H_
