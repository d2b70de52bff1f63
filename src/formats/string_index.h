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

// Open addressing over positions in a list of strings. The list must outlive the index and stay unchanged. Strings
// that come from a file may be chosen to collide only within what std::hash allows; the load stays at most one half.
class StringIndex {
 public:
  StringIndex() = default;

  // Indexes every non-empty string. The position of a string that stands twice is returned, if there is one.
  std::optional<size_t> Build(const std::vector<std::string>& strings) {
    strings_ = &strings;
    slots_.assign(std::bit_ceil(2 * strings.size() + 2), 0);
    for (size_t i = 0; i < strings.size(); ++i) {
      if (strings[i].empty()) continue;
      uint32_t& slot = slots_[Locate(strings[i])];
      if (slot != 0) return i;
      slot = static_cast<uint32_t>(i + 1);
    }
    return std::nullopt;
  }

  // The position of `text` in the list.
  std::optional<int32_t> Find(std::string_view text) const {
    if (slots_.empty() || text.empty()) return std::nullopt;
    const uint32_t slot = slots_[Locate(text)];
    if (slot == 0) return std::nullopt;
    return static_cast<int32_t>(slot - 1);
  }

 private:
  // The slot that holds `text`, or the free one where it belongs.
  size_t Locate(std::string_view text) const {
    const size_t mask = slots_.size() - 1;
    size_t at = std::hash<std::string_view>()(text) & mask;
    while (slots_[at] != 0 && (*strings_)[slots_[at] - 1] != text) at = (at + 1) & mask;
    return at;
  }

  const std::vector<std::string>* strings_ = nullptr;
  std::vector<uint32_t> slots_;  // position + 1; 0: free. The size is a power of two.
};

}  // namespace eyeshot

#endif  // EYESHOT_FORMATS_STRING_INDEX_H_
