#include "hub/pull.h"

#include <curl/curl.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"
#include "hub/cache.h"
#include "hub/download.h"
#include "hub/http.h"

namespace eyeshot {
namespace {

constexpr std::string_view kIndex = "model.safetensors.index.json";
// Left free on the disk: a full one breaks more than this program.
constexpr uint64_t kSpareBytes = 64 << 20;

// Percent-encoding, of all but what RFC 3986 calls unreserved, and perhaps '/'.
std::string Encoded(std::string_view text, bool keep_slashes) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~' || (c == '/' && keep_slashes);
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

// One pull: what its steps share.
class Pull {
 public:
  Pull(const Repository& repository, const HubSettings& settings, const PullOptions& options)
      : repository_(repository), settings_(settings), options_(options), cache_(settings.cache, repository) {}

  Result<PullReport> Run();

 private:
  Result<HubListing> AskForList();
  Status TakeIndex(const HubListing& listing, std::string& index);
  Status CheckDisk(const std::vector<const HubFile*>& files) const;
  Status Take(const HubFile& file);
  Status Download(const HubFile& file, const std::string& blob);
  Result<bool> IsThere(const HubFile& file, const std::string& blob);
  Status Refusal(const HttpHead& head, const std::string& what) const;
  void Note(const std::string& text) const {
    if (options_.on_note) options_.on_note(text);
  }
  void ShowProgress(const std::string& file, uint64_t of_file) {
    if (options_.on_progress) options_.on_progress({file, done_ + of_file, report_.bytes, report_.downloaded});
  }

