// A build without libcurl (EYESHOT_HUB=OFF).
#include "base/error.h"
#include "server/fetch.h"

namespace eyeshot::server {

Result<std::vector<uint8_t>> FetchUrl(const std::string&, const FetchRules&) {
  return UnsupportedError("this build fetches nothing from other servers", "send the bytes as a data: URL");
}

}  // namespace eyeshot::server
