#include "vision/resample.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "vision/resample_rows.h"
#include "vision/resample_weights.h"

namespace eyeshot {
namespace {

// Output rows that one task makes. The rows around a band are resampled across twice: with 64 rows of
// Lanczos that is a tenth. Their intermediate stays in L2.
constexpr int kBandRows = 64;
// Rows that are resampled across together.
constexpr size_t kAcrossRows = 4;

// One resize. A pass whose size does not change is left out, as the references do.
class Resizer {
 public:
  Resizer(const RgbView& source, int width, int height, ResampleFilter filter, ResampleArithmetic arithmetic)
      : source_(source), width_(static_cast<size_t>(width)), height_(static_cast<size_t>(height)) {
    if (source.width != width) {
      across_ = ComputeWeights(source.width, width, filter, arithmetic);
      weights4_.reserve(across_.weights.size() * 4);
      for (const int32_t weight : across_.weights) weights4_.insert(weights4_.end(), 4, weight);
    }
    if (source.height != height) down_ = ComputeWeights(source.height, height, filter, arithmetic);
    down_first_ =
        arithmetic == ResampleArithmetic::kPillow13 && needs_across() && needs_down() && Pillow13GoesDownFirst();
  }

  void Run(ThreadPool& pool, uint8_t* out) {
    const size_t bands = (height_ + kBandRows - 1) / kBandRows;
    std::vector<Scratch> scratches(static_cast<size_t>(pool.threads()));
    pool.Run(bands, [&](size_t band, size_t thread) {
      MakeBand(band * kBandRows, std::min<size_t>((band + 1) * kBandRows, height_), scratches[thread], out);
    });
  }

 private:
  // What a thread needs besides input and output; grows to what its largest band takes.
  struct Scratch {
    std::vector<uint8_t> rgbx;   // [kAcrossRows] source rows, spread to 4 bytes a pixel
    std::vector<uint8_t> lines;  // [rows, width, 3] after the pass across
  };

  bool needs_across() const { return !across_.first.empty(); }
  bool needs_down() const { return !down_.first.empty(); }
  size_t out_stride() const { return width_ * 3; }
  size_t source_stride() const { return static_cast<size_t>(source_.width) * 3; }
  const uint8_t* source_row(size_t y) const { return source_.data + y * source_stride(); }

  // Since version 13 Pillow makes the pass down first where the height shrinks by more than twice the pixels by
  // which the width does (less work); the rounding between the passes makes this visible.
  bool Pillow13GoesDownFirst() const {
    const int64_t narrower = int64_t{source_.width} - static_cast<int64_t>(width_);
    const int64_t lower = int64_t{source_.height} - static_cast<int64_t>(height_);
    return lower > 0 && lower > 2 * narrower;
  }

  // Output rows [top, bottom).
  void MakeBand(size_t top, size_t bottom, Scratch& scratch, uint8_t* out) const {
    if (!needs_down()) return MakeAcross(top, bottom, scratch, out + top * out_stride());
    if (down_first_) return MakeDownThenAcross(top, bottom, scratch, out);
    const auto first = static_cast<size_t>(down_.first[top]);
    const uint8_t* lines = source_row(first);
    if (needs_across()) {
      const auto end = static_cast<size_t>(down_.first[bottom - 1]) + static_cast<size_t>(down_.count[bottom - 1]);
      scratch.lines.resize(std::max(scratch.lines.size(), (end - first) * out_stride()));
      MakeAcross(first, end, scratch, scratch.lines.data());
      lines = scratch.lines.data();
    }
    for (size_t y = top; y < bottom; ++y) {
      const size_t from = static_cast<size_t>(down_.first[y]) - first;
      MakeDown(lines + from * out_stride(), out_stride(), y, out + y * out_stride());
    }
  }

  void MakeDownThenAcross(size_t top, size_t bottom, Scratch& scratch, uint8_t* out) const {
    scratch.lines.resize(source_stride());
    for (size_t y = top; y < bottom; ++y) {
      MakeDown(source_row(static_cast<size_t>(down_.first[y])), source_stride(), y, scratch.lines.data());
      MakeRowsAcross(scratch.lines.data(), 1, scratch, out + y * out_stride());
    }
  }

  // Output row y from its window of lines of `stride` bytes.
  void MakeDown(const uint8_t* lines, size_t stride, size_t y, uint8_t* out) const {
    ResampleDown(lines, stride, &down_.weights[y * static_cast<size_t>(down_.stride)],
                 static_cast<size_t>(down_.count[y]), down_.precision, stride, out);
  }

  // `rows` neighbouring rows of the source's width, at most kAcrossRows, to out: [rows, width, 3].
  void MakeRowsAcross(const uint8_t* from, size_t rows, Scratch& scratch, uint8_t* out) const {
    const auto source_width = static_cast<size_t>(source_.width);
    const size_t stride = (source_width + kSparePixels) * 4;
    scratch.rgbx.resize(stride * kAcrossRows);
    for (size_t y = 0; y < rows; ++y) {
      SpreadRow(from + y * source_stride(), source_width, scratch.rgbx.data() + y * stride);
    }
    const AcrossPlan plan{.width = width_,
                          .first = across_.first.data(),
                          .count = across_.count.data(),
                          .weights4 = weights4_.data(),
                          .stride = static_cast<size_t>(across_.stride),
                          .precision = across_.precision};
    ResampleAcross(plan, scratch.rgbx.data(), stride, rows, out, out_stride());
  }

  // Source rows [top, bottom), as wide as the output, to out: [bottom - top, width, 3].
  void MakeAcross(size_t top, size_t bottom, Scratch& scratch, uint8_t* out) const {
    if (!needs_across()) {
      std::memcpy(out, source_row(top), (bottom - top) * out_stride());
      return;
    }
    for (size_t y = top; y < bottom; y += kAcrossRows) {
      MakeRowsAcross(source_row(y), std::min(kAcrossRows, bottom - y), scratch, out + (y - top) * out_stride());
    }
  }

  RgbView source_;
  size_t width_, height_;
  ResampleWeights across_, down_;  // empty if that size does not change
  bool down_first_ = false;
  std::vector<int32_t> weights4_;  // across_.weights, each four times: one a channel
};

}  // namespace

void Resize(const RgbView& source, int width, int height, ResampleFilter filter, ResampleArithmetic arithmetic,
            ThreadPool& pool, uint8_t* out) {
  EYESHOT_CHECK(source.width >= 1 && source.height >= 1 && width >= 1 && height >= 1);
  Resizer(source, width, height, filter, arithmetic).Run(pool, out);
}

}  // namespace eyeshot
