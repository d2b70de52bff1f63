// The cache of models, laid out as huggingface_hub's, so that each finds what the other downloaded:
//
//   CACHE/models--ORG--NAME/refs/main            the commit that the branch was at
//   CACHE/models--ORG--NAME/blobs/HASH           contents
//   CACHE/models--ORG--NAME/snapshots/COMMIT/    links to them under the files' names
//   CACHE/.locks/models--ORG--NAME/HASH.lock     held while one process downloads
#ifndef EYESHOT_HUB_CACHE_H_
#define EYESHOT_HUB_CACHE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file_handle.h"
#include "eyeshot/status.h"
#include "hub/repository.h"

namespace eyeshot {

// The paths of one repository in the cache. Arithmetic only.
class RepositoryCache {
 public:
  RepositoryCache(std::string cache, const Repository& repository);

  std::string blob(const std::string& etag) const;
  std::string lock(const std::string& etag) const;
  std::string snapshot(const std::string& commit) const;
  std::string ref(const std::string& revision) const;

 private:
  std::string cache_;
  std::string folder_;
};

// The folder of a repository's snapshot; nullopt: it was not downloaded, or not to its end.
std::optional<std::string> FindSnapshot(const std::string& cache, const Repository& repository);

struct CachedModel {
  std::string id;        // "ORG/NAME"
  std::string revision;  // a ref, or a commit that no ref names
  std::string commit;
  std::string dir;
  uint64_t bytes = 0;    // of its files
};
// All snapshots in a cache, by id, at most limits::kMaxCachedModels. A cache that is not there is empty.
std::vector<CachedModel> ListCache(const std::string& cache);

// Makes `link` a symbolic link to `target`, both absolute, by way of a relative path; atomically, over what was there.
Status LinkTo(const std::string& target, const std::string& link);
Status MakeFolderOf(const std::string& file);

// A lock between processes, by flock as huggingface_hub's, held until destruction.
class FileLock {
 public:
  // Waits; `on_wait` (may be empty) is called once if another process holds it. Errors: kIo, kCancelled.
  static Result<std::unique_ptr<FileLock>> Take(const std::string& path, const std::atomic<bool>* cancel,
                                                const std::function<void()>& on_wait);

 private:
  explicit FileLock(FileHandle file) : file_(std::move(file)) {}
  FileHandle file_;
};

}  // namespace eyeshot

#endif  // EYESHOT_HUB_CACHE_H_
