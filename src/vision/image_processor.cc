#include "vision/image_processor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

struct Size {
  int width, height;
};

int RoundUp(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

int AtLeastOneAndEven(int side) { return std::max(side + side % 2, 1); }

// Step A: the longer side becomes `longest`, the other keeps the aspect ratio, made even. The two divisions are
// each rounded to double, which is not the exact quotient's floor: 128 x 93 gives 1487 for 2048, not 1488.
// The reference's cap of the longer side at 4,096 is not needed: Create() refuses such settings.
Size FitLongestEdge(int width, int height, int longest) {
  const double aspect = static_cast<double>(width) / height;
  if (width >= height) return {longest, AtLeastOneAndEven(static_cast<int>(longest / aspect))};
  return {AtLeastOneAndEven(static_cast<int>(longest * aspect)), longest};
}

// Step B: both sides become multiples of `side`, the longer one rounded up, the other from the aspect ratio of
// the longer one rounded up.
Size FitTiles(Size size, int side) {
  const double aspect = static_cast<double>(size.width) / size.height;
  if (size.width >= size.height) {
    const int width = RoundUp(size.width, side);
    return {width, RoundUp(std::max(static_cast<int>(width / aspect), 1), side)};
  }
  const int height = RoundUp(size.height, side);
  return {RoundUp(std::max(static_cast<int>(height * aspect), 1), side), height};
}

Result<ResampleFilter> FilterOf(int resample) {
  switch (resample) {
    case 1: return ResampleFilter::kLanczos;
    case 2: return ResampleFilter::kBilinear;
    case 3: return ResampleFilter::kBicubic;
    default:
      return UnsupportedError(fmt::format("preprocessor_config.json: resample = {}", resample),
                              "use 1 (Lanczos), 2 (bilinear) or 3 (bicubic)");
  }
}

Status CheckEdge(const char* key, int edge, int64_t limit) {
  if (edge < 1) {
    return InvalidArgumentError(fmt::format("preprocessor_config.json: {} = {}", key, edge),
                                "give a positive number of pixels");
  }
  if (edge > limit) {
    return LimitError(fmt::format("preprocessor_config.json: {} = {}, the limit is {}", key, edge, limit),
                      "use a model made for smaller pictures");
  }
  return Status::Ok();
}

Status CheckNormalization(const ImageProcessorConfig& config) {
  const auto finite = [](double value) { return std::isfinite(value); };
  const bool good =
      finite(config.rescale_factor) && std::all_of(config.mean.begin(), config.mean.end(), finite) &&
      std::all_of(config.std.begin(), config.std.end(), [](double value) { return std::isfinite(value) && value > 0; });
  if (good) return Status::Ok();
  return InvalidArgumentError(
      fmt::format("preprocessor_config.json: rescale_factor = {}, image_mean = {}, {}, {}, image_std = {}, {}, {}",
                  config.rescale_factor, config.mean[0], config.mean[1], config.mean[2], config.std[0], config.std[1],
                  config.std[2]),
      "give finite numbers, and image_std above 0");
}

// The size that a picture is cut by. CheckPicture() refuses a full size that is not at least the picture's own.
Size FullSize(const Image& image) {
  const bool decoded_smaller = image.full_width >= image.width && image.full_height >= image.height;
  return decoded_smaller ? Size{image.full_width, image.full_height} : Size{image.width, image.height};
}

Status CheckPicture(const Image& image) {
  if (image.width < 1 || image.height < 1 ||
      image.rgb.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3) {
    return InvalidArgumentError(
        fmt::format("a picture of {} x {} pixels with {} bytes of RGB", image.width, image.height, image.rgb.size()),
        "give width * height * 3 bytes, and sides of at least 1");
  }
  const Size full = FullSize(image);
  if ((image.full_width != 0 || image.full_height != 0) &&
      (full.width != image.full_width || full.height != image.full_height)) {
    return InvalidArgumentError(fmt::format("a picture of {} x {} pixels with a full size of {} x {}", image.width,
                                            image.height, image.full_width, image.full_height),
                                "give a full size of at least the picture's own, or 0 x 0");
  }
  const auto longer = static_cast<uint32_t>(std::max(full.width, full.height));
  const auto shorter = static_cast<uint32_t>(std::min(full.width, full.height));
  if (longer > limits::kMaxImageSide) {
    return LimitError(fmt::format("a picture of {} x {} pixels, the limit for a side is {}", full.width, full.height,
                                  limits::kMaxImageSide),
                      "scale the picture down");
  }
  if (longer / shorter > limits::kMaxAspectRatio) {
    return LimitError(fmt::format("a picture of {} x {} pixels, the limit for the ratio of the sides is {}", full.width,
                                  full.height, limits::kMaxAspectRatio),
                      "cut the picture");
  }
  return Status::Ok();
}

// A picture between two steps.
struct Resized {
  Size size{};
  LargeArray<uint8_t> rgb;  // [height, width, 3]

  RgbView view() const { return {rgb.data(), size.width, size.height}; }
};

// Resizes pictures with one filter, arithmetic and pool.
class Scaler {
 public:
  Scaler(ResampleFilter filter, ResampleArithmetic arithmetic, ThreadPool& pool)
      : filter_(filter), arithmetic_(arithmetic), pool_(pool) {}

  void Into(const RgbView& source, Size size, uint8_t* out) const {
    Resize(source, size.width, size.height, filter_, arithmetic_, pool_, out);
  }

  Resized Scale(const RgbView& source, Size size) const {
    Resized out{size, {}};
    out.rgb.resize(static_cast<size_t>(size.width) * static_cast<size_t>(size.height) * 3);
    Into(source, size, out.rgb.data());
    return out;
  }

 private:
  ResampleFilter filter_;
  ResampleArithmetic arithmetic_;
  ThreadPool& pool_;
};

RgbView ViewOf(const Image& image) { return {image.rgb.data(), image.width, image.height}; }

// Copies tile (row, col) of a picture cut into squares to out: [side, side, 3].
void CopyTile(const RgbView& image, int row, int col, int side, uint8_t* out) {
  const size_t stride = static_cast<size_t>(image.width) * 3, bytes = static_cast<size_t>(side) * 3;
  const uint8_t* from = image.data + static_cast<size_t>(row * side) * stride + static_cast<size_t>(col) * bytes;
  for (int y = 0; y < side; ++y)
    std::memcpy(out + static_cast<size_t>(y) * bytes, from + static_cast<size_t>(y) * stride, bytes);
}

size_t TileBytes(int side) { return static_cast<size_t>(side) * static_cast<size_t>(side) * 3; }

// Makes room for the tiles of `grid` and gives their place.
uint8_t* Extend(const TileGrid& grid, int side, Tiles& tiles) {
  EYESHOT_CHECK(tiles.side == side || tiles.grids.empty());
  tiles.side = side;
  tiles.grids.push_back(grid);
  const size_t before = tiles.rgb.size();
  tiles.rgb.resize(before + static_cast<size_t>(grid.tiles()) * TileBytes(side));
  return tiles.rgb.data() + before;
}

}  // namespace

