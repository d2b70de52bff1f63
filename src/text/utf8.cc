#include "text/utf8.h"

#include <cstring>

namespace eyeshot {
namespace {

// How a first byte goes on: bytes in all, and the range of the second; all later ones are 0x80 to 0xBF. Table 3-7 of
// the Unicode Standard, which leaves out overlong forms, surrogates and what is above U+10FFFF.
struct Lead {
  uint32_t bytes = 0;  // 0: no character begins so
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1};
  if (byte < 0xC2) return {0};
  if (byte < 0xE0) return {2};
  if (byte == 0xE0) return {3, 0xA0};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3};
  if (byte == 0xF0) return {4, 0x90};
  if (byte < 0xF4) return {4};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0};
}

// Bytes at the start of `text` that are ASCII, counted eight at a time.
size_t AsciiPrefix(std::string_view text) {
  size_t at = 0;
  while (at + sizeof(uint64_t) <= text.size()) {
    uint64_t word;
    std::memcpy(&word, text.data() + at, sizeof(word));
    if ((word & 0x8080808080808080u) != 0) break;
    at += sizeof(word);
  }
  while (at < text.size() && static_cast<uint8_t>(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

Utf8Char DecodeUtf8(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const Lead lead = LeadOf(first);
  if (lead.bytes == 1) return {first, 1, /*valid=*/true};
  if (lead.bytes == 0) return {};
  // The first byte of a character of n bytes carries 7 - n bits.
  char32_t code_point = first & (0x7Fu >> lead.bytes);
  for (uint32_t i = 1; i < lead.bytes; ++i) {
    if (i == text.size()) return {kReplacementCharacter, i, /*valid=*/false, /*incomplete=*/true};
    const auto byte = static_cast<uint8_t>(text[i]);
    const bool fits = i == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
    if (!fits) return {kReplacementCharacter, i};
    code_point = (code_point << 6) | (byte & 0x3Fu);
  }
  return {code_point, lead.bytes, /*valid=*/true};
}

void AppendUtf8(char32_t code_point, std::string& out) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) {
    out += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    out += static_cast<char>(0xC0 | (code_point >> 6));
    out += tail(0);
  } else if (code_point < 0x10000) {
    out += static_cast<char>(0xE0 | (code_point >> 12));
    out += tail(6);
    out += tail(0);
  } else {
    out += static_cast<char>(0xF0 | (code_point >> 18));
    out += tail(12);
    out += tail(6);
    out += tail(0);
  }
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    text.remove_prefix(AsciiPrefix(text));
    if (text.empty()) break;
    const Utf8Char next = DecodeUtf8(text);
    if (!next.valid) return false;
    text.remove_prefix(next.bytes);
  }
  return true;
}

std::string RepairUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  Utf8Stream stream;
  stream.Push(text, out);
  stream.Finish(out);
  return out;
}

void Utf8Stream::Push(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (held_ == 0) {
      const size_t plain = AsciiPrefix(bytes);
      out.append(bytes.substr(0, plain));
      bytes.remove_prefix(plain);
      if (bytes.empty()) return;
    }
    hold_[held_++] = bytes.front();
    const Utf8Char next = DecodeUtf8({hold_, held_});
    if (next.incomplete) {
      bytes.remove_prefix(1);
      continue;
    }
    // Either the byte completes the character, or it belongs to the next one and is looked at again, unless it is
    // ill-formed by itself.
    if (next.bytes == held_) bytes.remove_prefix(1);
    AppendUtf8(next.code_point, out);
    held_ = 0;
  }
}

void Utf8Stream::Finish(std::string& out) {
  if (held_ != 0) AppendUtf8(kReplacementCharacter, out);
  held_ = 0;
}

}  // namespace eyeshot
