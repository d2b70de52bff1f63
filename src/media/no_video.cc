// A build without FFmpeg's libraries (EYESHOT_VIDEO=OFF): videos are told from pictures, and refused.
#include <string>

#include "base/error.h"
#include "base/limits.h"
#include "eyeshot/media.h"

namespace eyeshot {
namespace {

Status NoVideo(std::string_view name) {
  return UnsupportedError(fmt::format("{}: is a video, which this build can't read", name),
                          "build with EYESHOT_VIDEO=ON, or give frames as pictures");
}

}  // namespace

VideoLimits::VideoLimits()
    : max_bytes(limits::kMaxVideoBytes), max_pixels(limits::kMaxVideoPixels), max_frames(limits::kMaxVideoFrames) {}

Result<Frames> LoadVideo(const std::string& path, const VideoOptions&) { return NoVideo(path); }
Result<Frames> DecodeVideo(std::span<const uint8_t>, std::string_view name, const VideoOptions&) {
  return NoVideo(name);
}
Result<VideoInfo> InspectVideo(const std::string& path, const VideoLimits&) { return NoVideo(path); }
Result<VideoInfo> InspectVideo(std::span<const uint8_t>, std::string_view name, const VideoLimits&) {
  return NoVideo(name);
}

}  // namespace eyeshot
