#include "cli/pictures.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "formats/processor_config.h"
#include "ledger/stage.h"
#include "vision/image_processor.h"

namespace eyeshot::cli {

Result<std::vector<uint8_t>> ReadStandardInput() {
  std::vector<uint8_t> bytes;
  constexpr size_t kPiece = 1 << 16;
  size_t got = kPiece;
  while (got == kPiece) {
    const size_t before = bytes.size();
    bytes.resize(before + kPiece);
    got = std::fread(bytes.data() + before, 1, kPiece, stdin);
    bytes.resize(before + got);
    if (bytes.size() > limits::kMaxImageBytes) {
      return LimitError(fmt::format("standard input: more than kMaxImageBytes ({})", limits::kMaxImageBytes),
                        "send a smaller picture");
    }
  }
  if (std::ferror(stdin) != 0) return IoError("standard input: cannot be read", "send a picture");
  return bytes;
}

void AddJpegScalingFlag(CLI::App& command, bool& jpeg_scaling) {
  command.add_flag("--jpeg-scaling", jpeg_scaling,
                   "Decode JPEGs at 1/2, 1/4 or 1/8 where the model needs no more: faster, slightly other pixels");
}

PictureDetail DecodingDetail(const PictureDetail& detail, bool frames) {
  return frames ? PictureDetail{PictureDetail::Kind::kLow, 0} : detail;
}

Result<DecodeOptions> PictureDecoding(const ModelFlags& model, bool jpeg_scaling, const PictureDetail& detail) {
  if (!jpeg_scaling) return DecodeOptions();
  EYESHOT_ASSIGN_OR_RETURN(const FoundModel found, FindModel(model.model));
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessorConfig config, ProcessorOf(model, found.dir));
  EYESHOT_ASSIGN_OR_RETURN(const ImageProcessor processor, ImageProcessor::Create(config));
  return processor.ScaledDecoding(detail);
}

Result<Image> DecodePicture(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& decoding,
                            Ledger& ledger) {
  Stage stage(ledger, StageId::kDecodeImage);
  Result<Image> image = DecodeImage(bytes, name, decoding);
  if (image.ok()) stage.AddBytes(bytes.size() + image->rgb.size());
  return image;
}

Result<Image> ReadPicture(const std::string& path, const DecodeOptions& decoding, Ledger& ledger) {
  Stage stage(ledger, StageId::kDecodeImage);
  const bool from_input = path == "-";
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes,
                           from_input ? ReadStandardInput() : ReadFile(path, limits::kMaxImageBytes));
  Result<Image> image = DecodeImage(bytes, from_input ? "standard input" : path, decoding);
  if (image.ok()) stage.AddBytes(bytes.size() + image->rgb.size());
  return image;
}

}  // namespace eyeshot::cli
