// WebP by libwebp: lossy, lossless, with alpha; the first frame of an animation.
//
// The container (RIFF) is walked here, which gives the animation's first frame, its place on the canvas,
// and the EXIF and XMP chunks without a second library.
#include <webp/decode.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "media/decoders.h"
#include "media/exif.h"

namespace eyeshot::media {
namespace {

using Bytes = std::span<const uint8_t>;

constexpr size_t kRiffHeader = 12;   // "RIFF", length, "WEBP"
constexpr size_t kChunkHeader = 8;   // name, length
constexpr size_t kFrameHeader = 16;  // of an ANMF chunk: x, y, width - 1, height - 1, duration (3 bytes each), flags

Status Damaged(std::string found) {
  return CorruptError(std::move(found), "the file is damaged; save or download it again");
}

uint32_t Little24(Bytes bytes, size_t at) {
  return uint32_t{bytes[at]} | uint32_t{bytes[at + 1]} << 8 | uint32_t{bytes[at + 2]} << 16;
}
uint32_t Little32(Bytes bytes, size_t at) { return Little24(bytes, at) | uint32_t{bytes[at + 3]} << 24; }

struct Chunk {
  std::string_view name;
  Bytes data;
};

// The whole chunks of a file, in order; stops at one that is cut off.
std::vector<Chunk> Chunks(Bytes file) {
  std::vector<Chunk> chunks;
  for (size_t at = kRiffHeader; at + kChunkHeader <= file.size();) {
    const size_t length = Little32(file, at + 4);
    const size_t data = at + kChunkHeader;
    if (length > file.size() - data) break;
    chunks.push_back({{reinterpret_cast<const char*>(&file[at]), 4}, file.subspan(data, length)});
    at = data + length + length % 2;  // padded to an even length
  }
  return chunks;
}

const Chunk* Find(const std::vector<Chunk>& chunks, std::string_view name) {
  const auto found = std::find_if(chunks.begin(), chunks.end(), [&](const Chunk& c) { return c.name == name; });
  return found == chunks.end() ? nullptr : &*found;
}

// The picture to decode and its place: a still picture fills its canvas.
struct FirstFrame {
  Bytes data;  // a file, or the chunks of a frame, both of which libwebp reads
  uint32_t canvas_width = 0, canvas_height = 0;
  uint32_t x = 0, y = 0, width = 0, height = 0;
};

Result<FirstFrame> StillPicture(Bytes file) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(file.data(), file.size(), &features);
  if (code != VP8_STATUS_OK) return Damaged(fmt::format("not a readable WebP (libwebp's status {})", int{code}));
  const auto width = static_cast<uint32_t>(features.width), height = static_cast<uint32_t>(features.height);
  return FirstFrame{file, width, height, 0, 0, width, height};
}

Result<FirstFrame> AnimationFrame(const Chunk& canvas, const std::vector<Chunk>& chunks) {
  const Chunk* frame = Find(chunks, "ANMF");
  if (frame == nullptr || frame->data.size() < kFrameHeader) {
    return Damaged("an animated WebP without a complete first frame");
  }
  FirstFrame first;
  first.data = frame->data.subspan(kFrameHeader);
  first.canvas_width = Little24(canvas.data, 4) + 1;
  first.canvas_height = Little24(canvas.data, 7) + 1;
  first.x = Little24(frame->data, 0) * 2;
  first.y = Little24(frame->data, 3) * 2;
  first.width = Little24(frame->data, 6) + 1;
  first.height = Little24(frame->data, 9) + 1;
  if (uint64_t{first.x} + first.width > first.canvas_width || uint64_t{first.y} + first.height > first.canvas_height) {
    return Damaged(fmt::format("a frame of {} x {} pixels at ({}, {}) on a canvas of {} x {}", first.width,
                               first.height, first.x, first.y, first.canvas_width, first.canvas_height));
  }
  return first;
}

Result<FirstFrame> FindFirstFrame(Bytes file, const std::vector<Chunk>& chunks) {
  constexpr uint8_t kAnimated = 0x02;
  const Chunk* canvas = Find(chunks, "VP8X");
  const bool animated = canvas != nullptr && canvas->data.size() >= 10 && (canvas->data[0] & kAnimated) != 0;
  return animated ? AnimationFrame(*canvas, chunks) : StillPicture(file);
}

// Alpha is dropped by not asking for it. Around a smaller first frame an animation is transparent black.
Result<Image> DecodeFrame(const FirstFrame& frame) {
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(frame.data.data(), frame.data.size(), &features);
  if (code != VP8_STATUS_OK || static_cast<uint32_t>(features.width) != frame.width ||
      static_cast<uint32_t>(features.height) != frame.height) {
    return Damaged("the first frame's size contradicts its data");
  }
  Image image = BlackImage(frame.canvas_width, frame.canvas_height);
  const size_t stride = size_t{frame.canvas_width} * 3;
  uint8_t* out = &image.rgb[frame.y * stride + size_t{frame.x} * 3];
  const size_t available = image.rgb.size() - (frame.y * stride + size_t{frame.x} * 3);
  if (WebPDecodeRGBInto(frame.data.data(), frame.data.size(), out, available, static_cast<int>(stride)) == nullptr) {
    return Damaged("WebP data is damaged or ends too early");
  }
  return image;
}

int Orientation(const std::vector<Chunk>& chunks) {
  const Chunk* exif = Find(chunks, "EXIF");
  const Chunk* xmp = Find(chunks, "XMP ");
  return ChooseOrientation(
      exif == nullptr ? 0 : ExifOrientation(exif->data),
      xmp == nullptr ? 0 : XmpOrientation({reinterpret_cast<const char*>(xmp->data.data()), xmp->data.size()}));
}

}  // namespace

Result<Decoded> DecodeWebp(Bytes bytes, const ImageLimits& limits) {
  const std::vector<Chunk> chunks = Chunks(bytes);
  EYESHOT_ASSIGN_OR_RETURN(const FirstFrame frame, FindFirstFrame(bytes, chunks));
  EYESHOT_RETURN_IF_ERROR(CheckSize(frame.canvas_width, frame.canvas_height, limits));
  EYESHOT_ASSIGN_OR_RETURN(Image image, DecodeFrame(frame));
  return Decoded{std::move(image), Orientation(chunks)};
}

}  // namespace eyeshot::media
