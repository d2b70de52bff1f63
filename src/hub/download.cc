#include "hub/download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/file_handle.h"
#include "hub/digest.h"

namespace eyeshot {
namespace {

constexpr auto kFirstWait = std::chrono::milliseconds(500);
constexpr auto kCancelPoll = std::chrono::milliseconds(50);
constexpr int kMostDoublings = 4;
// A try that brings less does not count as progress: a server that cuts after each byte would be asked for ever.
constexpr uint64_t kProgressBytes = 64 << 10;
constexpr size_t kReadBytes = 1 << 20;

Status DiskError(const std::string& path, int error) {
  return IoError(fmt::format("{}: {}", path, std::strerror(error)),
                 error == ENOSPC ? "make room on the disk and run the same command again: it goes on from here"
                                 : "check who may write to the cache (HF_HUB_CACHE names another one)");
}

// A file that grows at its end, and the hash of what it holds.
class PartialFile {
 public:
  // Opens what an earlier run left, and hashes it.
  static Result<PartialFile> Open(const HubFile& file, const std::string& path) {
    PartialFile partial(file, path);
    partial.disk_ = FileHandle(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!partial.disk_.ok()) return DiskError(path, errno);
    std::vector<uint8_t> buffer(kReadBytes);
    while (true) {
      const ssize_t got = read(partial.disk_.get(), buffer.data(), buffer.size());
      if (got < 0) return DiskError(path, errno);
      if (got == 0) break;
      partial.digest_.Update({buffer.data(), static_cast<size_t>(got)});
      partial.bytes_ += static_cast<uint64_t>(got);
    }
    if (partial.bytes_ > file.bytes) EYESHOT_RETURN_IF_ERROR(partial.StartOver());
    return partial;
  }

  uint64_t bytes() const { return bytes_; }

  Status StartOver() {
    if (ftruncate(disk_.get(), 0) != 0 || lseek(disk_.get(), 0, SEEK_SET) != 0) return DiskError(path_, errno);
    bytes_ = 0;
    digest_ = HubDigest(*file_);
    return Status::Ok();
  }

