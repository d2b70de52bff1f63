// KvSequence: one conversation's place in a paged key/value cache.
#ifndef EYESHOT_RUNTIME_KV_SEQUENCE_H_
#define EYESHOT_RUNTIME_KV_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace eyeshot {

// The blocks of a cache that nobody uses. Blocks are handed out lowest first, so that a conversation touches
// no more memory than it needs.
class BlockPool {
 public:
  explicit BlockPool(int64_t blocks);

  int64_t available() const { return static_cast<int64_t>(free_.size()); }
  // REQUIRES: available() > 0.
  int32_t Take();
  void Give(int32_t block);

 private:
  std::vector<int32_t> free_;  // a heap whose top is the lowest block
};

// What each cached position holds, as a key: equal keys at equal positions after equal prefixes mean equal keys
// and values. A token's rotary position must follow from these keys, too. The table grows with Append and shrinks with
// Truncate; neither allocates after construction.
class KvSequence {
 public:
  // A sequence of up to `capacity` tokens in a cache of that shape.
  KvSequence(BlockPool& pool, const KvCacheShape& shape, int64_t capacity);
  ~KvSequence();
  KvSequence(const KvSequence&) = delete;
  KvSequence& operator=(const KvSequence&) = delete;

  int64_t size() const { return static_cast<int64_t>(keys_.size()); }
  int64_t capacity() const { return capacity_; }
  std::span<const int32_t> block_table() const { return table_; }
  // The rotary position of each token. The last one is the largest, and may exceed size() - 1.
  std::span<const int32_t> positions() const { return positions_; }

  // How many leading keys are those that are cached.
  int64_t CommonPrefix(std::span<const uint64_t> keys) const;
  // Forgets all positions from `size` on.
  void Truncate(int64_t size);
  // Takes room for one more token. REQUIRES: size() < capacity(). Returns its slot: block * block_size + offset.
  int32_t Append(uint64_t key, int32_t position);
  // The same for a token whose position follows the last one's.
  int32_t Append(uint64_t key) { return Append(key, positions_.empty() ? 0 : positions_.back() + 1); }
  // Changes the last key: a token may be given room before it is known. REQUIRES: size() > 0.
  void SetLast(uint64_t key) { keys_.back() = key; }

 private:
  BlockPool& pool_;
  int64_t block_size_;
  int64_t capacity_;
  std::vector<uint64_t> keys_;
  std::vector<int32_t> positions_;  // parallel to keys_
  std::vector<int32_t> table_;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_KV_SEQUENCE_H_
