// Tells what kind of file a picture is, and hands it to its decoder.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/large_array.h"
#include "base/limits.h"
#include "eyeshot/media.h"
#include "media/decoders.h"
#include "media/exif.h"
#include "media/media_kind.h"

namespace eyeshot {
namespace media {

Status CheckSize(uint64_t width, uint64_t height, const ImageLimits& limits) {
  if (width == 0 || height == 0) {
    return CorruptError(fmt::format("the header states a size of {} x {} pixels", width, height),
                        "the file is damaged; export it again");
  }
  if (std::max(width, height) > limits.max_side) {
    return LimitError(fmt::format("{} x {} pixels, the limit for a side is {}", width, height, limits.max_side),
                      "scale the picture down");
  }
  if (width * height > limits.max_pixels) {
    return LimitError(
        fmt::format("{} x {} = {} pixels, the limit is {}", width, height, width * height, limits.max_pixels),
        "scale the picture down");
  }
  return Status::Ok();
}

Image BlackImage(uint64_t width, uint64_t height) {
  Image image;
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.rgb.reserve(width * height * 3);
  AdviseHugePages(image.rgb.data(), width * height * 3);
  image.rgb.resize(width * height * 3);
  return image;
}

void GreyToRgb(const uint8_t* grey, size_t count, uint8_t* rgb) {
  for (size_t i = 0; i < count; ++i) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = grey[i];
}

namespace {

using Decoder = Result<Decoded> (*)(std::span<const uint8_t>, const DecodeOptions&);

// A decoder that has no choice.
template <Result<Decoded> (*kDecode)(std::span<const uint8_t>, const ImageLimits&)>
Result<Decoded> Exactly(std::span<const uint8_t> bytes, const DecodeOptions& options) {
  return kDecode(bytes, options.limits);
}

// What a file's bytes at `offset` say of its kind.
struct Signature {
  size_t offset;
  std::string_view magic;
  Decoder decoder;        // nullptr: known, but not a format that is decoded here
  std::string_view kind;  // for errors
};

// string_view literals with zero bytes in them.
template <size_t N>
constexpr std::string_view Magic(const char (&text)[N]) {
  return {text, N - 1};
}

constexpr std::array kSignatures = {
    Signature{0, Magic("\xff\xd8\xff"), DecodeJpeg, "JPEG"},
    Signature{0, Magic("\x89PNG\r\n\x1a\n"), Exactly<DecodePng>, "PNG"},
    Signature{8, Magic("WEBP"), Exactly<DecodeWebp>, "WebP"},
    Signature{0, Magic("GIF87a"), Exactly<DecodeGif>, "GIF"},
    Signature{0, Magic("GIF89a"), Exactly<DecodeGif>, "GIF"},
    Signature{0, Magic("BM"), nullptr, "a BMP picture"},
    Signature{0, Magic("II*\0"), nullptr, "a TIFF picture"},
    Signature{0, Magic("MM\0*"), nullptr, "a TIFF picture"},
    Signature{4, Magic("ftypavif"), nullptr, "an AVIF picture"},
    Signature{4, Magic("ftypheic"), nullptr, "a HEIC picture"},
    Signature{4, Magic("ftypmif1"), nullptr, "a HEIF picture"},
    Signature{4, Magic("ftyp"), nullptr, "an MP4 or QuickTime video"},
    Signature{0, Magic("\x1a\x45\xdf\xa3"), nullptr, "a Matroska or WebM video"},
    Signature{8, Magic("AVI "), nullptr, "an AVI video"},
    Signature{0, Magic("\xff\x0a"), nullptr, "a JPEG XL picture"},
    Signature{0, Magic("\0\0\0\x0cJXL "), nullptr, "a JPEG XL picture"},
    Signature{0, Magic("\0\0\0\x0cjP  "), nullptr, "a JPEG 2000 picture"},
    Signature{0, Magic("\0\0\x01\0"), nullptr, "a Windows icon"},
    Signature{0, Magic("8BPS"), nullptr, "a Photoshop document"},
    Signature{0, Magic("%PDF"), nullptr, "a PDF document"},
    Signature{0, Magic("<svg"), nullptr, "an SVG drawing"},
    Signature{0, Magic("<?xml"), nullptr, "an XML or SVG text"},
    Signature{0, Magic("<!DOCTYPE"), nullptr, "a web page"},
    Signature{0, Magic("<html"), nullptr, "a web page"},
    Signature{0, Magic("version https://git-lfs"), nullptr, "a Git LFS pointer instead of the file itself"},
};

bool Matches(std::span<const uint8_t> bytes, const Signature& signature) {
  if (bytes.size() < signature.offset + signature.magic.size()) return false;
  return std::equal(signature.magic.begin(), signature.magic.end(), bytes.begin() + signature.offset,
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

constexpr std::string_view kConvert = "convert it to JPEG, PNG, WebP or GIF";

Status UnknownKind(std::span<const uint8_t> bytes) {
  if (bytes.empty()) return CorruptError("the file is empty", "save or download it again");
  // "PNG" behind a first byte that lost its top bit, or line ends that a text-mode transfer changed.
  if (Matches(bytes, {1, "PNG", nullptr, ""})) {
    return CorruptError("the PNG signature is damaged", "transfer the file again, in binary mode");
  }
  std::string start;
  for (const uint8_t byte : bytes.first(std::min<size_t>(bytes.size(), 8))) start += fmt::format(" {:02x}", byte);
  return UnsupportedError(fmt::format("no known kind of picture starts with the bytes{}", start),
                          std::string(kConvert));
}

Result<Decoded> DecodeByKind(std::span<const uint8_t> bytes, const DecodeOptions& options) {
  const ImageLimits& limits = options.limits;
  if (bytes.size() > limits.max_bytes) {
    return LimitError(fmt::format("{} bytes, the limit for an encoded picture is {}", bytes.size(), limits.max_bytes),
                      "use a smaller file");
  }
  for (const Signature& signature : kSignatures) {
    if (!Matches(bytes, signature)) continue;
    if (signature.decoder != nullptr) return signature.decoder(bytes, options);
    if (DetectContainer(bytes).demuxer != nullptr) {
      return UnsupportedError(fmt::format("is {}, not a picture", signature.kind), "read it as a video");
    }
    return UnsupportedError(fmt::format("is {}; JPEG, PNG, WebP and GIF are supported", signature.kind),
                            std::string(kConvert));
  }
  return UnknownKind(bytes);
}

}  // namespace
}  // namespace media

ImageLimits::ImageLimits()
    : max_bytes(limits::kMaxImageBytes), max_pixels(limits::kMaxImagePixels), max_side(limits::kMaxImageSide) {}

Result<Image> DecodeImage(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options) {
  Result<media::Decoded> decoded = media::DecodeByKind(bytes, options);
  if (!decoded.ok()) return decoded.status().At(name);
  return media::Orient(std::move(decoded->image), decoded->orientation);
}

Result<Image> DecodeImage(std::span<const uint8_t> bytes, std::string_view name, const ImageLimits& limits) {
  return DecodeImage(bytes, name, DecodeOptions{.limits = limits});
}

Result<Image> LoadImage(const std::string& path, const DecodeOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFile(path, options.limits.max_bytes));
  return DecodeImage(bytes, path, options);
}

Result<Image> LoadImage(const std::string& path, const ImageLimits& limits) {
  return LoadImage(path, DecodeOptions{.limits = limits});
}

Result<Frames> FramesFromImages(std::vector<Image> images, double fps) {
  if (images.empty()) return InvalidArgumentError("no picture was given as a frame", "give at least one");
  if (!(fps > 0) || !std::isfinite(fps)) {
    return InvalidArgumentError(fmt::format("{} frames a second", fps), "give a positive frame rate");
  }
  if (images.size() > limits::kMaxFramesPerPrompt) {
    return LimitError(fmt::format("{} frames, the limit is {}", images.size(), limits::kMaxFramesPerPrompt),
                      "take fewer frames a second");
  }
  Frames frames;
  for (size_t i = 0; i < images.size(); ++i) frames.timestamps_s.push_back(static_cast<double>(i) / fps);
  frames.duration_s = static_cast<double>(images.size()) / fps;
  frames.images = std::move(images);
  return frames;
}

}  // namespace eyeshot