  const Repository& repository_;
  const HubSettings& settings_;
  const PullOptions& options_;
  RepositoryCache cache_;
  std::unique_ptr<HttpClient> client_;
  PullReport report_;
  std::set<std::string> verified_;  // etags that this run hashed
  uint64_t done_ = 0;               // bytes of files that are complete
};

Status Pull::Refusal(const HttpHead& head, const std::string& what) const {
  return HubRefusal(head.code, head.error_code, head.error_message, repository_, what, !settings_.token.empty());
}

Result<HubListing> Pull::AskForList() {
  const std::string url = fmt::format("{}/api/models/{}/revision/{}?blobs=true", settings_.endpoint, repository_.id(),
                                      Encoded(repository_.revision, false));
  for (int failures = 1;; ++failures) {
    std::string json;
    HttpRequest request{.url = url, .if_range = {}, .on_head = {}, .on_body = {}};
    request.on_body = [&](std::span<const uint8_t> data) {
      json.append(reinterpret_cast<const char*>(data.data()), data.size());
      if (json.size() <= limits::kMaxHubListBytes) return Status::Ok();
      return LimitError(
          fmt::format("{}: the list of files has more than {} bytes", repository_.id(), limits::kMaxHubListBytes),
          "use a repository with fewer files");
    };
    const HttpOutcome outcome = client_->Get(request);
    if (outcome.status.ok() && outcome.head.code == 200) {
      return ParseHubListing(json, fmt::format("{} on {}", repository_.id(), settings_.endpoint));
    }
    const bool again = outcome.transient && failures <= options_.retries;
    if (!outcome.status.ok() && !again) return outcome.status.At(settings_.endpoint);
    if (outcome.status.ok() && !again) return Refusal(outcome.head, repository_.id());
    Note(fmt::format(
        "{}: {}; trying again", settings_.endpoint,
        outcome.status.ok() ? fmt::format("the server said {}", outcome.head.code) : outcome.status.found()));
    EYESHOT_RETURN_IF_ERROR(WaitBeforeRetry(failures, outcome.head, options_.cancel));
  }
}

Status Pull::TakeIndex(const HubListing& listing, std::string& index) {
  const HubFile* file = listing.Find(kIndex);
  if (file == nullptr || listing.Find("model.safetensors") != nullptr || !options_.patterns.empty())
    return Status::Ok();
  if (file->bytes > limits::kMaxConfigBytes) {
    return LimitError(fmt::format("{} has {} bytes, the limit is {}", kIndex, file->bytes, limits::kMaxConfigBytes),
                      "use a model in fewer files");
  }
  EYESHOT_RETURN_IF_ERROR(Take(*file));
  done_ = 0;  // it is one of the small files that follow
  EYESHOT_ASSIGN_OR_RETURN(index, ReadTextFile(cache_.blob(file->etag()), limits::kMaxConfigBytes));
  return Status::Ok();
}

Status Pull::CheckDisk(const std::vector<const HubFile*>& files) const {
  uint64_t needed = 0;
  std::set<std::string> counted;
  for (const HubFile* file : files) {
    const std::string blob = cache_.blob(file->etag());
    if (FileExists(blob) || !counted.insert(blob).second) continue;
    std::error_code error;
    const uint64_t partial = std::filesystem::file_size(blob + ".incomplete", error);
    needed += file->bytes - (error ? 0 : std::min<uint64_t>(partial, file->bytes));
  }
  struct statvfs disk{};
  if (needed == 0 || statvfs(settings_.cache.c_str(), &disk) != 0) return Status::Ok();
  return CheckSpace(needed + kSpareBytes, uint64_t{disk.f_bavail} * disk.f_frsize, settings_.cache);
}

Result<bool> Pull::IsThere(const HubFile& file, const std::string& blob) {
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(blob, error);
  if (error) return false;
  if (bytes != file.bytes) {
    Note(fmt::format("{}: the cache has {} bytes of it, the hub says {}; taking it again", file.path, bytes,
                     file.bytes));
    return false;
  }
  if (!options_.verify || verified_.contains(file.etag())) return true;
  EYESHOT_ASSIGN_OR_RETURN(const bool matches, MatchesHash(file, blob));
  if (!matches) Note(fmt::format("{}: the cached file has a wrong hash; taking it again", file.path));
  return matches;
}

Status Pull::Download(const HubFile& file, const std::string& blob) {
  DownloadOptions options{.retries = options_.retries,
                          .cancel = options_.cancel,
                          .on_bytes = {},
                          .on_note = options_.on_note,
                          .on_refusal = {}};
  options.on_bytes = [&](uint64_t there, uint64_t fresh) {
    report_.downloaded += fresh;
    ShowProgress(file.path, there);
  };
  options.on_refusal = [&](const HttpHead& head) { return Refusal(head, file.path); };
  const std::string url = fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, repository_.id(), report_.commit,
                                      Encoded(file.path, true));
  return DownloadFile(*client_, file, url, blob, options);
}

// Into the cache and the snapshot.
Status Pull::Take(const HubFile& file) {
  const std::string blob = cache_.blob(file.etag());
  EYESHOT_RETURN_IF_ERROR(MakeFolderOf(blob));
  EYESHOT_ASSIGN_OR_RETURN(bool there, IsThere(file, blob));
  if (!there) {
    EYESHOT_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock,
                             FileLock::Take(cache_.lock(file.etag()), options_.cancel, [&] {
                               Note(fmt::format("{}: waiting for another process that downloads it", file.path));
                             }));
    EYESHOT_ASSIGN_OR_RETURN(there, IsThere(file, blob));  // the other process may have
    if (!there) EYESHOT_RETURN_IF_ERROR(Download(file, blob));
  }
  verified_.insert(file.etag());
  done_ += file.bytes;
  ShowProgress(file.path, 0);
  return LinkTo(blob, JoinPath(cache_.snapshot(report_.commit), file.path));
}

