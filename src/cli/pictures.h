// Pictures named on the command line.
#ifndef EYESHOT_CLI_PICTURES_H_
#define EYESHOT_CLI_PICTURES_H_

#include <string>
#include <vector>

#include "eyeshot/chat.h"
#include "eyeshot/ledger.h"
#include "eyeshot/media.h"
#include "eyeshot/status.h"

namespace eyeshot::cli {

// Reads and decodes a picture; "-" is standard input. Charges `decode_image`.
Result<Image> ReadPicture(const std::string& path, Ledger& ledger);

// The pictures as parts of a message: one each or, with `frames`, all together a clip at `fps` frames a second.
Result<std::vector<ContentPart>> ReadPictureParts(const std::vector<std::string>& paths, bool frames, double fps,
                                                  Ledger& ledger);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PICTURES_H_
