// Pictures named on the command line.
#ifndef EYESHOT_CLI_PICTURES_H_
#define EYESHOT_CLI_PICTURES_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/model_flags.h"
#include "eyeshot/chat.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"

namespace CLI {
class App;
}

namespace eyeshot::cli {

// --jpeg-scaling
void AddJpegScalingFlag(CLI::App& command, bool& jpeg_scaling);

// How pictures are decoded for the model that the flags name: as they are or, with `jpeg_scaling`, JPEGs as small as
// the model can use them with that detail. Reads no more of the model than its processor files.
Result<DecodeOptions> PictureDecoding(const ModelFlags& model, bool jpeg_scaling, const PictureDetail& detail);
// The detail by which pictures are decoded: frames of a clip are one view each.
PictureDetail DecodingDetail(const PictureDetail& detail, bool frames);

// All of standard input. Error: kLimitExceeded (kMaxImageBytes).
Result<std::vector<uint8_t>> ReadStandardInput();

// Decodes a picture. Charges `decode_image`.
Result<Image> DecodePicture(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& decoding,
                            Ledger& ledger);

// Reads and decodes a picture; "-" is standard input. Charges `decode_image`.
Result<Image> ReadPicture(const std::string& path, const DecodeOptions& decoding, Ledger& ledger);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PICTURES_H_
