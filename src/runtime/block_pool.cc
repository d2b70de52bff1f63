#include "runtime/block_pool.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/check.h"
#include "base/splitmix64.h"

namespace eyeshot {

BlockPool::BlockPool(int64_t blocks, int64_t block_size) : block_size_(block_size) {
  const auto count = static_cast<size_t>(blocks);
  for (int64_t i = 0; i < blocks; ++i) free_.push_back(static_cast<int32_t>(i));
  std::make_heap(free_.begin(), free_.end(), std::greater<>());
  uses_.assign(count, 0);
  if (block_size == 0) return;
  older_.assign(count, kNone);
  newer_.assign(count, kNone);
  content_.assign(count, 0);
  before_.assign(count, 0);
  keys_.assign(count * static_cast<size_t>(block_size), 0);
  buckets_.assign(std::bit_ceil(2 * count + 1), kNone);
  next_.assign(count, kNone);
}

int32_t BlockPool::Take() {
  EYESHOT_CHECK(available() > 0);
  int32_t block = oldest_;
  if (free_.empty()) {
    Unlink(block);
    Forget(block);
  } else {
    std::pop_heap(free_.begin(), free_.end(), std::greater<>());
    block = free_.back();
    free_.pop_back();
  }
  uses_[Index(block)] = 1;
  return block;
}

void BlockPool::Share(int32_t block) {
  if (uses_[Index(block)]++ > 0) return;
  Unlink(block);
}

void BlockPool::Give(int32_t block) {
  int32_t& uses = uses_[Index(block)];
  EYESHOT_CHECK(uses > 0);
  if (--uses > 0) return;
  if (block_size_ == 0 || content_[Index(block)] == 0) {
    free_.push_back(block);  // within the capacity that the constructor took
    std::push_heap(free_.begin(), free_.end(), std::greater<>());
    return;
  }
  older_[Index(block)] = newest_;
  newer_[Index(block)] = kNone;
  if (newest_ != kNone) newer_[Index(newest_)] = block;
  newest_ = block;
  if (oldest_ == kNone) oldest_ = block;
  ++kept_;
}

void BlockPool::Unlink(int32_t block) {
  const int32_t older = older_[Index(block)];
  const int32_t newer = newer_[Index(block)];
  (older == kNone ? oldest_ : newer_[Index(older)]) = newer;
  (newer == kNone ? newest_ : older_[Index(newer)]) = older;
  --kept_;
}

size_t BlockPool::BucketOf(Content before, std::span<const uint64_t> keys) const {
  uint64_t hash = SplitMix64(before);
  for (const uint64_t key : keys) hash = SplitMix64(hash ^ key);
  return static_cast<size_t>(hash) & (buckets_.size() - 1);
}

bool BlockPool::Holds(int32_t block, Content before, std::span<const uint64_t> keys) const {
  if (before_[Index(block)] != before) return false;
  const auto own = keys_.begin() + static_cast<std::ptrdiff_t>(block) * block_size_;
  return std::equal(keys.begin(), keys.end(), own);
}

BlockPool::Content BlockPool::Register(int32_t block, Content before, std::span<const uint64_t> keys) {
  EYESHOT_CHECK(block_size_ > 0 && static_cast<int64_t>(keys.size()) == block_size_ && content_[Index(block)] == 0);
  if (const std::optional<Found> found = Find(before, keys)) return found->content;
  std::copy(keys.begin(), keys.end(), keys_.begin() + static_cast<std::ptrdiff_t>(block) * block_size_);
  before_[Index(block)] = before;
  content_[Index(block)] = ++last_content_;
  int32_t& bucket = buckets_[BucketOf(before, keys)];
  next_[Index(block)] = bucket;
  bucket = block;
  return last_content_;
}

std::optional<BlockPool::Found> BlockPool::Find(Content before, std::span<const uint64_t> keys) const {
  if (block_size_ == 0) return std::nullopt;
  for (int32_t block = buckets_[BucketOf(before, keys)]; block != kNone; block = next_[Index(block)]) {
    if (Holds(block, before, keys)) return Found{block, content_[Index(block)]};
  }
  return std::nullopt;
}

void BlockPool::Forget(int32_t block) {
  if (block_size_ == 0 || content_[Index(block)] == 0) return;
  const std::span<const uint64_t> keys(keys_.data() + static_cast<std::ptrdiff_t>(block) * block_size_,
                                       static_cast<size_t>(block_size_));
  int32_t* link = &buckets_[BucketOf(before_[Index(block)], keys)];
  while (*link != block) link = &next_[Index(*link)];
  *link = next_[Index(block)];
  content_[Index(block)] = 0;
}

}  // namespace eyeshot
