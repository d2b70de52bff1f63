// What a hub says about a repository: the commit and its files with their sizes and hashes; which of them to take.
#ifndef EYESHOT_HUB_LISTING_H_
#define EYESHOT_HUB_LISTING_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eyeshot/status.h"

namespace eyeshot {

struct HubFile {
  std::string path;     // relative, safe to put below a folder (IsSafePath)
  uint64_t bytes = 0;
  std::string blob_id;  // git's SHA-1 of the file, in hex; of a file kept by LFS: of its pointer
  std::string sha256;   // of the content, in hex; empty: not kept by LFS

  // What the hub has as its ETag, and huggingface_hub as the name of the file in its cache.
  const std::string& etag() const { return sha256.empty() ? blob_id : sha256; }
};

struct HubListing {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;

  // nullptr if there is none.
  const HubFile* Find(std::string_view path) const;
};

// Reads the answer of {endpoint}/api/models/ORG/NAME/revision/REV?blobs=true. `where` names it in errors.
// Errors: kCorrupt (no JSON, values that can't be, a path that leads out of its folder, a path twice), kLimitExceeded,
// kUnsupported (a hub that does not tell sizes and hashes).
Result<HubListing> ParseHubListing(const std::string& json, const std::string& where);

// Whether a path of a repository may be put below a folder: relative, without empty parts, ".", "..", backslashes and
// control characters, within the limits on length.
bool IsSafePath(std::string_view path);

// At most 200 bytes of a text, control characters as '?': a message from outside must not write to a terminal.
std::string PrintableText(std::string_view text);

// Whether `path` matches a pattern with '*', '?' and '[...]' as of a shell; '*' also matches '/'.
bool MatchesPattern(const std::string& pattern, const std::string& path);

// Files that an engine needs beside the weights: configuration, tokenizer, processors, templates.
std::vector<const HubFile*> SelectSmallFiles(const HubListing& listing);

// The weights to take: with patterns the files that match one of them; without, model.safetensors or else the shards
// that `index` (the text of model.safetensors.index.json, or empty) names. Errors: kNotFound (nothing matches, or the
// repository has no safetensors: GGUF files that it has instead are listed), kCorrupt (the index names what is not
// there).
Result<std::vector<const HubFile*>> SelectWeights(const HubListing& listing, std::span<const std::string> patterns,
                                                  const std::string& index);

}  // namespace eyeshot

#endif  // EYESHOT_HUB_LISTING_H_
