// Pictures and clips of frames.
#ifndef EYESHOT_MEDIA_H_
#define EYESHOT_MEDIA_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/export.h"
#include "eyeshot/status.h"

namespace eyeshot {

// A decoded picture: 8-bit RGB, row-major, channels last, orientation applied.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // height * width * 3
  // The size in the file, upright, where the picture was decoded smaller (DecodeOptions); else 0. A picture is cut
  // into the tiles of this size.
  int full_width = 0;
  int full_height = 0;
};

// What a video file holds: counts and times as the reference's decoder (torchcodec, exact seeking) gives them.
struct VideoInfo {
  std::string container;  // "mp4", "webm", "gif"; "pictures" for FramesFromImages
  std::string codec;      // FFmpeg's name: "h264", "vp9"
  int width = 0;          // of a frame, upright
  int height = 0;
  int rotation = 0;       // degrees clockwise by which stored frames are turned: 0, 90, 180 or 270
  int64_t frames = 0;
  double duration_s = 0;  // from the first frame's start to the last one's end
  double fps = 0;         // frames / duration_s; frames of a variable rate are counted as if they were even
};

// How many tiles a picture may become, and so what it costs. The words are those of --detail and of the API's `detail`.
struct PictureDetail {
  enum class Kind {
    kReference,  // "reference" or "high": as transformers, which enlarges every picture to its largest grid
    kLow,  // "low": one view
    // "auto": no more tiles than the picture's own pixels fill. Where the context is short, fewer, and fewer visual
    // tokens for each frame of a clip.
    kAuto,
    kTiles,  // "1" to "6": the longer side in tiles
  };
  Kind kind = Kind::kReference;
  int tiles = 0;  // kTiles

  bool operator==(const PictureDetail&) const = default;
};

// Error: kInvalidArgument (no such word or number).
EYESHOT_EXPORT Result<PictureDetail> ParsePictureDetail(std::string_view text);
// "reference", "low", "auto", "3"
EYESHOT_EXPORT std::string PictureDetailName(const PictureDetail& detail);

// The frames of a video that a model is to see, in order.
struct Frames {
  std::vector<Image> images;
  std::vector<double> timestamps_s;  // one for each image, from the start of the video
  double duration_s = 0;  // of the whole video
  std::vector<int64_t> indices;  // which frames of the video they are; empty where nobody counted
  VideoInfo source;
  // More than 0: the images are the tiles that the model sees, of so many pixels a side (VideoOptions::prepare).
  int tile_side = 0;
};

// Limits on a picture, checked from its header before anything is decoded.
struct EYESHOT_EXPORT ImageLimits {
  uint64_t max_bytes;  // of the encoded file
  uint64_t max_pixels;  // width * height
  uint32_t max_side;
  ImageLimits();  // the values of docs/limits.md
};

// How to decode, where there is a choice. The defaults give what the reference gives.
struct EYESHOT_EXPORT DecodeOptions {
  ImageLimits limits;  // on the size in the file
  // More than 0: a JPEG is decoded at 1/8, 1/4 or 1/2 of its size, at the smallest of these whose longer side has at
  // least so many pixels, and its shorter one jpeg_short_side. That is faster and other pixels than the reference's;
  // docs/deviations.md says by how much. Engine::ScaledDecoding() knows what a model needs.
  int jpeg_long_side = 0;
  int jpeg_short_side = 0;
};

// JPEG, PNG, WebP or GIF (first frame) to RGB: the pixels that Pillow's
// `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` gives, but for the deviations listed in
// docs/deviations.md. The kind is told by content, not by name; `name` is used in errors.
// Errors: kUnsupported (no known kind), kCorrupt, kLimitExceeded. Thread-safe.
EYESHOT_EXPORT Result<Image> DecodeImage(std::span<const uint8_t> bytes, std::string_view name,
                                         const ImageLimits& limits = ImageLimits());
EYESHOT_EXPORT Result<Image> DecodeImage(std::span<const uint8_t> bytes, std::string_view name,
                                         const DecodeOptions& options);

// DecodeImage of a file's content.
EYESHOT_EXPORT Result<Image> LoadImage(const std::string& path, const ImageLimits& limits = ImageLimits());
EYESHOT_EXPORT Result<Image> LoadImage(const std::string& path, const DecodeOptions& options);

// Which frames of a video are taken.
enum class FrameSampling {
  kUniform,  // the reference's rule: `fps` frames a second, `max_frames` at most, evenly from first to last
  kScene,  // as many, but at the changes of scene first (docs/pictures.md); reads the whole video
};

// Limits on a video, checked before memory is taken for frames.
struct EYESHOT_EXPORT VideoLimits {
  uint64_t max_bytes;  // of the file
  uint64_t max_pixels;  // of a frame
  size_t max_frames;  // of the whole video
  VideoLimits();  // the values of docs/limits.md
};

// Which frames of a video are taken, and how. Engine::VideoDefaults() has a model's own values.
struct EYESHOT_EXPORT VideoOptions {
  double fps = 1;  // frames taken a second
  int max_frames = 64;  // 1 to limits::kMaxFramesPerPrompt
  // Only frames shown in this part, in seconds from the start. The rule of `sampling` then holds for this part alone;
  // times stay those of the whole video.
  double from_s = 0;
  double to_s = std::numeric_limits<double>::infinity();
  FrameSampling sampling = FrameSampling::kUniform;
  VideoLimits limits;
  // Called with each taken frame as soon as it is decoded; what it gives is kept instead, so that no more than one
  // frame of full size is in memory. Empty: frames are kept as they are.
  std::function<Result<Image>(const Image&)> prepare;
  int tile_side = 0;  // with `prepare`: Frames::tile_side
};

enum class MediaKind { kPicture, kVideo };

// Whether bytes, or a file, are a video: MP4, QuickTime, Matroska, WebM, or a GIF of more than one frame. What is
// neither is called a picture: DecodeImage() says what it is instead. Errors of the second: as LoadImage's.
EYESHOT_EXPORT MediaKind DetectMedia(std::span<const uint8_t> bytes);
EYESHOT_EXPORT Result<MediaKind> DetectMedia(const std::string& path);

// Reads frames of an MP4, QuickTime, Matroska, WebM or GIF file. The kind is told by content; no other file and no
// network is ever touched. Pixels, indices and times equal those of the reference's decoder with the same FFmpeg
// libraries (docs/deviations.md). The first call turns FFmpeg's log of this process off, and limits what it allocates.
// Errors: kUnsupported (kind, codec, no video in it), kCorrupt, kLimitExceeded, kInvalidArgument (options).
// Thread-safe.
EYESHOT_EXPORT Result<Frames> LoadVideo(const std::string& path, const VideoOptions& options = VideoOptions());
EYESHOT_EXPORT Result<Frames> DecodeVideo(std::span<const uint8_t> bytes, std::string_view name,
                                          const VideoOptions& options = VideoOptions());

// What a video holds, without decoding a frame.
EYESHOT_EXPORT Result<VideoInfo> InspectVideo(const std::string& path, const VideoLimits& limits = VideoLimits());
EYESHOT_EXPORT Result<VideoInfo> InspectVideo(std::span<const uint8_t> bytes, std::string_view name,
                                              const VideoLimits& limits = VideoLimits());

// Takes pictures as the frames of a video at `fps` frames a second: timestamps i / fps, duration n / fps.
// Errors: no picture, fps not positive, more than limits::kMaxFramesPerPrompt.
EYESHOT_EXPORT Result<Frames> FramesFromImages(std::vector<Image> images, double fps);

}  // namespace eyeshot

#endif  // EYESHOT_MEDIA_H_
