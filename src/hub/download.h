// One file of a hub into the cache: resumed, retried, hashed.
#ifndef EYESHOT_HUB_DOWNLOAD_H_
#define EYESHOT_HUB_DOWNLOAD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "eyeshot/status.h"
#include "hub/http.h"
#include "hub/listing.h"

namespace eyeshot {

struct DownloadOptions {
  int retries = 5;  // tries in a row without new bytes
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(uint64_t there, uint64_t fresh)> on_bytes;  // bytes of the file on disk, and new ones of these
  std::function<void(const std::string&)> on_note;
  // Turns an answer of 400 or more into an error.
  std::function<Status(const HttpHead&)> on_refusal;
};

// What failed tries are followed by: 0.5 s, 1 s, 2 s, ... up to 8 s, or what the server asked for. kCancelled if
// `cancel` (may be null) becomes true meanwhile.
Status WaitBeforeRetry(int failures, const HttpHead& head, const std::atomic<bool>* cancel);

// Downloads `url` to `path` by way of `path`.incomplete, which a later call goes on with. The caller holds the file's
// lock. Errors: those of HttpClient, on_refusal's, kCorrupt (more or fewer bytes than the list says, a wrong hash: what
// was downloaded is removed), kIo (the disk).
Status DownloadFile(HttpClient& client, const HubFile& file, const std::string& url, const std::string& path,
                    const DownloadOptions& options);

// Whether a file on disk has the hash that the hub says.
Result<bool> MatchesHash(const HubFile& file, const std::string& path);

}  // namespace eyeshot

#endif  // EYESHOT_HUB_DOWNLOAD_H_