int64_t Tiles::count() const {
  int64_t count = 0;
  for (const TileGrid& grid : grids) count += grid.tiles();
  return count;
}

Result<ImageProcessor> ImageProcessor::Create(const ImageProcessorConfig& config) {
  if (!config.do_resize) {
    return UnsupportedError("preprocessor_config.json: do_resize = false", "set it to true: tiles have a fixed size");
  }
  EYESHOT_ASSIGN_OR_RETURN(const ResampleFilter filter, FilterOf(config.resample));
  EYESHOT_RETURN_IF_ERROR(CheckEdge("size.longest_edge", config.longest_edge, limits::kMaxLongestEdge));
  EYESHOT_RETURN_IF_ERROR(CheckEdge("max_image_size.longest_edge", config.max_image_edge, limits::kMaxTileSide));
  if (config.video_longest_edge != 0) {
    EYESHOT_RETURN_IF_ERROR(CheckEdge("video_size.longest_edge", config.video_longest_edge, limits::kMaxLongestEdge));
  }
  const int64_t tiles_a_side = RoundUp(config.longest_edge, config.max_image_edge) / config.max_image_edge;
  if (tiles_a_side * tiles_a_side + 1 > static_cast<int64_t>(limits::kMaxTilesPerImage)) {
    return LimitError(fmt::format("preprocessor_config.json: size.longest_edge = {} with max_image_size.longest_edge = "
                                  "{} makes up to {} tiles, the limit is {}",
                                  config.longest_edge, config.max_image_edge, tiles_a_side * tiles_a_side + 1,
                                  limits::kMaxTilesPerImage),
                      "use a smaller size or larger tiles");
  }
  EYESHOT_RETURN_IF_ERROR(CheckNormalization(config));
  return ImageProcessor(config, filter);
}

