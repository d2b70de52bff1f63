#include "media/media_kind.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "eyeshot/media.h"
#include "media/decoders.h"
#include "media/video_source.h"

namespace eyeshot {
namespace media {
namespace {

std::string_view TextAt(std::span<const uint8_t> head, size_t offset, size_t length) {
  if (head.size() < offset + length) return {};
  return {reinterpret_cast<const char*>(head.data()) + offset, length};
}

// ISO files whose brand says that they hold still pictures.
bool IsStillBrand(std::string_view brand) {
  constexpr std::array<std::string_view, 8> kStill = {"avif", "avis", "heic", "heix", "mif1", "msf1", "crx ", "jxl "};
  return std::find(kStill.begin(), kStill.end(), brand) != kStill.end();
}

// Matroska says in its header which of its two kinds it is.
bool IsWebm(std::span<const uint8_t> head) {
  constexpr std::string_view kWebm = "webm";
  const auto begin = head.begin();
  const auto end = begin + static_cast<std::ptrdiff_t>(std::min<size_t>(head.size(), 64));
  return std::search(begin, end, kWebm.begin(), kWebm.end(),
                     [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); }) != end;
}

}  // namespace

Container DetectContainer(std::span<const uint8_t> head) {
  if (TextAt(head, 0, 4) == "GIF8") return {"gif", "gif"};
  if (TextAt(head, 0, 4) == "\x1a\x45\xdf\xa3") return {"matroska", IsWebm(head) ? "webm" : "mkv"};
  const std::string_view box = TextAt(head, 4, 4);
  if (box == "ftyp") {
    const std::string_view brand = TextAt(head, 8, 4);
    if (IsStillBrand(brand)) return {nullptr, ""};
    return {"mov", brand == "qt  " ? "mov" : "mp4"};
  }
  // QuickTime files older than the brand.
  constexpr std::array<std::string_view, 6> kBoxes = {"moov", "mdat", "wide", "free", "skip", "pnot"};
  if (std::find(kBoxes.begin(), kBoxes.end(), box) != kBoxes.end()) return {"mov", "mov"};
  return {nullptr, ""};
}

}  // namespace media

MediaKind DetectMedia(std::span<const uint8_t> bytes) {
  const media::Container container = media::DetectContainer(bytes);
  if (container.demuxer == nullptr) return MediaKind::kPicture;
  if (std::string_view(container.demuxer) != "gif") return MediaKind::kVideo;
  return media::HasSecondFrame(bytes) ? MediaKind::kVideo : MediaKind::kPicture;
}

Result<MediaKind> DetectMedia(const std::string& path) {
  EYESHOT_ASSIGN_OR_RETURN(const media::ByteSource source, media::ByteSource::Open(path, limits::kMaxVideoBytes));
  const std::vector<uint8_t> head = source.Head(media::kContainerHeadBytes);
  const media::Container container = media::DetectContainer(head);
  if (container.demuxer == nullptr || std::string_view(container.demuxer) != "gif") return DetectMedia(head);
  if (source.size() > limits::kMaxImageBytes) return MediaKind::kVideo;
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(path, limits::kMaxImageBytes));
  return DetectMedia(bytes);
}

}  // namespace eyeshot
