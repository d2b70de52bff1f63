#include "text/bpe.h"

#include <algorithm>
#include <bit>

#include "formats/byte_symbols.h"

namespace eyeshot {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
}

// std::push_heap keeps the largest in front: the order is turned round.
bool ComesLater(const Bpe::Workspace::Candidate& a, const Bpe::Workspace::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
}

}  // namespace

Bpe::Bpe(const TokenizerFile& file, const StringIndex& index) {
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    byte_ids_[byte] = index.Find(ByteSymbol(static_cast<uint8_t>(byte))).value_or(-1);
  }
  merges_.resize(std::bit_ceil(2 * file.merges.size() + 2));
  for (size_t rank = 0; rank < file.merges.size(); ++rank) AddMerge(file.merges[rank], static_cast<int32_t>(rank));
}

size_t Bpe::Locate(uint64_t pair) const {
  const size_t mask = merges_.size() - 1;
  // Fibonacci hashing: the product's upper half depends on all bits of the pair.
  size_t at = static_cast<size_t>((pair * 0x9E3779B97F4A7C15u) >> 32) & mask;
  while (merges_[at].pair != kNoPair && merges_[at].pair != pair) at = (at + 1) & mask;
  return at;
}

void Bpe::AddMerge(const BpeMerge& merge, int32_t rank) {
  // Of a pair that stands twice the later rank holds, as in Hugging Face's tokenizers.
  const uint64_t pair = PairKey(merge.left, merge.right);
  merges_[Locate(pair)] = {pair, rank, merge.result};
}

const Bpe::Merge* Bpe::FindMerge(int32_t left, int32_t right) const {
  const Merge& merge = merges_[Locate(PairKey(left, right))];
  return merge.pair == kNoPair ? nullptr : &merge;
}

void Bpe::PushIfMerges(uint32_t left, Workspace& workspace) const {
  const uint32_t right = workspace.symbols[left].next;
  if (right == kNone) return;
  const Merge* const merge = FindMerge(workspace.symbols[left].id, workspace.symbols[right].id);
  if (merge == nullptr) return;
  workspace.heap.push_back({merge->rank, left});
  std::push_heap(workspace.heap.begin(), workspace.heap.end(), ComesLater);
}

void Bpe::Encode(std::string_view word, Workspace& workspace, std::vector<int32_t>& ids) const {
  auto& symbols = workspace.symbols;
  auto& heap = workspace.heap;
  symbols.clear();
  heap.clear();
  for (const char c : word) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
    const auto at = static_cast<uint32_t>(symbols.size());
    if (id >= 0) symbols.push_back({id, at - 1, at + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = kNone;  // the first one's `previous` is kNone by wrapping
  for (uint32_t i = 0; i < symbols.size(); ++i) PushIfMerges(i, workspace);

  while (!heap.empty()) {
    const Workspace::Candidate best = heap.front();
    std::pop_heap(heap.begin(), heap.end(), ComesLater);
    heap.pop_back();
    // The candidate is out of date if one of its two symbols has merged with another since.
    Workspace::Symbol& left = symbols[best.left];
    if (left.id < 0 || left.next == kNone) continue;
    Workspace::Symbol& right = symbols[left.next];
    const Merge* const merge = FindMerge(left.id, right.id);
    if (merge == nullptr || merge->rank != best.rank) continue;

    left.id = merge->result;
    left.next = right.next;
    right.id = -1;
    if (left.next != kNone) symbols[left.next].previous = best.left;
    if (left.previous != kNone) PushIfMerges(left.previous, workspace);
    PushIfMerges(best.left, workspace);
  }
  for (uint32_t at = 0; at != kNone; at = symbols[at].next) ids.push_back(symbols[at].id);
}

}  // namespace eyeshot
