// Downloads a model from a hub into the cache.
#ifndef EYESHOT_HUB_PULL_H_
#define EYESHOT_HUB_PULL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "eyeshot/status.h"
#include "hub/listing.h"
#include "hub/repository.h"
#include "hub/settings.h"

namespace eyeshot {

struct PullProgress {
  std::string file;         // that is downloaded now
  uint64_t done = 0;        // bytes of all files that are there
  uint64_t total = 0;       // bytes of all files
  uint64_t downloaded = 0;  // in this run
};

struct PullOptions {
  std::vector<std::string> patterns;  // of weights to take, as --file; empty: safetensors
  bool verify = false;                // hash files that are there already, and take broken ones again
  bool dry_run = false;               // only say what would be taken
  int retries = 5;                    // tries in a row that got nothing new, before giving up on a file
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(const PullProgress&)> on_progress;    // after each piece; may be empty
  std::function<void(const std::string&)> on_note;         // a retry, a wait, a broken file; may be empty
};

struct PullReport {
  std::string commit;
  std::string dir;              // the snapshot
  std::vector<HubFile> files;   // that the snapshot has from this pull
  uint64_t bytes = 0;           // of all of them
  uint64_t downloaded = 0;      // in this run
};

// Takes the files that an engine needs of a repository at a revision: asks the hub for the list, downloads what the
// cache lacks, checks every hash, and only then moves the revision's ref. What was downloaded until an error is kept,
// and the next pull goes on from there.
//
// Errors: kNotFound (no such repository, revision or file), kIo (refused, cut, timed out, disk full), kCorrupt (a
// wrong hash or size; the file is removed), kLimitExceeded, kCancelled, kInvalidArgument (http:// elsewhere).
// REQUIRES: !settings.offline.
Result<PullReport> PullModel(const Repository& repository, const HubSettings& settings, const PullOptions& options);

// kIo if `needed` bytes don't fit into the `free` ones of the disk that `dir` is on.
Status CheckSpace(uint64_t needed, uint64_t free, const std::string& dir);

// The error for an answer that is none: 401, 403, 404, ... `what` is a repository or file.
Status HubRefusal(long code, const std::string& error_code, const std::string& error_message,
                  const Repository& repository, const std::string& what, bool has_token);

}  // namespace eyeshot

#endif  // EYESHOT_HUB_PULL_H_