  Status Append(std::span<const uint8_t> data) {
    if (data.size() > file_->bytes - bytes_) {
      return CorruptError(
          fmt::format("{}: the server sends more than the {} bytes that the list says", file_->path, file_->bytes),
          "try again later; if it stays, the repository or the hub is broken");
    }
    digest_.Update(data);
    while (!data.empty()) {
      const ssize_t written = write(disk_.get(), data.data(), data.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return DiskError(path_, errno);
      data = data.subspan(static_cast<size_t>(written));
      bytes_ += static_cast<uint64_t>(written);
    }
    return Status::Ok();
  }

  // The hash of all bytes. Once.
  std::string Hash() { return digest_.Finish(); }

  // Gives the file its name. Its content is on the disk before.
  Status MoveTo(const std::string& path) {
    if (fsync(disk_.get()) != 0 || std::rename(path_.c_str(), path.c_str()) != 0) return DiskError(path, errno);
    return Status::Ok();
  }
  void Remove() { unlink(path_.c_str()); }

 private:
  PartialFile(const HubFile& file, std::string path) : file_(&file), path_(std::move(path)), digest_(file) {}

  const HubFile* file_;
  std::string path_;
  FileHandle disk_;
  uint64_t bytes_ = 0;
  HubDigest digest_;
};

// Checks that the answer holds the bytes that were asked for, and makes the file ready for them.
Status AcceptHead(const HubFile& file, const HttpHead& head, PartialFile& partial) {
  const auto mismatch = [&](std::string_view what, uint64_t found, uint64_t wanted) {
    return CorruptError(fmt::format("{}: {} is {}, expected {}", file.path, what, found, wanted),
                        "try again later; if it stays, the repository or the hub is broken");
  };
  if (head.code != 206 && partial.bytes() > 0) EYESHOT_RETURN_IF_ERROR(partial.StartOver());  // no ranges, or changed
  if (head.code == 206) {
    if (head.range_first.value_or(0) != partial.bytes()) {
      return mismatch("the first byte of the answer", head.range_first.value_or(0), partial.bytes());
    }
    if (head.range_total && *head.range_total != file.bytes) {
      return mismatch("the size that the server says", *head.range_total, file.bytes);
    }
  }
  const uint64_t missing = file.bytes - partial.bytes();
  if (head.content_length && *head.content_length != missing) {
    return mismatch("the size that the server says", *head.content_length + partial.bytes(), file.bytes);
  }
  return Status::Ok();
}

// Tries until all bytes are there.
Status FetchAll(HttpClient& client, const HubFile& file, const std::string& url, const DownloadOptions& options,
                PartialFile& partial) {
  std::string etag;
  int failures = 0;
  while (partial.bytes() < file.bytes) {
    const uint64_t before = partial.bytes();
    HttpRequest request{.url = url, .first = before, .if_range = etag, .on_head = {}, .on_body = {}};
    request.on_head = [&](const HttpHead& head) {
      etag = head.etag;
      return AcceptHead(file, head, partial);
    };
    request.on_body = [&](std::span<const uint8_t> data) {
      const Status status = partial.Append(data);
      if (status.ok() && options.on_bytes) options.on_bytes(partial.bytes(), data.size());
      return status;
    };
    HttpOutcome outcome = client.Get(request);
    if (outcome.status.ok() && outcome.head.code == 416) {  // a range that can't be: what is there is not the file's
      EYESHOT_RETURN_IF_ERROR(partial.StartOver());
    } else if (outcome.status.ok() && outcome.head.code >= 300 && !outcome.transient) {
      return options.on_refusal(outcome.head);
    } else if (!outcome.status.ok() && !outcome.transient) {
      return outcome.status;
    }
    if (partial.bytes() == file.bytes) break;
    const bool progress = partial.bytes() > before && partial.bytes() - before >= kProgressBytes;
    failures = progress ? 1 : failures + 1;
    const std::string why =
        outcome.status.ok() ? fmt::format("the server said {}", outcome.head.code) : outcome.status.found();
    if (failures > options.retries) {
      return IoError(fmt::format("{}: {}; {} of {} bytes are there after {} tries without progress", file.path, why,
                                 partial.bytes(), file.bytes, failures),
                     "run the same command again: it goes on from there");
    }
    if (options.on_note) {
      options.on_note(fmt::format("{}: {}; trying again from byte {}", file.path, why, partial.bytes()));
    }
    EYESHOT_RETURN_IF_ERROR(WaitBeforeRetry(failures, outcome.head, options.cancel));
  }
  return Status::Ok();
}

}  // namespace

Status WaitBeforeRetry(int failures, const HttpHead& head, const std::atomic<bool>* cancel) {
  using Clock = std::chrono::steady_clock;
  Clock::duration wait = kFirstWait * (1 << std::min(failures - 1, kMostDoublings));
  wait = std::max<Clock::duration>(wait, std::chrono::seconds(head.retry_after_s));
  const auto until = Clock::now() + wait;
  while (Clock::now() < until) {
    if (cancel != nullptr && cancel->load()) return CancelledError("the download was cancelled");
    std::this_thread::sleep_for(kCancelPoll);
  }
  return Status::Ok();
}

Status DownloadFile(HttpClient& client, const HubFile& file, const std::string& url, const std::string& path,
                    const DownloadOptions& options) {
  EYESHOT_ASSIGN_OR_RETURN(PartialFile partial, PartialFile::Open(file, path + ".incomplete"));
  bool resumed = partial.bytes() > 0;
  while (true) {
    if (resumed && options.on_bytes) options.on_bytes(partial.bytes(), 0);
    EYESHOT_RETURN_IF_ERROR(FetchAll(client, file, url, options, partial));
    const std::string hash = partial.Hash();
    if (hash == file.etag()) return partial.MoveTo(path);
    if (!resumed) {
      partial.Remove();
      return CorruptError(
          fmt::format("{}: its hash is {}, the hub says {}; it was removed", file.path, hash, file.etag()),
          "run the same command again; if it stays, don't use this hub");
    }
    // What an earlier run left may have been damaged since.
    resumed = false;
    EYESHOT_RETURN_IF_ERROR(partial.StartOver());
    if (options.on_note) options.on_note(fmt::format("{}: what was there had a wrong hash; starting over", file.path));
  }
}

Result<bool> MatchesHash(const HubFile& file, const std::string& path) {
  const FileHandle disk(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!disk.ok()) return DiskError(path, errno);
  HubDigest digest(file);
  std::vector<uint8_t> buffer(kReadBytes);
  ssize_t got = 0;
  while ((got = read(disk.get(), buffer.data(), buffer.size())) > 0) {
    digest.Update({buffer.data(), static_cast<size_t>(got)});
  }
  if (got < 0) return DiskError(path, errno);
  return digest.Finish() == file.etag();
}

}  // namespace eyeshot
