#include "runtime/image_cache.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>

#include "base/sha256.h"
#include "reduce/reduce_spec.h"

namespace eyeshot {
namespace {

template <typename Value>
void Add(Sha256& hash, const Value& value) {
  static_assert(std::is_trivially_copyable_v<Value>);
  std::array<uint8_t, sizeof(Value)> bytes;
  std::memcpy(bytes.data(), &value, sizeof(Value));
  hash.Update(bytes);
}

void Add(Sha256& hash, const std::string& text) {
  Add(hash, text.size());
  hash.Update({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void Add(Sha256& hash, const Image& image) {
  Add(hash, image.width);
  Add(hash, image.height);
  Add(hash, image.full_width);
  Add(hash, image.full_height);
  hash.Update(image.rgb);
}

}  // namespace

VisualHash HashOf(const Visual& visual, const VisualHash& salt) {
  Sha256 hash;
  hash.Update(salt);
  Add(hash, ReduceSpecName(visual.reduce));
  for (const int64_t keep : visual.keep) Add(hash, keep);
  Add(hash, visual.question);
  Add(hash, visual.keeps_positions);
  if (visual.image != nullptr) {
    Add(hash, visual.grid.rows);
    Add(hash, visual.grid.cols);
    Add(hash, visual.budget.longest_edge);
    Add(hash, visual.budget.split);
    Add(hash, *visual.image);
  } else {
    Add(hash, visual.frames->tile_side);
    Add(hash, visual.frames->images.size());
    for (const Image& frame : visual.frames->images) Add(hash, frame);
  }
  return hash.Finish();
}

VisualHash RandomSalt() {
  VisualHash salt;
  std::random_device random;
  std::generate(salt.begin(), salt.end(), [&] { return static_cast<uint8_t>(random()); });
  return salt;
}

bool ImageCache::Fill(const VisualHash& hash, Visual& visual) {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return false;
  ++hits_;
  entries_.splice(entries_.begin(), entries_, found->second);
  const Entry& entry = entries_.front();
  visual.buffer = entry.buffer;
  visual.rows = entry.rows;
  visual.slots = entry.slots;
  visual.tile_tokens = entry.tile_tokens;
  return true;
}

void ImageCache::Keep(const VisualHash& hash, const Visual& visual) {
  ++misses_;
  const uint64_t bytes = visual.buffer->bytes();
  if (bytes > most_bytes_ || by_hash_.count(hash) > 0) return;
  entries_.push_front({hash, visual.buffer, visual.rows, visual.slots, visual.tile_tokens, bytes});
  by_hash_[hash] = entries_.begin();
  bytes_ += bytes;
  while (bytes_ > most_bytes_) {
    bytes_ -= entries_.back().bytes;
    by_hash_.erase(entries_.back().hash);
    entries_.pop_back();
  }
}

}  // namespace eyeshot
