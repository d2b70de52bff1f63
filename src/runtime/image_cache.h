// ImageCache: visual tokens of pictures that were encoded, for later requests that show the same.
#ifndef EYESHOT_RUNTIME_IMAGE_CACHE_H_
#define EYESHOT_RUNTIME_IMAGE_CACHE_H_

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "runtime/conversation.h"

namespace eyeshot {

// SHA-256 of a salt of this process, all pixels, and all that decides what becomes of them: nobody can make a picture
// that is taken for another one.
using VisualHash = std::array<uint8_t, 32>;
VisualHash HashOf(const Visual& visual, const VisualHash& salt);
// Of a salt that nobody knows.
VisualHash RandomSalt();

// Least recently used ones go when `most_bytes` are exceeded. Not synchronized.
class ImageCache {
 public:
  explicit ImageCache(uint64_t most_bytes) : most_bytes_(most_bytes) {}

  // Gives the visual its tokens, if it was encoded before: a hit.
  bool Fill(const VisualHash& hash, Visual& visual);
  // Keeps the tokens of a visual that was encoded, which is a miss. Callers give each visual a buffer of its own.
  void Keep(const VisualHash& hash, const Visual& visual);

  uint64_t bytes() const { return bytes_; }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  struct Entry {
    VisualHash hash;
    std::shared_ptr<Buffer> buffer;
    MatrixView rows;
    std::vector<int32_t> slots;
    std::vector<int64_t> tile_tokens;
    uint64_t bytes = 0;
  };

  uint64_t most_bytes_;
  uint64_t bytes_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
  std::list<Entry> entries_;  // the one that was used last comes first
  std::map<VisualHash, std::list<Entry>::iterator> by_hash_;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_IMAGE_CACHE_H_
