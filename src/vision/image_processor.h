// From a picture to the tiles that a vision tower reads: resize, split, global view.
#ifndef EYESHOT_VISION_IMAGE_PROCESSOR_H_
#define EYESHOT_VISION_IMAGE_PROCESSOR_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/large_array.h"
#include "base/threads.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"
#include "formats/processor_config.h"
#include "vision/resample.h"

namespace eyeshot {

// How one picture is cut.
struct TileGrid {
  int width = 0, height = 0;                  // of the source
  int rows = 0, cols = 0;                     // of tiles; 0 x 0: unsplit, one tile that is the whole picture
  int resized_width = 0, resized_height = 0;  // before the cut; of an unsplit picture, before it becomes a square

  // All tiles, the global view included.
  int tiles() const { return rows * cols + 1; }
};

// What tiles are of; the reference normalizes the two a little differently.
enum class TileKind { kPicture, kFrame };

// The tiles of one or more pictures or frames, one after the other: for each its rows * cols tiles, row by
// row, and its global view last.
struct Tiles {
  int side = 0;                 // M, pixels
  LargeArray<uint8_t> rgb;      // [count, side, side, 3], before normalization
  std::vector<TileGrid> grids;  // one a picture or frame, in order

  int64_t count() const;
};

// What a picture is cut by.
struct TileBudget {
  int longest_edge = 0;  // pixels of the longer side after the first resize
  bool split = true;     // false: one view

  bool operator==(const TileBudget&) const = default;
};

// Does what the Pillow image processor of Idefics3 and SmolVLM does, tile for tile to the byte, and to
// video frames what their video processor does with torch on a CPU (docs/pictures.md, docs/deviations.md).
class ImageProcessor {
 public:
  // Errors: kUnsupported (another filter, do_resize = false), kLimitExceeded (edges, tiles a picture),
  // kInvalidArgument (edges, deviations or factors that can't be).
  static Result<ImageProcessor> Create(const ImageProcessorConfig& config);

  // Whether the reference cuts this model's pictures into tiles.
  bool splits() const { return config_.do_image_splitting; }
  // The reference's own budget, with or without tiles.
  TileBudget Budget(bool split) const { return {config_.longest_edge, split}; }
  // The budget of a picture. Error: kInvalidArgument (so many tiles a side make too large a picture).
  Result<TileBudget> Budget(const Image& image, const PictureDetail& detail) const;
  // One tile a side less; nullopt: it is one view already.
  std::optional<TileBudget> Smaller(const TileBudget& budget) const;

  // The grid of a picture of that size: arithmetic only. REQUIRES: both sides at least 1.
  TileGrid Plan(int width, int height, const TileBudget& budget) const;
  TileGrid Plan(int width, int height, bool split) const { return Plan(width, height, Budget(split)); }
  // That of a picture: by the size in its file, whatever it was decoded at.
  TileGrid Plan(const Image& image, const TileBudget& budget) const;
  TileGrid Plan(const Image& image, bool split) const { return Plan(image, Budget(split)); }

  // How small a JPEG may be decoded: no resize to come then enlarges what would have been a reduction.
  DecodeOptions ScaledDecoding(const PictureDetail& detail) const;

  // Adds the tiles of a picture. `tiles` holds only tiles of this processor, or none.
  // Errors: kInvalidArgument (an empty picture, or one larger than its full size), kLimitExceeded (a side, or the ratio
  // of the sides).
  Status Append(const Image& image, const TileBudget& budget, ThreadPool& pool, Tiles& tiles) const;
  Status Append(const Image& image, bool split, ThreadPool& pool, Tiles& tiles) const {
    return Append(image, Budget(split), pool, tiles);
  }

  // Adds a video frame: one tile, resized first to the longest edge for videos, then to M x M.
  Status AppendFrame(const Image& image, ThreadPool& pool, Tiles& tiles) const;
  // The tile of a video frame as a picture of M x M pixels, and adding such a one as it is.
  Result<Image> FrameTile(const Image& image, ThreadPool& pool) const;
  Status AppendFrameTile(const Image& tile, Tiles& tiles) const;

  // How videos are sampled for this model: its rate and most frames, and frames turned into tiles as they come, with
  // `threads` threads (0: all cores). What is given holds no reference to this object, and may be used by several
  // threads.
  VideoOptions VideoDefaults(int threads) const;

  // What byte b of channel c is after rescaling and normalization: value [c][b]. Of pictures as the Pillow processor
  // computes it: the product with the rescale factor in double, the rest in float32. Of frames as the torch video
  // processor does: the rescale factor is taken into mean and deviation, all in float32.
  using Normalization = std::array<std::array<float, 256>, 3>;
  Normalization NormalizationTable() const;
  Normalization FrameNormalizationTable() const;

 private:
  ImageProcessor(const ImageProcessorConfig& config, ResampleFilter filter) : config_(config), filter_(filter) {}

  ImageProcessorConfig config_;
  ResampleFilter filter_;
};

}  // namespace eyeshot

#endif  // EYESHOT_VISION_IMAGE_PROCESSOR_H_
