// BlockPool: the blocks of a paged key/value cache: who uses them, and what they hold, so that equal prefixes of
// several sequences share blocks.
//
// Source of the idea: vLLM's automatic prefix caching (PagedAttention, arXiv 2309.06180).
#ifndef EYESHOT_RUNTIME_BLOCK_POOL_H_
#define EYESHOT_RUNTIME_BLOCK_POOL_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace eyeshot {

// Blocks are handed out lowest first, so that a conversation touches no more memory than it needs. A block that was
// registered with what it holds is kept when nobody uses it any more, and found again, until its room is wanted: the
// one that was given back longest ago goes first. After construction nothing allocates.
class BlockPool {
 public:
  // With `block_size`, the keys of so many tokens can be registered for each block; 0: none can.
  explicit BlockPool(int64_t blocks, int64_t block_size = 0);

  // Blocks that Take() can give.
  int64_t available() const { return static_cast<int64_t>(free_.size()) + kept_; }
  int64_t blocks() const { return static_cast<int64_t>(uses_.size()); }
  // REQUIRES: available() > 0. The block has one user.
  int32_t Take();
  // One user more; the block has a user, or is kept.
  void Share(int32_t block);
  // One user less.
  void Give(int32_t block);
  int32_t users(int32_t block) const { return uses_[Index(block)]; }

  // What a block holds: the content before it (0: nothing, it is the first) and its own keys. No two have the same
  // number, and numbers are never used again.
  using Content = uint64_t;
  struct Found {
    int32_t block = 0;
    Content content = 0;
  };
  // Notes that `block`, which has a user, holds `keys` behind `before`. Returns its content, or that of another block
  // which holds the same already. REQUIRES: keys.size() == block_size.
  Content Register(int32_t block, Content before, std::span<const uint64_t> keys);
  std::optional<Found> Find(Content before, std::span<const uint64_t> keys) const;
  // It will hold something else.
  void Forget(int32_t block);

 private:
  static size_t Index(int32_t block) { return static_cast<size_t>(block); }
  size_t BucketOf(Content before, std::span<const uint64_t> keys) const;
  bool Holds(int32_t block, Content before, std::span<const uint64_t> keys) const;
  void Unlink(int32_t block);  // out of the list of kept blocks

  static constexpr int32_t kNone = -1;

  int64_t block_size_;
  std::vector<int32_t> free_;  // a heap whose top is the lowest block
  std::vector<int32_t> uses_;  // by block
  // Kept blocks, from the one that was given back longest ago.
  int64_t kept_ = 0;
  int32_t oldest_ = kNone;
  int32_t newest_ = kNone;
  std::vector<int32_t> older_;
  std::vector<int32_t> newer_;
  // Registered blocks, in chains by a hash of what they hold.
  Content last_content_ = 0;
  std::vector<Content> content_;  // by block; 0: not registered
  std::vector<Content> before_;
  std::vector<uint64_t> keys_;  // [blocks, block_size]
  std::vector<int32_t> buckets_;
  std::vector<int32_t> next_;
};

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_BLOCK_POOL_H_
