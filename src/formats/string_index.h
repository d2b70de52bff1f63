// Finds strings of a list: a flat hash table, several times faster to fill than a node-based one.
#ifndef EYESHOT_FORMATS_STRING_INDEX_H_
#define EYESHOT_FORMATS_STRING_INDEX_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eyeshot {

// Open addressing over positions in a list of strings. The list must outlive the index; strings that are in the index
// must not change, others may be put in. The load stays at most one half.
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
    const uint64_t hash = Hash(text);
    Slot& slot = slots_[Locate(text, hash)];
    if (slot.place != 0) return false;
    slot = {Tag(hash), static_cast<uint32_t>(position + 1)};
    return true;
  }

  // The position of `text` in the list.
  std::optional<int32_t> Find(std::string_view text) const {
    if (slots_.empty() || text.empty()) return std::nullopt;
    const Slot& slot = slots_[Locate(text, Hash(text))];
    if (slot.place == 0) return std::nullopt;
    return static_cast<int32_t>(slot.place - 1);
  }

 private:
  struct Slot {
    uint32_t tag = 0;    // of the string's hash: most strings that differ are told apart without being read
    uint32_t place = 0;  // position + 1; 0: free
  };

  static uint32_t Tag(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

  // Multiplies eight bytes at a time into the hash. Inline, since most tokens are short: std::hash is a call.
  static uint64_t Hash(std::string_view text) {
    constexpr uint64_t kFactor = 0x9E3779B97F4A7C15u;
    uint64_t hash = text.size();
    const auto mix = [&hash](uint64_t word) {
      hash = (hash ^ word) * kFactor;
      hash ^= hash >> 32;
    };
    // Load() reads as many bytes as its type has, and the text has them.
    // NOLINTBEGIN(bugprone-suspicious-stringview-data-usage)
    for (; text.size() > sizeof(uint64_t); text.remove_prefix(sizeof(uint64_t))) mix(Load<uint64_t>(text.data()));
    mix(UpToEight(text));
    return hash * kFactor;
  }

  // The bytes of a text of 1 to 8 as one number, by loads that overlap. Texts of one length give different numbers.
  static uint64_t UpToEight(std::string_view text) {
    const char* const end = text.data() + text.size();
    if (text.size() >= 4) return Load<uint32_t>(text.data()) | uint64_t{Load<uint32_t>(end - 4)} << 32;
    if (text.size() >= 2) return Load<uint16_t>(text.data()) | uint64_t{Load<uint16_t>(end - 2)} << 16;
    // NOLINTEND(bugprone-suspicious-stringview-data-usage)
    return static_cast<uint8_t>(text[0]);
  }

  template <typename T>
  static T Load(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof(value));
    return value;
  }

  // The slot that holds `text`, or the free one where it belongs.
  size_t Locate(std::string_view text, uint64_t hash) const {
    const size_t mask = slots_.size() - 1;
    size_t at = (hash ^ hash >> 29) & mask;
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
