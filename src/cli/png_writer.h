// Writes pictures as PNG.
#ifndef EYESHOT_CLI_PNG_WRITER_H_
#define EYESHOT_CLI_PNG_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "eyeshot/media.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

// 8-bit RGB PNG. Error: kOutOfMemory.
Result<std::vector<uint8_t>> EncodePng(const Image& image);

Status WritePng(const Image& image, const std::string& path);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PNG_WRITER_H_