Result<TileBudget> ImageProcessor::Budget(const Image& image, const PictureDetail& detail) const {
  const int side = config_.max_image_edge;
  switch (detail.kind) {
    case PictureDetail::Kind::kReference: return Budget(config_.do_image_splitting);
    case PictureDetail::Kind::kLow: return Budget(false);
    case PictureDetail::Kind::kAuto: {
      const Size full = FullSize(image);
      const int filled = RoundUp(std::max({full.width, full.height, 1}), side);
      return TileBudget{std::min(filled, config_.longest_edge), config_.do_image_splitting};
    }
    case PictureDetail::Kind::kTiles: break;
  }
  const int64_t longest = int64_t{detail.tiles} * side;
  if (longest <= limits::kMaxLongestEdge) return TileBudget{static_cast<int>(longest), true};
  return InvalidArgumentError(fmt::format("{} tiles of {} pixels a side are {} pixels, the limit is {}", detail.tiles,
                                          side, longest, limits::kMaxLongestEdge),
                              fmt::format("use at most {}", limits::kMaxLongestEdge / side));
}

std::optional<TileBudget> ImageProcessor::Smaller(const TileBudget& budget) const {
  const int side = config_.max_image_edge;
  const int tiles = RoundUp(budget.longest_edge, side) / side;
  if (!budget.split || tiles <= 1) return std::nullopt;
  return TileBudget{(tiles - 1) * side, true};
}

TileGrid ImageProcessor::Plan(int width, int height, const TileBudget& budget) const {
  EYESHOT_CHECK(width >= 1 && height >= 1);
  const int side = config_.max_image_edge;
  TileGrid grid{width, height};
  Size size = FitLongestEdge(width, height, budget.longest_edge);
  if (budget.split) {
    size = FitTiles(size, side);
    if (size.width > side || size.height > side) {
      grid.rows = size.height / side;
      grid.cols = size.width / side;
    }
  }
  grid.resized_width = size.width;
  grid.resized_height = size.height;
  return grid;
}

TileGrid ImageProcessor::Plan(const Image& image, const TileBudget& budget) const {
  const Size full = FullSize(image);
  return Plan(full.width, full.height, budget);
}

DecodeOptions ImageProcessor::ScaledDecoding(const PictureDetail& detail) const {
  DecodeOptions options;
  // Tiles are cut from a picture of that longer side. One view is a square: both sides matter.
  const bool one_view = detail.kind == PictureDetail::Kind::kLow ||
                        (detail.kind == PictureDetail::Kind::kReference && !config_.do_image_splitting);
  const bool by_tiles = detail.kind == PictureDetail::Kind::kTiles;
  options.jpeg_long_side = one_view   ? config_.max_image_edge
                           : by_tiles ? detail.tiles * config_.max_image_edge
                                      : config_.longest_edge;
  options.jpeg_short_side = one_view ? config_.max_image_edge : 0;
  return options;
}

