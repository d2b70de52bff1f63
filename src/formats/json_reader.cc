#include "formats/json_reader.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace eyeshot {
namespace {

// Bytes that stand for themselves in a string: no quote, backslash, control or part of a longer character.
constexpr std::array<bool, 256> MakePlainBytes() {
  std::array<bool, 256> plain{};
  for (size_t byte = 0x20; byte < 0x80; ++byte) plain[byte] = byte != '"' && byte != '\\';
  return plain;
}
constexpr std::array<bool, 256> kPlain = MakePlainBytes();

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsContinuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }
bool IsHighSurrogate(uint32_t unit) { return unit >= 0xD800 && unit <= 0xDBFF; }
bool IsLowSurrogate(uint32_t unit) { return unit >= 0xDC00 && unit <= 0xDFFF; }

void AppendUtf8(uint32_t code_point, std::string& out) {
  const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

// Without recursion, so that depth is the handler's to bound.
class Reader {
 public:
  Reader(std::string_view text, JsonHandler& handler)
      : at_(text.data()), end_(text.data() + text.size()), handler_(handler) {}

  JsonOutcome Read() {
    if (Rest().starts_with("\xEF\xBB\xBF")) at_ += 3;
    JsonOutcome outcome = Value();
    while (outcome == kGoOn && !open_.empty()) outcome = open_.back() == '[' ? AfterElement() : AfterMember();
    return outcome == kGoOn && Peek() != '\0' ? kBad : outcome;
  }

 private:
  static constexpr JsonOutcome kGoOn = JsonOutcome::kRead;
  static constexpr JsonOutcome kBad = JsonOutcome::kSyntaxError;

  static JsonOutcome If(bool go_on) { return go_on ? kGoOn : JsonOutcome::kStopped; }

  std::string_view Rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }
  size_t Left() const { return static_cast<size_t>(end_ - at_); }

  // The next character that is no white space. The end is a zero byte, and a zero byte is the end: nlohmann reads
  // C strings.
  char Peek() {
    constexpr std::string_view kIndent = "        ";
    const char* at = at_;
    while (at + kIndent.size() < end_ && (*at == '\n' || *at == ' ') &&
           std::memcmp(at + 1, kIndent.data(), kIndent.size()) == 0) {
      at += 1 + kIndent.size();
    }
    while (at < end_ && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
    at_ = at;
    return at < end_ ? *at : '\0';
  }

  // A value up to its end or, of a container with content, up to the end of its first value.
  JsonOutcome Value() {
    for (;;) {
      switch (Peek()) {
        case '{': {
          ++at_;
          if (!handler_.start_object(kUnknownSize)) return JsonOutcome::kStopped;
          if (Peek() == '}') return ++at_, If(handler_.end_object());
          open_.push_back('{');
          if (const JsonOutcome key = Key(); key != kGoOn) return key;
          break;
        }
        case '[':
          ++at_;
          if (!handler_.start_array(kUnknownSize)) return JsonOutcome::kStopped;
          if (Peek() == ']') return ++at_, If(handler_.end_array());
          open_.push_back('[');
          break;
        case '"': return String() ? If(handler_.string(string_)) : kBad;
        case 't': return Word("true") ? If(handler_.boolean(true)) : kBad;
        case 'f': return Word("false") ? If(handler_.boolean(false)) : kBad;
        case 'n': return Word("null") ? If(handler_.null()) : kBad;
        default: return Number();
      }
    }
  }

  JsonOutcome AfterElement() {
    const char next = Peek();
    if (next != ',' && next != ']') return kBad;
    ++at_;
    if (next == ',') return Value();
    open_.pop_back();
    return If(handler_.end_array());
  }

  JsonOutcome AfterMember() {
    const char next = Peek();
    if (next != ',' && next != '}') return kBad;
    ++at_;
    if (next == '}') {
      open_.pop_back();
      return If(handler_.end_object());
    }
    const JsonOutcome key = Key();
    return key == kGoOn ? Value() : key;
  }

  // "key":
  JsonOutcome Key() {
    if (Peek() != '"' || !String()) return kBad;
    if (!handler_.key(string_)) return JsonOutcome::kStopped;
    if (Peek() != ':') return kBad;
    ++at_;
    return kGoOn;
  }

  bool Word(std::string_view word) {
    if (!Rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  // Reads a string, quotes included, to string_.
  bool String() {
    string_.clear();
    const char* begin = ++at_;
    for (;;) {
      SkipPlain();
      if (at_ == end_) return false;
      if (static_cast<uint8_t>(*at_) >= 0x80) {
        const size_t bytes = LongCharacter();
        if (bytes == 0) return false;
        at_ += bytes;
        continue;
      }
      string_.append(begin, at_);
      const char special = *at_++;
      if (special == '"') return true;
      if (special != '\\' || !Escape()) return false;
      begin = at_;
    }
  }

  // In a local variable: writes through at_ would keep the compiler from holding anything else in registers.
  void SkipPlain() {
    const char* at = at_;
    while (at < end_ && kPlain[static_cast<uint8_t>(*at)]) ++at;
    at_ = at;
  }

  // Bytes of the well-formed UTF-8 character of more than one byte here; 0 if it is none.
  size_t LongCharacter() const {
    const auto byte = [this](size_t i) { return i < Left() ? static_cast<uint8_t>(at_[i]) : uint8_t{0}; };
    const uint8_t lead = byte(0);
    const uint8_t second = byte(1);
    if (!IsContinuation(second)) return 0;
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) {
      const bool overlong = lead == 0xE0 && second < 0xA0;
      const bool surrogate = lead == 0xED && second > 0x9F;
      return !overlong && !surrogate && IsContinuation(byte(2)) ? 3 : 0;
    }
    if (lead < 0xF0 || lead > 0xF4 || (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return IsContinuation(byte(2)) && IsContinuation(byte(3)) ? 4 : 0;
  }

  // What follows a backslash.
  bool Escape() {
    if (at_ == end_) return false;
    const char kind = *at_++;
    if (kind == 'u') return UnicodeEscape();
    constexpr std::string_view kKinds = "\"\\/bfnrt", kCharacters = "\"\\/\b\f\n\r\t";
    const size_t index = kKinds.find(kind);
    if (index == std::string_view::npos) return false;
    string_ += kCharacters[index];
    return true;
  }

  // "00e9", or a pair of surrogates: "d83d\ude00".
  bool UnicodeEscape() {
    const std::optional<uint32_t> unit = FourHexDigits();
    if (!unit || IsLowSurrogate(*unit)) return false;
    if (!IsHighSurrogate(*unit)) return AppendUtf8(*unit, string_), true;
    if (!Word("\\u")) return false;
    const std::optional<uint32_t> low = FourHexDigits();
    if (!low || !IsLowSurrogate(*low)) return false;
    AppendUtf8(0x10000 + ((*unit - 0xD800) << 10) + (*low - 0xDC00), string_);
    return true;
  }

  std::optional<uint32_t> FourHexDigits() {
    uint32_t value = 0;
    if (Left() < 4) return std::nullopt;
    const auto [stop, error] = std::from_chars(at_, at_ + 4, value, 16);
    if (error != std::errc() || stop != at_ + 4) return std::nullopt;
    at_ += 4;
    return value;
  }

  bool Digits() {
    const char* at = at_;
    while (at < end_ && IsDigit(*at)) ++at;
    return std::exchange(at_, at) < at;
  }

  JsonOutcome Number() {
    const char* const begin = at_;
    const bool negative = at_ < end_ && *at_ == '-';
    if (negative) ++at_;
    if (at_ < end_ && *at_ == '0') {
      ++at_;
    } else if (!Digits()) {
      return kBad;
    }
    bool whole = true;
    if (at_ < end_ && *at_ == '.') {
      whole = false;
      ++at_;
      if (!Digits()) return kBad;
    }
    if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
      whole = false;
      ++at_;
      if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!Digits()) return kBad;
    }
    if (whole) {
      if (const std::optional<JsonOutcome> outcome = negative ? Integer<int64_t>(begin) : Integer<uint64_t>(begin)) {
        return *outcome;
      }
    }
    return Float(begin);
  }

  // The integer from `begin` to here; nullopt if it is too large for one.
  template <typename T>
  std::optional<JsonOutcome> Integer(const char* begin) {
    T value = 0;
    if (std::from_chars(begin, at_, value).ec != std::errc()) return std::nullopt;
    if constexpr (std::is_signed_v<T>) {
      return If(handler_.number_integer(value));
    } else {
      return If(handler_.number_unsigned(value));
    }
  }

  // Fractions are few: nlohmann says what they are, and which are too large.
  JsonOutcome Float(const char* begin) {
    const Json number = Json::parse(begin, at_, nullptr, /*allow_exceptions=*/false);
    if (!number.is_number_float()) return kBad;
    string_.assign(begin, at_);
    return If(handler_.number_float(number.get<double>(), string_));
  }

  static constexpr auto kUnknownSize = static_cast<std::size_t>(-1);  // nlohmann's "not known yet"

  const char* at_;
  const char* end_;
  JsonHandler& handler_;
  std::string string_;      // the last one read
  std::vector<char> open_;  // '{' or '[' of each container around at_
};

}  // namespace

JsonOutcome ReadJson(std::string_view text, JsonHandler& handler) { return Reader(text, handler).Read(); }

}  // namespace eyeshot
