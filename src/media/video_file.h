// A video file by FFmpeg's libraries: what it holds, and its frames by number.
#ifndef EYESHOT_MEDIA_VIDEO_FILE_H_
#define EYESHOT_MEDIA_VIDEO_FILE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "eyeshot/media.h"
#include "media/video_source.h"

struct AVFrame;

namespace eyeshot::media {

// Frames are numbered in the order in which they are shown, from 0. Not thread-safe. Errors come without the file's
// name.
class VideoFile {
 public:
  // Reads all packets' headers, and decodes nothing but what is needed to know the streams. Errors: kUnsupported,
  // kCorrupt, kLimitExceeded.
  static Result<VideoFile> Open(ByteSource source, const VideoLimits& limits);

  VideoFile(VideoFile&&) noexcept;
  ~VideoFile();

  const VideoInfo& info() const;
  // When frame `index` is shown, in seconds from the first one.
  double StartSeconds(int64_t index) const;

  using FrameSink = std::function<Status(size_t position, const AVFrame& frame)>;
  // Decodes the frames `indices` and gives each to `sink` with its position in `indices`; no other frame is kept.
  // Jumps to the last key frame before a frame where that leaves out more than the decoder has under way.
  // REQUIRES: ascending, without doubles, each below info().frames.
  Status Decode(std::span<const int64_t> indices, const FrameSink& sink);

 private:
  class Impl;
  explicit VideoFile(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_VIDEO_FILE_H_