Result<PullReport> Pull::Run() {
  std::error_code error;
  if (!options_.dry_run) EYESHOT_RETURN_IF_ERROR(MakeFolderOf(JoinPath(settings_.cache, "x")));
  EYESHOT_ASSIGN_OR_RETURN(client_, HttpClient::Create(settings_, options_.cancel));
  EYESHOT_ASSIGN_OR_RETURN(const HubListing listing, AskForList());
  report_.commit = listing.commit;
  report_.dir = cache_.snapshot(listing.commit);

  std::string index;
  EYESHOT_RETURN_IF_ERROR(TakeIndex(listing, index));
  std::vector<const HubFile*> files = SelectSmallFiles(listing);
  EYESHOT_ASSIGN_OR_RETURN(const std::vector<const HubFile*> weights, SelectWeights(listing, options_.patterns, index));
  for (const HubFile* file : weights) {
    if (std::find(files.begin(), files.end(), file) == files.end()) files.push_back(file);
  }
  for (const HubFile* file : files) {
    report_.files.push_back(*file);
    report_.bytes += file->bytes;
  }
  if (options_.dry_run) return std::move(report_);
  EYESHOT_RETURN_IF_ERROR(CheckDisk(files));
  for (const HubFile* file : files) EYESHOT_RETURN_IF_ERROR(Take(*file));

  // A cache that is up to date is only read: it may be another user's.
  if (!IsCommit(repository_.revision) && FindSnapshot(settings_.cache, repository_) != report_.dir) {
    const std::string ref = cache_.ref(repository_.revision);
    EYESHOT_RETURN_IF_ERROR(MakeFolderOf(ref));
    const auto* bytes = reinterpret_cast<const uint8_t*>(listing.commit.data());
    EYESHOT_RETURN_IF_ERROR(WriteFile(ref, {bytes, listing.commit.size()}));
  }
  return std::move(report_);
}

}  // namespace

Result<PullReport> PullModel(const Repository& repository, const HubSettings& settings, const PullOptions& options) {
  return Pull(repository, settings, options).Run();
}

Status CheckSpace(uint64_t needed, uint64_t free, const std::string& dir) {
  if (needed <= free) return Status::Ok();
  return IoError(fmt::format("{}: {} bytes are needed (some to spare included) and {} are free", dir, needed, free),
                 "make room, or name a folder on another disk with HF_HUB_CACHE");
}

Status HubRefusal(long code, const std::string& error_code, const std::string& error_message,
                  const Repository& repository, const std::string& what, bool has_token) {
  const std::string said = error_message.empty() ? "" : fmt::format(" (\"{}\")", error_message);
  const std::string page = "https://huggingface.co/" + repository.id();
  if (error_code == "GatedRepo") {
    return IoError(fmt::format("{}: its authors want to be asked first{}", repository.id(), said),
                   fmt::format("ask for access at {}, then {}", page,
                               has_token ? "use a token of that account (HF_TOKEN)"
                                         : "set HF_TOKEN to a token of https://huggingface.co/settings/tokens"));
  }
  if (error_code == "RevisionNotFound") {
    return NotFoundError(fmt::format("{} has no revision '{}'", repository.id(), repository.revision),
                         fmt::format("see {}/tree/main for its branches and tags", page));
  }
  if (code == 404 && what != repository.id()) {
    return NotFoundError(fmt::format("{}: the hub lists it but doesn't have it{}", what, said), "try again later");
  }
  // The hub doesn't tell strangers which private repositories exist: 401 is also what a misspelled name gives.
  if (error_code == "RepoNotFound" || code == 404 || (code == 401 && !has_token)) {
    return NotFoundError(fmt::format("the hub has no model '{}' that may be seen {}{}", repository.id(),
                                     has_token ? "with this token" : "without a token", said),
                         has_token ? "check the spelling, and that the token may read it"
                                   : "check the spelling; for private and gated models set HF_TOKEN");
  }
  if (code == 401 || code == 403) {
    return IoError(fmt::format("{}: the hub refuses the token ({}){}", what, code, said),
                   "set HF_TOKEN to a valid token that may read this model, or unset it for public ones");
  }
  return IoError(fmt::format("{}: the hub answers {}{}", what, code, said), "check HF_ENDPOINT, or try again later");
}

}  // namespace eyeshot
