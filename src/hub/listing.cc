#include "hub/listing.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/limits.h"
#include "formats/json.h"
#include "hub/repository.h"

namespace eyeshot {
namespace {

constexpr std::string_view kWeights = "model.safetensors";
constexpr std::string_view kIndex = "model.safetensors.index.json";
constexpr const char* kMendHub = "check that HF_ENDPOINT is a Hugging Face hub, or try again later";
constexpr size_t kPrintableBytes = 200;

// In the root of a repository.
constexpr std::array<std::string_view, 15> kSmallFiles = {"added_tokens.json",
                                                          "chat_template.jinja",
                                                          "chat_template.json",
                                                          "config.json",
                                                          "configuration.json",
                                                          "generation_config.json",
                                                          "merges.txt",
                                                          "preprocessor_config.json",
                                                          "processor_config.json",
                                                          "special_tokens_map.json",
                                                          "tokenizer.json",
                                                          "tokenizer_config.json",
                                                          "video_preprocessor_config.json",
                                                          "vocab.json",
                                                          kIndex};

Result<HubFile> ParseFile(const Json& json, const std::string& where) {
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::Root(json, where));
  HubFile file;
  EYESHOT_ASSIGN_OR_RETURN(file.path, object.String("rfilename"));
  if (!IsSafePath(file.path)) {
    return CorruptError(
        fmt::format("{}: a file is called '{}', which leads out of the model's folder or is no name of a "
                    "file",
                    where, PrintableText(file.path)),
        "don't use this repository");
  }
  if (!object.Has("size") || !object.Has("blobId")) {
    return UnsupportedError(fmt::format("{}: no size and hash of '{}'", where, file.path),
                            "use a hub that tells them (?blobs=true), so that downloads can be checked");
  }
  EYESHOT_ASSIGN_OR_RETURN(const int64_t size,
                           object.Integer("size", 0, static_cast<int64_t>(limits::kMaxHubFileBytes)));
  file.bytes = static_cast<uint64_t>(size);
  EYESHOT_ASSIGN_OR_RETURN(file.blob_id, object.String("blobId"));
  EYESHOT_ASSIGN_OR_RETURN(const auto lfs, object.OptionalObject("lfs"));
  if (lfs) {
    EYESHOT_ASSIGN_OR_RETURN(file.sha256, lfs->String(lfs->Has("sha256") ? "sha256" : "oid"));
  }
  if (!IsHex(file.blob_id, 40) || !(file.sha256.empty() || IsHex(file.sha256, 64))) {
    return CorruptError(fmt::format("{}: the hash of '{}' is '{}'", where, file.path, PrintableText(file.etag())),
                        kMendHub);
  }
  return file;
}

std::vector<const HubFile*> Gguf(const HubListing& listing) {
  std::vector<const HubFile*> files;
  for (const HubFile& file : listing.files) {
    if (file.path.ends_with(".gguf")) files.push_back(&file);
  }
  return files;
}

// "a, b, c and 5 more"
std::string Names(const std::vector<const HubFile*>& files) {
  constexpr size_t kShown = 12;
  std::string names;
  for (size_t i = 0; i < std::min(files.size(), kShown); ++i) {
    names += fmt::format("{}{}", i == 0 ? "" : ", ", files[i]->path);
  }
  if (files.size() > kShown) names += fmt::format(" and {} more", files.size() - kShown);
  return names;
}

Result<std::vector<const HubFile*>> SelectShards(const HubListing& listing, const std::string& index) {
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(index, std::string(kIndex)));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, std::string(kIndex)));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject map, root.Object("weight_map"));
  std::set<std::string> names;
  for (const auto& [tensor, shard] : map.json().items()) {
    if (!shard.is_string()) return map.Error(StatusCode::kCorrupt, tensor, "the name of a file", kMendHub);
    names.insert(shard.get<std::string>());
    if (names.size() > limits::kMaxShards) {
      return LimitError(fmt::format("{}: more than {} shards", kIndex, limits::kMaxShards),
                        "use a model in fewer files");
    }
  }
  std::vector<const HubFile*> shards;
  for (const std::string& name : names) {
    const HubFile* file = listing.Find(name);
    if (file == nullptr) {
      return CorruptError(fmt::format("{} names '{}', which the repository does not have", kIndex, PrintableText(name)),
                          "try another revision (ORG/NAME@REVISION)");
    }
    shards.push_back(file);
  }
  if (shards.empty()) return CorruptError(fmt::format("{} names no file", kIndex), "try another revision");
  return shards;
}

