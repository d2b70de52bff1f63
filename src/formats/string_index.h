// Finds strings of a list: a flat hash table, several times faster to fill than a node-based one.
#ifndef EYESHOT_FORMATS_STRING_INDEX_H_
#define EYESHOT_FORMATS_STRING_INDEX_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eyeshot {

// Open addressing over positions in a list of strings. The list must outlive the index; strings that are in the index
// must not change, others may be put in. Strings that come from a file may be chosen to collide only within what
// std::hash allows; the load stays at most one half.
class StringIndex {
 public:
  StringIndex() = default;

  // Indexes every non-empty string, with room for `more` others. The position of a string that stands twice is
  // returned, if there is one.
  std::optional<size_t> Build(const std::vector<std::string>& strings, size_t more = 0) {
    strings_ = &strings;
    slots_.assign(std::bit_ceil(2 * (strings.size() + more) + 2), {});
    for (size_t i = 0; i < strings.size(); ++i) {
      if (!strings[i].empty() && !Insert(i)) return i;
    }
    return std::nullopt;
  }

  // Indexes the string at a position, which is not empty; false if an equal one is indexed.
  // REQUIRES: Build() made room for it.
  bool Insert(size_t position) {
    const std::string_view text = (*strings_)[position];
    const size_t hash = std::hash<std::string_view>()(text);
    Slot& slot = slots_[Locate(text, hash)];
    if (slot.place != 0) return false;
    slot = {Tag(hash), static_cast<uint32_t>(position + 1)};
    return true;
  }

  // The position of `text` in the list.
  std::optional<int32_t> Find(std::string_view text) const {
    if (slots_.empty() || text.empty()) return std::nullopt;
    const Slot& slot = slots_[Locate(text, std::hash<std::string_view>()(text))];
    if (slot.place == 0) return std::nullopt;
    return static_cast<int32_t>(slot.place - 1);
  }

 private:
  struct Slot {
    uint32_t tag = 0;    // of the string's hash: most strings that differ are told apart without being read
    uint32_t place = 0;  // position + 1; 0: free
  };

  static uint32_t Tag(size_t hash) { return static_cast<uint32_t>(hash >> 32); }

  // The slot that holds `text`, or the free one where it belongs.
  size_t Locate(std::string_view text, size_t hash) const {
    const size_t mask = slots_.size() - 1;
    size_t at = hash & mask;
    while (slots_[at].place != 0 && (slots_[at].tag != Tag(hash) || (*strings_)[slots_[at].place - 1] != text)) {
      at = (at + 1) & mask;
    }
    return at;
  }

  const std::vector<std::string>* strings_ = nullptr;
  std::vector<Slot> slots_;  // the size is a power of two
};

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_STRING_INDEX_H_