Status ImageProcessor::Append(const Image& image, const TileBudget& budget, ThreadPool& pool, Tiles& tiles) const {
  EYESHOT_RETURN_IF_ERROR(CheckPicture(image));
  const int side = config_.max_image_edge;
  const Size full = FullSize(image);
  const TileGrid grid = Plan(image, budget);
  const Scaler scaler(filter_, config_.pillow13_order ? ResampleArithmetic::kPillow13 : ResampleArithmetic::kPillow,
                      pool);
  Resized resized = scaler.Scale(ViewOf(image), FitLongestEdge(full.width, full.height, budget.longest_edge));
  if (budget.split && (resized.size.width != grid.resized_width || resized.size.height != grid.resized_height)) {
    resized = scaler.Scale(resized.view(), {grid.resized_width, grid.resized_height});
  }

  uint8_t* const out = Extend(grid, side, tiles);
  const auto cut = static_cast<size_t>(grid.rows) * static_cast<size_t>(grid.cols);
  pool.Run(cut, [&](size_t tile, size_t) {
    const int index = static_cast<int>(tile);
    CopyTile(resized.view(), index / grid.cols, index % grid.cols, side, out + tile * TileBytes(side));
  });
  scaler.Into(resized.view(), {side, side}, out + cut * TileBytes(side));
  return Status::Ok();
}

Status ImageProcessor::AppendFrame(const Image& image, ThreadPool& pool, Tiles& tiles) const {
  EYESHOT_ASSIGN_OR_RETURN(const Image tile, FrameTile(image, pool));
  return AppendFrameTile(tile, tiles);
}

Result<Image> ImageProcessor::FrameTile(const Image& image, ThreadPool& pool) const {
  EYESHOT_RETURN_IF_ERROR(CheckPicture(image));
  const int side = config_.max_image_edge;
  const int longest = config_.video_longest_edge != 0 ? config_.video_longest_edge : config_.longest_edge;
  const Size full = FullSize(image);
  const Scaler scaler(filter_, ResampleArithmetic::kTorch, pool);
  const Resized resized = scaler.Scale(ViewOf(image), FitLongestEdge(full.width, full.height, longest));
  Image tile{side, side, std::vector<uint8_t>(TileBytes(side)), 0, 0};
  scaler.Into(resized.view(), {side, side}, tile.rgb.data());
  return tile;
}

Status ImageProcessor::AppendFrameTile(const Image& tile, Tiles& tiles) const {
  const int side = config_.max_image_edge;
  if (tile.width != side || tile.height != side || tile.rgb.size() != TileBytes(side)) {
    return InvalidArgumentError(
        fmt::format("a frame of {} x {} pixels was made for another model: tiles have {} pixels a side here",
                    tile.width, tile.height, side),
        "load the video again with this model's options");
  }
  std::memcpy(Extend({side, side, 0, 0, side, side}, side, tiles), tile.rgb.data(), tile.rgb.size());
  return Status::Ok();
}

VideoOptions ImageProcessor::VideoDefaults(int threads) const {
  struct Shared {
    Shared(const ImageProcessor& from, int threads) : processor(from), pool(threads) {}
    ImageProcessor processor;
    ThreadPool pool;
    std::mutex turn;
  };
  VideoOptions options;
  if (config_.has_video()) {
    options.fps = config_.video_fps;
    options.max_frames = config_.video_max_frames;
  }
  options.tile_side = config_.max_image_edge;
  options.prepare = [shared = std::make_shared<Shared>(*this, threads)](const Image& image) {
    const std::lock_guard<std::mutex> turn(shared->turn);
    return shared->processor.FrameTile(image, shared->pool);
  };
  return options;
}

ImageProcessor::Normalization ImageProcessor::FrameNormalizationTable() const {
  Normalization table = NormalizationTable();
  if (!config_.do_rescale || !config_.do_normalize) return table;
  const auto inverse = static_cast<float>(1.0 / config_.rescale_factor);
  for (size_t c = 0; c < 3; ++c) {
    const float mean = config_.mean[c] * inverse;
    const float deviation = config_.std[c] * inverse;
    for (size_t byte = 0; byte < 256; ++byte) table[c][byte] = (static_cast<float>(byte) - mean) / deviation;
  }
  return table;
}

ImageProcessor::Normalization ImageProcessor::NormalizationTable() const {
  Normalization table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const double factor = config_.do_rescale ? config_.rescale_factor : 1.0;
      const auto value = static_cast<float>(static_cast<double>(byte) * factor);
      table[c][byte] = config_.do_normalize ? (value - config_.mean[c]) / config_.std[c] : value;
    }
  }
  return table;
}

}  // namespace eyeshot
