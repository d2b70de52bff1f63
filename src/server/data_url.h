// data: URLs (RFC 2397), as requests carry pictures and videos.
#ifndef EYESHOT_SERVER_DATA_URL_H_
#define EYESHOT_SERVER_DATA_URL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot::server {

// A data: URL, its parts still as they stand in it.
struct DataUrl {
  std::string media_type;  // "image/png", in small letters; "" where none is named
  bool base64 = false;
  std::string_view data;  // of the URL that was parsed
};
bool IsDataUrl(std::string_view url);
// Error: kCorrupt (no comma).
Result<DataUrl> ParseDataUrl(std::string_view url);
// The bytes: base64, or with %XX. Errors: kCorrupt.
Result<std::vector<uint8_t>> DecodeData(const DataUrl& url);

// Text with %XX. Error: kCorrupt.
Result<std::string> DecodePercent(std::string_view text);

}  // namespace eyeshot::server

#endif  // EYESHOT_SERVER_DATA_URL_H_
