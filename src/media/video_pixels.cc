#include "media/video_pixels.h"

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "media/decoders.h"
#include "media/exif.h"

namespace eyeshot::media {
namespace {

constexpr int kThumbSide = 64;

// A conversion of frames of one kind; when a later frame is of another, a new one is made.
struct Conversion {
  int width = 0, height = 0, format = -1;
  int colorspace = 0, range = 0;
  int out_width = 0, out_height = 0;
  AVPixelFormat out_format = AV_PIX_FMT_NONE;
  bool as_filter = false;

  bool operator==(const Conversion&) const = default;
};

// torchcodec calls swscale itself for widths that are multiples of 32, and FFmpeg's filter "scale" otherwise and for
// turned frames. The filter places the chroma of 4:2:0 between rows, which shows where swscale has no short cut.
SwsContext* NewScaler(const Conversion& conversion) {
  SwsContext* context = sws_alloc_context();
  if (context == nullptr) return nullptr;
  av_opt_set_int(context, "srcw", conversion.width, 0);
  av_opt_set_int(context, "srch", conversion.height, 0);
  av_opt_set_int(context, "src_format", conversion.format, 0);
  av_opt_set_int(context, "dstw", conversion.out_width, 0);
  av_opt_set_int(context, "dsth", conversion.out_height, 0);
  av_opt_set_int(context, "dst_format", conversion.out_format, 0);
  av_opt_set_int(context, "sws_flags", conversion.out_format == AV_PIX_FMT_GRAY8 ? SWS_AREA : SWS_BICUBIC, 0);
  if (conversion.as_filter && conversion.format == AV_PIX_FMT_YUV420P) {
    constexpr int kBetweenRows = 128;
    av_opt_set_int(context, "src_v_chr_pos", kBetweenRows, 0);
  }
  if (sws_init_context(context, nullptr, nullptr) < 0) {
    sws_freeContext(context);
    return nullptr;
  }
  return context;
}

// The matrix and the range that the frame states; BT.601 and limited where it is silent.
void SetColors(SwsContext* context, const Conversion& conversion) {
  int* from = nullptr;
  int* to = nullptr;
  int from_full = 0, to_full = 0, brightness = 0, contrast = 0, saturation = 0;
  if (sws_getColorspaceDetails(context, &from, &from_full, &to, &to_full, &brightness, &contrast, &saturation) < 0) {
    return;
  }
  if (conversion.range != AVCOL_RANGE_UNSPECIFIED) from_full = conversion.range == AVCOL_RANGE_JPEG ? 1 : 0;
  const int* table = sws_getCoefficients(conversion.colorspace);
  sws_setColorspaceDetails(context, table, from_full, table, to_full, brightness, contrast, saturation);
}

Status CheckFrame(const AVFrame& frame, uint64_t max_pixels) {
  const auto width = static_cast<uint64_t>(std::max(frame.width, 0));
  const auto height = static_cast<uint64_t>(std::max(frame.height, 0));
  if (width == 0 || height == 0) {
    return CorruptError(fmt::format("a frame of {} x {} pixels", width, height), "the file is damaged; copy it again");
  }
  if (width * height > max_pixels) {
    return LimitError(
        fmt::format("a frame of {} x {} = {} pixels, the limit is {}", width, height, width * height, max_pixels),
        "scale the video down");
  }
  return Status::Ok();
}

int OrientationOf(int degrees_clockwise) {
  switch (degrees_clockwise) {
    case 90: return 6;
    case 180: return 3;
    case 270: return 8;
    default: return 1;
  }
}

}  // namespace

struct FrameConverter::Scaler {
  Conversion conversion;
  SwsContext* context = nullptr;

  Scaler() = default;
  ~Scaler() { sws_freeContext(context); }
  Scaler(const Scaler&) = delete;
  Scaler& operator=(const Scaler&) = delete;

  // Writes the frame, converted, into rows of `stride` bytes.
  Status Convert(const AVFrame& frame, const Conversion& wanted, uint8_t* out, int stride) {
    if (context == nullptr || !(wanted == conversion)) {
      sws_freeContext(context);
      context = NewScaler(wanted);
      conversion = wanted;
      if (context == nullptr) {
        const char* name = av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame.format));
        return UnsupportedError(fmt::format("frames of the pixel format {}", name == nullptr ? "?" : name),
                                "convert the video to 8-bit 4:2:0");
      }
      SetColors(context, wanted);
    }
    uint8_t* const planes[4] = {out, nullptr, nullptr, nullptr};
    const int strides[4] = {stride, 0, 0, 0};
    const int rows = sws_scale(context, frame.data, frame.linesize, 0, frame.height, planes, strides);
    if (rows == wanted.out_height) return Status::Ok();
    return CorruptError(fmt::format("a frame gives {} of {} rows", rows, wanted.out_height),
                        "the file is damaged; copy it again");
  }
};

FrameConverter::FrameConverter() : color_(std::make_unique<Scaler>()), thumb_(std::make_unique<Scaler>()) {}
FrameConverter::~FrameConverter() = default;

Result<Image> FrameConverter::ToRgb(const AVFrame& frame, int rotation, uint64_t max_pixels) {
  EYESHOT_RETURN_IF_ERROR(CheckFrame(frame, max_pixels));
  Image image = BlackImage(static_cast<uint64_t>(frame.width), static_cast<uint64_t>(frame.height));
  const bool as_filter = frame.width % 32 != 0 || rotation != 0;
  const Conversion conversion{frame.width, frame.height, frame.format,     frame.colorspace, frame.color_range,
                              frame.width, frame.height, AV_PIX_FMT_RGB24, as_filter};
  // swscale may write some bytes behind a row: rows with room, copied after.
  constexpr int kRoom = 64;
  const int row = frame.width * 3;
  const int stride = (row + kRoom - 1) / kRoom * kRoom + kRoom;
  std::vector<uint8_t> padded(static_cast<size_t>(stride) * static_cast<size_t>(frame.height));
  EYESHOT_RETURN_IF_ERROR(color_->Convert(frame, conversion, padded.data(), stride));
  for (int y = 0; y < frame.height; ++y) {
    std::memcpy(image.rgb.data() + static_cast<size_t>(y) * static_cast<size_t>(row),
                padded.data() + static_cast<size_t>(y) * static_cast<size_t>(stride), static_cast<size_t>(row));
  }
  return Orient(std::move(image), OrientationOf(rotation));
}

Result<Histogram> FrameConverter::Brightness(const AVFrame& frame, uint64_t max_pixels) {
  EYESHOT_RETURN_IF_ERROR(CheckFrame(frame, max_pixels));
  const Conversion conversion{frame.width,      frame.height,      frame.format,
                              frame.colorspace, frame.color_range, kThumbSide,
                              kThumbSide,       AV_PIX_FMT_GRAY8,  false};
  std::array<uint8_t, size_t{kThumbSide} * kThumbSide> thumb{};
  EYESHOT_RETURN_IF_ERROR(thumb_->Convert(frame, conversion, thumb.data(), kThumbSide));
  Histogram histogram{};
  for (const uint8_t level : thumb) histogram[level * kHistogramBins / 256] += 1.0f / static_cast<float>(thumb.size());
  return histogram;
}

float HistogramDifference(const Histogram& a, const Histogram& b) {
  float sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / 2;
}

}  // namespace eyeshot::media
