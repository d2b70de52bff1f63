// Byte-pair encoding of one word.
#ifndef EYESHOT_TEXT_BPE_H_
#define EYESHOT_TEXT_BPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "formats/string_index.h"
#include "formats/tokenizer_json.h"

namespace eyeshot {

// Immutable after construction.
class Bpe {
 public:
  // Memory that words share, so that encoding a text allocates a few times in all.
  struct Workspace;

  // `index` is that of the file's vocabulary.
  Bpe(const TokenizerFile& file, const StringIndex& index);

  // Appends the ids of a word of raw bytes. Bytes without a token are left out, and their neighbours then touch. Of
  // n bytes it takes O(n log n) time.
  void Encode(std::string_view word, Workspace& workspace, std::vector<int32_t>& ids) const;

 private:
  struct Merge {
    uint64_t pair = kNoPair;
    int32_t rank = 0;
    int32_t result = 0;
  };
  static constexpr uint64_t kNoPair = ~uint64_t{0};

  void AddMerge(const BpeMerge& merge, int32_t rank);
  // nullptr if the two never merge.
  const Merge* FindMerge(int32_t left, int32_t right) const;
  size_t Locate(uint64_t pair) const;
  void PushIfMerges(uint32_t left, Workspace& workspace) const;

  std::array<int32_t, 256> byte_ids_;  // -1: the byte has no token
  std::vector<Merge> merges_;          // open addressing; the size is a power of two
};

struct Bpe::Workspace {
  // A doubly linked list in place.
  struct Symbol {
    int32_t id = 0;  // -1: merged into the one before it
    uint32_t previous = 0;
    uint32_t next = 0;
  };
  struct Candidate {
    int32_t rank = 0;
    uint32_t left = 0;  // position of the left symbol
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;  // smallest rank first, then leftmost
};

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_BPE_H_
