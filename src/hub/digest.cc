#include "hub/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/check.h"

namespace eyeshot {

struct HubDigest::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { EVP_MD_CTX_free(context); }
};

HubDigest::HubDigest(const HubFile& file) : impl_(std::make_unique<Impl>()) {
  const bool lfs = !file.sha256.empty();
  EYESHOT_CHECK(EVP_DigestInit_ex(impl_->context, lfs ? EVP_sha256() : EVP_sha1(), nullptr) == 1);
  if (lfs) return;
  // git hashes a header before the content.
  const std::string header = fmt::format("blob {}", file.bytes);
  EVP_DigestUpdate(impl_->context, header.c_str(), header.size() + 1);
}

HubDigest::~HubDigest() = default;
HubDigest::HubDigest(HubDigest&&) noexcept = default;
HubDigest& HubDigest::operator=(HubDigest&&) noexcept = default;

void HubDigest::Update(std::span<const uint8_t> bytes) {
  EYESHOT_CHECK(EVP_DigestUpdate(impl_->context, bytes.data(), bytes.size()) == 1);
}

std::string HubDigest::Finish() {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EYESHOT_CHECK(EVP_DigestFinal_ex(impl_->context, digest, &size) == 1);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace eyeshot
