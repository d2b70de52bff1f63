#include "energy/simulator/pictures.h"

#include <algorithm>
#include <cmath>

namespace eyeshot::simulator {
namespace {

// LLaVA-OneVision: 384 pixels a tile, at most 6 along a side; visual tokens of more than 9 tiles are interpolated to as
// many as 9 have. Only a picture that stands alone is cut.
constexpr double kAnyresTile = 384;
constexpr double kAnyresMostSide = 6;
constexpr double kAnyresMostTokenTiles = 9;

// InternVL: 448 pixels a tile, at most 12 tiles, of which a square picture fills 3 x 3.
constexpr double kDynamicTile = 448;
constexpr double kDynamicMostSide = 3;

// Qwen2.5-VL: patches of 14 pixels, four to a token; the last layers of each eight attend to all patches, the others
// within windows of 64.
constexpr double kNativePatch = 14;
constexpr double kNativeMerge = 2;
constexpr double kNativeWindow = 64;
constexpr double kNativeFullShare = 1.0 / 8;

struct Tiles {
  double encoded = 0;
  double shown = 0;  // whose visual tokens the decoder gets
};

Tiles AnyresTiles(double side, int pictures) {
  if (pictures > 1) return {1, 1};
  const double grid = std::min(std::ceil(side / kAnyresTile), kAnyresMostSide);
  return {grid * grid + 1, std::min(grid * grid, kAnyresMostTokenTiles) + 1};
}

Tiles DynamicTiles(double side) {
  double grid = 1;
  while (grid < kDynamicMostSide && 2 * side * side > std::pow((grid + 1) * kDynamicTile, 2)) ++grid;
  const double tiles = grid > 1 ? grid * grid + 1 : 1;
  return {tiles, tiles};
}

VisionShape NativeVision(VisionShape vision, double side) {
  const double cell = kNativePatch * kNativeMerge;
  const double cells = std::max(1.0, std::round(side / cell));
  vision.tokens = cells * cells;
  vision.patches = vision.tokens * kNativeMerge * kNativeMerge;
  const double window = std::min(kNativeWindow, vision.patches);
  vision.keys = (1 - kNativeFullShare) * window + kNativeFullShare * vision.patches;
  return vision;
}

PictureWork WorkOf(const ModelShape& model, double encoded, double shown, double text_tokens, double output_tokens) {
  PictureWork work{model, {encoded, shown * model.vision.tokens, text_tokens, output_tokens}};
  work.fits = work.request.visual_tokens + text_tokens + output_tokens <= model.context;
  return work;
}

}  // namespace

PictureWork WorkOfPictures(const ModelShape& model, double side, int pictures, double text_tokens,
                           double output_tokens) {
  ModelShape sized = model;
  Tiles tiles{model.tiles, model.tiles};
  switch (model.tiling) {
    case Tiling::kFixed: break;
    case Tiling::kNative:
      sized.vision = NativeVision(model.vision, side);
      tiles = {1, 1};
      break;
    case Tiling::kAnyres: tiles = AnyresTiles(side, pictures); break;
    case Tiling::kDynamic: tiles = DynamicTiles(side); break;
  }
  return WorkOf(sized, pictures * tiles.encoded, pictures * tiles.shown, text_tokens, output_tokens);
}

PictureWork WorkOfUsualPicture(const ModelShape& model, double text_tokens, double output_tokens) {
  return WorkOf(model, model.tiles, model.tiles, text_tokens, output_tokens);
}

}  // namespace eyeshot::simulator
