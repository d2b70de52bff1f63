// What include/eyeshot/media.h promises of videos.
#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "eyeshot/media.h"
#include "media/frame_sampling.h"
#include "media/video_file.h"
#include "media/video_pixels.h"

extern "C" {
#include <libavutil/frame.h>
}

namespace eyeshot {
namespace media {
namespace {

Status CheckOptions(const VideoOptions& options) {
  if (!(options.fps > 0) || !std::isfinite(options.fps)) {
    return InvalidArgumentError(fmt::format("{} frames a second", options.fps), "give a positive number");
  }
  if (options.max_frames < 1 || options.max_frames > static_cast<int>(limits::kMaxFramesPerPrompt)) {
    return InvalidArgumentError(fmt::format("at most {} frames", options.max_frames),
                                fmt::format("give 1 to {}", limits::kMaxFramesPerPrompt));
  }
  if (!(options.from_s >= 0) || !(options.to_s > options.from_s)) {
    return InvalidArgumentError(fmt::format("a part from {} s to {} s", options.from_s, options.to_s),
                                "let it begin at 0 or later and end after it begins");
  }
  return Status::Ok();
}

// Frames [first, end) of a video: those that are shown in the part that the options name.
struct Part {
  int64_t first = 0;
  int64_t end = 0;
  double duration_s = 0;
  bool whole = true;

  int64_t frames() const { return end - first; }
};

Result<Part> FindPart(const VideoFile& file, const VideoOptions& options) {
  const VideoInfo& info = file.info();
  if (options.from_s <= 0 && options.to_s >= info.duration_s) return Part{0, info.frames, info.duration_s, true};
  if (options.from_s >= info.duration_s) {
    return InvalidArgumentError(
        fmt::format("a part from {} s on, of a video of {:.2f} s", options.from_s, info.duration_s),
        "let it begin earlier");
  }
  // A frame belongs to the part if it begins in it; else the one that is on show when the part begins is taken.
  const auto index_at = [&](double seconds) {
    int64_t low = 0;
    int64_t high = info.frames;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (file.StartSeconds(middle) < seconds) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  Part part{index_at(options.from_s), index_at(options.to_s), 0, false};
  if (part.first >= part.end) part = {std::max<int64_t>(part.first - 1, 0), std::max<int64_t>(part.first, 1), 0, false};
  part.duration_s = std::min(options.to_s, info.duration_s) - options.from_s;
  return part;
}

// Differences of brightness between each frame of the part and the one before it.
Result<std::vector<float>> Differences(VideoFile& file, const Part& part, const VideoOptions& options,
                                       FrameConverter& converter) {
  std::vector<int64_t> all(static_cast<size_t>(part.frames()));
  for (size_t i = 0; i < all.size(); ++i) all[i] = part.first + static_cast<int64_t>(i);
  std::vector<float> difference(all.size());
  std::optional<Histogram> before;
  const auto compare = [&](size_t position, const AVFrame& frame) -> Status {
    EYESHOT_ASSIGN_OR_RETURN(const Histogram now, converter.Brightness(frame, options.limits.max_pixels));
    if (before) difference[position] = HistogramDifference(*before, now);
    before = now;
    return Status::Ok();
  };
  EYESHOT_RETURN_IF_ERROR(file.Decode(all, compare));
  return difference;
}

Result<std::vector<int64_t>> Sample(VideoFile& file, const VideoOptions& options, FrameConverter& converter) {
  EYESHOT_ASSIGN_OR_RETURN(const Part part, FindPart(file, options));
  std::vector<int64_t> indices;
  if (options.sampling == FrameSampling::kScene) {
    EYESHOT_ASSIGN_OR_RETURN(const std::vector<float> difference, Differences(file, part, options, converter));
    indices = SceneFrames(difference, FrameBudget(part.duration_s, options.fps, options.max_frames));
  } else {
    indices = UniformFrames(part.frames(), part.duration_s, file.info().fps, options.fps, options.max_frames,
                            /*skip_ends=*/part.whole);
  }
  for (int64_t& index : indices) index += part.first;
  return indices;
}

Result<Frames> Read(ByteSource source, const VideoOptions& options) {
  EYESHOT_RETURN_IF_ERROR(CheckOptions(options));
  EYESHOT_ASSIGN_OR_RETURN(VideoFile file, VideoFile::Open(std::move(source), options.limits));
  FrameConverter converter;
  Frames frames;
  frames.source = file.info();
  frames.duration_s = frames.source.duration_s;
  frames.tile_side = options.prepare ? options.tile_side : 0;
  EYESHOT_ASSIGN_OR_RETURN(frames.indices, Sample(file, options, converter));
  const auto keep = [&](size_t position, const AVFrame& frame) -> Status {
    EYESHOT_ASSIGN_OR_RETURN(Image image, converter.ToRgb(frame, frames.source.rotation, options.limits.max_pixels));
    if (options.prepare) {
      EYESHOT_ASSIGN_OR_RETURN(image, options.prepare(image));
    }
    frames.images.push_back(std::move(image));
    frames.timestamps_s.push_back(static_cast<double>(frames.indices[position]) / frames.source.fps);
    return Status::Ok();
  };
  EYESHOT_RETURN_IF_ERROR(file.Decode(frames.indices, keep));
  return frames;
}

}  // namespace
}  // namespace media

VideoLimits::VideoLimits()
    : max_bytes(limits::kMaxVideoBytes), max_pixels(limits::kMaxVideoPixels), max_frames(limits::kMaxVideoFrames) {}

Result<Frames> LoadVideo(const std::string& path, const VideoOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(media::ByteSource source, media::ByteSource::Open(path, options.limits.max_bytes));
  Result<Frames> frames = media::Read(std::move(source), options);
  return frames.ok() ? std::move(frames) : Result<Frames>(frames.status().At(path));
}

Result<Frames> DecodeVideo(std::span<const uint8_t> bytes, std::string_view name, const VideoOptions& options) {
  Result<Frames> frames = media::Read(media::ByteSource(bytes), options);
  return frames.ok() ? std::move(frames) : Result<Frames>(frames.status().At(name));
}

Result<VideoInfo> InspectVideo(const std::string& path, const VideoLimits& limits) {
  EYESHOT_ASSIGN_OR_RETURN(media::ByteSource source, media::ByteSource::Open(path, limits.max_bytes));
  const Result<media::VideoFile> file = media::VideoFile::Open(std::move(source), limits);
  if (!file.ok()) return file.status().At(path);
  return file->info();
}

Result<VideoInfo> InspectVideo(std::span<const uint8_t> bytes, std::string_view name, const VideoLimits& limits) {
  const Result<media::VideoFile> file = media::VideoFile::Open(media::ByteSource(bytes), limits);
  if (!file.ok()) return file.status().At(name);
  return file->info();
}

}  // namespace eyeshot