Result<std::vector<const HubFile*>> SelectMatches(const HubListing& listing, std::span<const std::string> patterns) {
  std::vector<const HubFile*> matches;
  for (const std::string& pattern : patterns) {
    const bool any = std::any_of(listing.files.begin(), listing.files.end(),
                                 [&](const HubFile& file) { return MatchesPattern(pattern, file.path); });
    if (any) continue;
    std::vector<const HubFile*> others = Gguf(listing);
    if (others.empty()) {
      for (const HubFile& file : listing.files) others.push_back(&file);
    }
    return NotFoundError(fmt::format("no file of the repository matches --file '{}'", PrintableText(pattern)),
                         "it has " + Names(others));
  }
  for (const HubFile& file : listing.files) {
    const bool taken = std::any_of(patterns.begin(), patterns.end(),
                                   [&](const std::string& pattern) { return MatchesPattern(pattern, file.path); });
    if (taken) matches.push_back(&file);
  }
  return matches;
}

}  // namespace

const HubFile* HubListing::Find(std::string_view path) const {
  const auto found = std::find_if(files.begin(), files.end(), [&](const HubFile& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

Result<HubListing> ParseHubListing(const std::string& json, const std::string& where) {
  if (json.size() > limits::kMaxHubListBytes) {
    return LimitError(fmt::format("{}: {} bytes, the limit is {}", where, json.size(), limits::kMaxHubListBytes),
                      "use a repository with fewer files");
  }
  EYESHOT_ASSIGN_OR_RETURN(const Json tree, ParseJsonTree(json, where));
  EYESHOT_ASSIGN_OR_RETURN(const JsonObject root, JsonObject::Root(tree, where));
  HubListing listing;
  EYESHOT_ASSIGN_OR_RETURN(listing.commit, root.String("sha"));
  if (!IsCommit(listing.commit)) {
    return root.Error(StatusCode::kCorrupt, "sha", "a commit of 40 hexadecimal digits", kMendHub);
  }
  const Json* siblings = root.Find("siblings");
  if (siblings == nullptr || !siblings->is_array()) {
    return root.Error(StatusCode::kCorrupt, "siblings", "a list of files", kMendHub);
  }
  if (siblings->size() > limits::kMaxHubFiles) {
    return LimitError(fmt::format("{}: {} files, the limit is {}", where, siblings->size(), limits::kMaxHubFiles),
                      "use a repository with fewer files");
  }
  std::unordered_set<std::string> seen;
  for (const Json& sibling : *siblings) {
    EYESHOT_ASSIGN_OR_RETURN(HubFile file, ParseFile(sibling, where));
    if (!seen.insert(file.path).second) {
      return CorruptError(fmt::format("{}: '{}' is listed twice", where, file.path), kMendHub);
    }
    listing.files.push_back(std::move(file));
  }
  return listing;
}

bool IsSafePath(std::string_view path) {
  if (path.empty() || path.size() > limits::kMaxHubPathBytes) return false;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > limits::kMaxHubFileNameBytes) return false;
    begin = end + 1;
  }
  return std::none_of(path.begin(), path.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\'; });
}

std::string PrintableText(std::string_view text) {
  std::string printable(text.substr(0, kPrintableBytes));
  for (char& c : printable) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text.size() > kPrintableBytes ? printable + "..." : printable;
}

bool MatchesPattern(const std::string& pattern, const std::string& path) {
  return fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
}

std::vector<const HubFile*> SelectSmallFiles(const HubListing& listing) {
  std::vector<const HubFile*> files;
  for (const HubFile& file : listing.files) {
    if (std::find(kSmallFiles.begin(), kSmallFiles.end(), file.path) != kSmallFiles.end()) files.push_back(&file);
  }
  return files;
}

Result<std::vector<const HubFile*>> SelectWeights(const HubListing& listing, std::span<const std::string> patterns,
                                                  const std::string& index) {
  if (!patterns.empty()) return SelectMatches(listing, patterns);
  if (const HubFile* whole = listing.Find(kWeights); whole != nullptr) return std::vector<const HubFile*>{whole};
  if (!index.empty()) return SelectShards(listing, index);
  const std::vector<const HubFile*> gguf = Gguf(listing);
  if (gguf.empty()) {
    return NotFoundError("the repository has neither model.safetensors nor GGUF files",
                         "take a repository with weights in one of these formats; pickles are not read");
  }
  return NotFoundError(fmt::format("the repository has GGUF files instead of safetensors: {}", Names(gguf)),
                       "choose with --file, which may be a pattern and may stand twice: --file '*Q8_0.gguf'");
}

}  // namespace eyeshot
