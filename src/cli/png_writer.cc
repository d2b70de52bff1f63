#include "cli/png_writer.h"

#include <spng.h>

#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "base/file.h"

namespace eyeshot::cli {
namespace {

struct ContextDeleter {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};
struct FreeDeleter {
  void operator()(void* bytes) const { std::free(bytes); }
};

}  // namespace

Result<std::vector<uint8_t>> EncodePng(const Image& image) {
  const std::unique_ptr<spng_ctx, ContextDeleter> context(spng_ctx_new(SPNG_CTX_ENCODER));
  if (context == nullptr) return OutOfMemoryError("no memory for a PNG encoder", "close other programs");
  spng_ihdr header = {};
  header.width = static_cast<uint32_t>(image.width);
  header.height = static_cast<uint32_t>(image.height);
  header.bit_depth = 8;
  header.color_type = SPNG_COLOR_TYPE_TRUECOLOR;
  int error = spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1);
  if (error == 0) error = spng_set_ihdr(context.get(), &header);
  if (error == 0) {
    error = spng_encode_image(context.get(), image.rgb.data(), image.rgb.size(), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  }
  size_t size = 0;
  const std::unique_ptr<void, FreeDeleter> bytes(error == 0 ? spng_get_png_buffer(context.get(), &size, &error)
                                                            : nullptr);
  if (bytes == nullptr) {
    return OutOfMemoryError(
        fmt::format("a PNG of {} x {} pixels cannot be made: {}", image.width, image.height, spng_strerror(error)),
        "close other programs");
  }
  const auto* begin = static_cast<const uint8_t*>(bytes.get());
  return std::vector<uint8_t>(begin, begin + size);
}

Status WritePng(const Image& image, const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, EncodePng(image));
  return WriteFile(path, bytes);
}

}  // namespace eyeshot::cli
