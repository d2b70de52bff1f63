// The hashes by which a hub names files: SHA-256 of what LFS keeps, git's SHA-1 of the rest.
#ifndef EYESHOT_HUB_DIGEST_H_
#define EYESHOT_HUB_DIGEST_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "hub/listing.h"

namespace eyeshot {

// Hashes the content of a file as it arrives, by whichever hash the hub has of it.
class HubDigest {
 public:
  explicit HubDigest(const HubFile& file);
  ~HubDigest();
  HubDigest(HubDigest&&) noexcept;
  HubDigest& operator=(HubDigest&&) noexcept;

  void Update(std::span<const uint8_t> bytes);
  // In hex, to be compared with HubFile::etag(). The object may not be used afterwards.
  std::string Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace eyeshot

#endif  // EYESHOT_HUB_DIGEST_H_
