// Names of picture details.
#include <array>
#include <charconv>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "eyeshot/media.h"

namespace eyeshot {
namespace {

using Kind = PictureDetail::Kind;
// The first name of a kind is the one that is shown.
constexpr std::array<std::pair<std::string_view, Kind>, 4> kNames = {
    {{"reference", Kind::kReference}, {"high", Kind::kReference}, {"low", Kind::kLow}, {"auto", Kind::kAuto}}};

}  // namespace

Result<PictureDetail> ParsePictureDetail(std::string_view text) {
  for (const auto& [name, kind] : kNames) {
    if (text == name) return PictureDetail{kind, 0};
  }
  int tiles = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tiles);
  if (error == std::errc() && end == text.data() + text.size() && tiles >= 1 && tiles <= limits::kMaxDetailTiles) {
    return PictureDetail{Kind::kTiles, tiles};
  }
  return InvalidArgumentError(
      fmt::format("the detail of pictures is '{}'", text.substr(0, 60)),
      fmt::format("use reference, low, auto, or the longer side in tiles: 1 to {}", limits::kMaxDetailTiles));
}

std::string PictureDetailName(const PictureDetail& detail) {
  for (const auto& [name, kind] : kNames) {
    if (kind == detail.kind) return std::string(name);
  }
  return std::to_string(detail.tiles);
}

}  // namespace eyeshot
