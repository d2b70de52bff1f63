#include "runtime/kv_sequence.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace eyeshot {

BlockPool::BlockPool(int64_t blocks) {
  for (int64_t i = 0; i < blocks; ++i) free_.push_back(static_cast<int32_t>(i));
  std::make_heap(free_.begin(), free_.end(), std::greater<>());
}

int32_t BlockPool::Take() {
  EYESHOT_CHECK(!free_.empty());
  std::pop_heap(free_.begin(), free_.end(), std::greater<>());
  const int32_t block = free_.back();
  free_.pop_back();
  return block;
}

void BlockPool::Give(int32_t block) {
  free_.push_back(block);  // within the capacity that the constructor took
  std::push_heap(free_.begin(), free_.end(), std::greater<>());
}

KvSequence::KvSequence(BlockPool& pool, const KvCacheShape& shape, int64_t capacity)
    : pool_(pool), block_size_(shape.block_size), capacity_(capacity) {
  keys_.reserve(static_cast<size_t>(capacity));
  positions_.reserve(static_cast<size_t>(capacity));
  table_.reserve(static_cast<size_t>((capacity + block_size_ - 1) / block_size_));
}

KvSequence::~KvSequence() { Truncate(0); }

int64_t KvSequence::CommonPrefix(std::span<const uint64_t> keys) const {
  const size_t shorter = std::min(keys.size(), keys_.size());
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(shorter);
  return std::mismatch(keys.begin(), end, keys_.begin()).first - keys.begin();
}

void KvSequence::Truncate(int64_t size) {
  EYESHOT_CHECK(size >= 0 && size <= this->size());
  keys_.resize(static_cast<size_t>(size));
  positions_.resize(static_cast<size_t>(size));
  const auto blocks = static_cast<size_t>((size + block_size_ - 1) / block_size_);
  while (table_.size() > blocks) {
    pool_.Give(table_.back());
    table_.pop_back();
  }
}

int32_t KvSequence::Append(uint64_t key, int32_t position) {
  EYESHOT_CHECK(size() < capacity_);
  const int64_t place = size();
  if (place % block_size_ == 0) table_.push_back(pool_.Take());
  keys_.push_back(key);
  positions_.push_back(position);
  return static_cast<int32_t>(table_.back() * block_size_ + place % block_size_);
}

}  // namespace eyeshot
