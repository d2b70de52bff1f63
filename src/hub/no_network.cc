// A build without libcurl and OpenSSL (EYESHOT_HUB=OFF): models that were downloaded before are found, none is
// downloaded.
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "hub/digest.h"
#include "hub/http.h"

namespace eyeshot {

Result<std::unique_ptr<HttpClient>> HttpClient::Create(const HubSettings&, const std::atomic<bool>*) {
  return UnsupportedError("this build can't download", "build with EYESHOT_HUB=ON, or give the folder of a model");
}
HttpClient::~HttpClient() = default;
HttpOutcome HttpClient::Get(const HttpRequest&) { EYESHOT_CHECK(false); }

Result<HubUrl> ParseHubUrl(const std::string& url) { return HubUrl{.scheme = "https", .host = url}; }

// Of downloads alone.
struct HubDigest::Impl {};
HubDigest::HubDigest(const HubFile&) {}
HubDigest::~HubDigest() = default;
HubDigest::HubDigest(HubDigest&&) noexcept = default;
HubDigest& HubDigest::operator=(HubDigest&&) noexcept = default;
void HubDigest::Update(std::span<const uint8_t>) {}
std::string HubDigest::Finish() { return {}; }

}  // namespace eyeshot
