// The input is what a hub says: a list of files, an index of shards, a name. What is accepted stays in its folder.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "hub/cache.h"
#include "hub/listing.h"
#include "hub/repository.h"

namespace {

void CheckInside(const std::string& folder, const std::string& path) {
  const std::string joined = std::filesystem::path(folder + "/" + path).lexically_normal().string();
  EYESHOT_CHECK(joined.starts_with(folder + "/") && joined.size() > folder.size() + 1);
}

void CheckListing(const eyeshot::HubListing& listing, const std::string& text) {
  EYESHOT_CHECK(listing.files.size() <= eyeshot::limits::kMaxHubFiles && eyeshot::IsCommit(listing.commit));
  const eyeshot::RepositoryCache paths("/cache", {"owner", "name", "main"});
  for (const eyeshot::HubFile& file : listing.files) {
    CheckInside(paths.snapshot(listing.commit), file.path);
    CheckInside("/cache/models--owner--name/blobs", file.etag());
    EYESHOT_CHECK(file.bytes <= eyeshot::limits::kMaxHubFileBytes);
  }
  eyeshot::SelectSmallFiles(listing);
  const std::string pattern = text.substr(0, 20);
  (void)eyeshot::SelectWeights(listing, {}, "").ok();
  (void)eyeshot::SelectWeights(listing, {}, text).ok();
  (void)eyeshot::SelectWeights(listing, {&pattern, 1}, "").ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto listing = eyeshot::ParseHubListing(text, "hub");
  if (listing.ok()) CheckListing(*listing, text);
  const auto repository = eyeshot::ParseRepository(text);
  if (repository.ok()) {
    const eyeshot::RepositoryCache paths("/cache", *repository);
    CheckInside("/cache", repository->folder() + "/refs/" + repository->revision);
    CheckInside("/cache/" + repository->folder() + "/refs", repository->revision);
  }
  for (const char c : eyeshot::PrintableText(text)) EYESHOT_CHECK(static_cast<unsigned char>(c) >= 0x20);
  return 0;
}
