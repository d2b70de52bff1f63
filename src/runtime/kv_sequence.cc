#include "runtime/kv_sequence.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace eyeshot {

KvSequence::KvSequence(BlockPool& pool, const KvCacheShape& shape, int64_t capacity)
    : pool_(pool), block_size_(shape.block_size), capacity_(capacity) {
  keys_.reserve(static_cast<size_t>(capacity));
  positions_.reserve(static_cast<size_t>(capacity));
  table_.reserve(static_cast<size_t>((capacity + block_size_ - 1) / block_size_));
  contents_.reserve(table_.capacity());
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
  // A block that is no longer full will hold something else.
  const auto full = static_cast<size_t>(size / block_size_);
  if (contents_.size() > full) {
    if (table_.size() > full) {
      EYESHOT_CHECK(pool_.users(table_[full]) == 1);
      pool_.Forget(table_[full]);
    }
    contents_.resize(full);
  }
}

int64_t KvSequence::Adopt(std::span<const uint64_t> keys, std::span<const int32_t> positions) {
  EYESHOT_CHECK(size() == 0);
  const auto block_size = static_cast<size_t>(block_size_);
  while (keys_.size() + block_size < keys.size()) {
    const size_t begin = keys_.size();
    const std::span<const uint64_t> own = keys.subspan(begin, block_size);
    const auto found = pool_.Find(contents_.empty() ? 0 : contents_.back(), own);
    if (!found) break;
    pool_.Share(found->block);
    table_.push_back(found->block);
    contents_.push_back(found->content);
    keys_.insert(keys_.end(), own.begin(), own.end());
    for (size_t i = begin; i < begin + block_size; ++i) {
      positions_.push_back(positions.empty() ? static_cast<int32_t>(i) : positions[i]);
    }
  }
  return size();
}

void KvSequence::Register() {
  const auto block_size = static_cast<size_t>(block_size_);
  while ((contents_.size() + 1) * block_size <= keys_.size()) {
    const size_t index = contents_.size();
    contents_.push_back(pool_.Register(table_[index], index == 0 ? 0 : contents_.back(),
                                       std::span(keys_).subspan(index * block_size, block_size)));
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
