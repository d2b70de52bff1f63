#include "hub/cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <map>
#include <system_error>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

namespace eyeshot {
namespace {

namespace fs = std::filesystem;
constexpr auto kLockPoll = std::chrono::milliseconds(100);
constexpr uint64_t kMaxRefBytes = 256;

std::optional<std::string> ReadRef(const std::string& path) {
  Result<std::string> text = ReadTextFile(path, kMaxRefBytes);
  if (!text.ok()) return std::nullopt;
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  return IsCommit(*text) ? std::optional<std::string>(*text) : std::nullopt;
}

// "models--ORG--NAME" -> "ORG/NAME"; empty: another folder.
std::string IdOf(const std::string& folder) {
  constexpr std::string_view kPrefix = "models--";
  if (!folder.starts_with(kPrefix)) return {};
  const std::string names = folder.substr(kPrefix.size());
  const size_t dashes = names.find("--");
  if (dashes == std::string::npos) return {};
  const std::string id = fmt::format("{}/{}", names.substr(0, dashes), names.substr(dashes + 2));
  return LooksLikeRepository(id) ? id : std::string();
}

// Names of the entries of a folder, sorted; none if it can't be read.
std::vector<std::string> Entries(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(dir, error); !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
    if (names.size() >= limits::kMaxCachedModels) break;
  }
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t BytesOf(const std::string& dir) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(dir, error); !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_regular_file(ignored)) continue;
    const uint64_t size = entry->file_size(ignored);
    if (!ignored) bytes += size;
  }
  return bytes;
}

void AddSnapshots(const std::string& cache, const std::string& folder, std::vector<CachedModel>& models) {
  const std::string base = JoinPath(cache, folder);
  std::map<std::string, std::string> ref_of;  // of each commit
  for (const std::string& ref : Entries(JoinPath(base, "refs"))) {
    if (const auto commit = ReadRef(JoinPath(JoinPath(base, "refs"), ref))) ref_of[*commit] = ref;
  }
  for (const std::string& commit : Entries(JoinPath(base, "snapshots"))) {
    const std::string dir = JoinPath(JoinPath(base, "snapshots"), commit);
    if (!IsCommit(commit) || models.size() >= limits::kMaxCachedModels) continue;
    const auto ref = ref_of.find(commit);
    models.push_back({IdOf(folder), ref == ref_of.end() ? commit : ref->second, commit, dir, BytesOf(dir)});
  }
}

}  // namespace

RepositoryCache::RepositoryCache(std::string cache, const Repository& repository)
    : cache_(std::move(cache)), folder_(repository.folder()) {}

std::string RepositoryCache::blob(const std::string& etag) const {
  return fmt::format("{}/{}/blobs/{}", cache_, folder_, etag);
}
std::string RepositoryCache::lock(const std::string& etag) const {
  return fmt::format("{}/.locks/{}/{}.lock", cache_, folder_, etag);
}
std::string RepositoryCache::snapshot(const std::string& commit) const {
  return fmt::format("{}/{}/snapshots/{}", cache_, folder_, commit);
}
std::string RepositoryCache::ref(const std::string& revision) const {
  return fmt::format("{}/{}/refs/{}", cache_, folder_, revision);
}

std::optional<std::string> FindSnapshot(const std::string& cache, const Repository& repository) {
  const RepositoryCache paths(cache, repository);
  std::string commit = repository.revision;
  if (!IsCommit(commit)) {
    const auto named = ReadRef(paths.ref(repository.revision));
    if (!named) return std::nullopt;
    commit = *named;
  }
  const std::string dir = paths.snapshot(commit);
  return IsDirectory(dir) ? std::optional<std::string>(dir) : std::nullopt;
}

std::vector<CachedModel> ListCache(const std::string& cache) {
  std::vector<CachedModel> models;
  for (const std::string& folder : Entries(cache)) {
    if (!IdOf(folder).empty()) AddSnapshots(cache, folder, models);
  }
  return models;
}

Status MakeFolderOf(const std::string& file) {
  std::error_code error;
  const fs::path parent = fs::path(file).parent_path();
  fs::create_directories(parent, error);
  if (!error) return Status::Ok();
  return IoError(fmt::format("{}: {}", parent.string(), error.message()),
                 "name a folder that can be written with HF_HUB_CACHE");
}

Status LinkTo(const std::string& target, const std::string& link) {
  EYESHOT_RETURN_IF_ERROR(MakeFolderOf(link));
  const fs::path relative = fs::path(target).lexically_relative(fs::path(link).parent_path());
  std::error_code error;
  if (fs::is_symlink(fs::symlink_status(link, error)) && fs::read_symlink(link, error) == relative) return Status::Ok();
  const std::string temporary = fmt::format("{}.{}.tmp", link, getpid());
  fs::remove(temporary, error);
  fs::create_symlink(relative, temporary, error);
  if (!error) fs::rename(temporary, link, error);
  if (!error) return Status::Ok();
  return IoError(fmt::format("{}: {}", link, error.message()),
                 "name a folder on a file system with symbolic links with HF_HUB_CACHE");
}

Result<std::unique_ptr<FileLock>> FileLock::Take(const std::string& path, const std::atomic<bool>* cancel,
                                                 const std::function<void()>& on_wait) {
  EYESHOT_RETURN_IF_ERROR(MakeFolderOf(path));
  bool waited = false;
  while (true) {
    FileHandle file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file.ok())
      return IoError(fmt::format("{}: {}", path, std::strerror(errno)), "check who may write to the cache");
    const int fd = file.get();
    std::unique_ptr<FileLock> lock(new FileLock(std::move(file)));
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) {
        return IoError(fmt::format("{}: can't be locked ({})", path, std::strerror(errno)),
                       "name a folder on a file system with locks with HF_HUB_CACHE");
      }
      if (cancel != nullptr && cancel->load()) return CancelledError("the download was cancelled");
      if (!waited && on_wait) on_wait();
      waited = true;
      std::this_thread::sleep_for(kLockPoll);
    }
    // Some lock libraries remove the file when they let go: then this lock is on a file that no one else sees.
    struct stat held{};
    struct stat named{};
    if (fstat(fd, &held) == 0 && stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino) return lock;
  }
}

}  // namespace eyeshot
