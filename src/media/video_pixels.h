// From a decoder's frame to RGB.
#ifndef EYESHOT_MEDIA_VIDEO_PIXELS_H_
#define EYESHOT_MEDIA_VIDEO_PIXELS_H_

#include <array>
#include <memory>

#include "eyeshot/media.h"

struct AVFrame;
struct SwsContext;

namespace eyeshot::media {

// Bins of a histogram of brightness.
inline constexpr int kHistogramBins = 64;
using Histogram = std::array<float, kHistogramBins>;  // shares; sum 1

// Converts the frames of one video; keeps what the last frame needed for the next one.
class FrameConverter {
 public:
  FrameConverter();
  ~FrameConverter();
  FrameConverter(const FrameConverter&) = delete;
  FrameConverter& operator=(const FrameConverter&) = delete;

  // The frame in RGB, turned clockwise by `rotation` degrees (0, 90, 180, 270): the bytes that torchcodec gives.
  // Errors: kUnsupported (a pixel format without a conversion), kLimitExceeded (more than `max_pixels`), kOutOfMemory.
  Result<Image> ToRgb(const AVFrame& frame, int rotation, uint64_t max_pixels);

  // Brightness of the frame, shrunk to kThumbSide x kThumbSide pixels. Errors: as above.
  Result<Histogram> Brightness(const AVFrame& frame, uint64_t max_pixels);

 private:
  struct Scaler;

  std::unique_ptr<Scaler> color_;
  std::unique_ptr<Scaler> thumb_;
};

// Half of the sum of differences: 0 for equal histograms, 1 for those that share nothing.
float HistogramDifference(const Histogram& a, const Histogram& b);

}  // namespace eyeshot::media

#endif  // EYESHOT_MEDIA_VIDEO_PIXELS_H_
