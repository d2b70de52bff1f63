#include "text/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace eyeshot {
namespace {

#define U_FFFD "\xEF\xBF\xBD"

struct RepairCase {
  std::string bytes;
  std::string text;  // what Python's bytes.decode(errors="replace") gives
};

const std::vector<RepairCase>& RepairCases() {
  static const std::vector<RepairCase> cases = {
      {"", ""},
      {"plain", "plain"},
      {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
      {"\x80", U_FFFD},
      {"\xBF\x80", U_FFFD U_FFFD},
      {"\xC3", U_FFFD},
      {"\xC3(", U_FFFD "("},
      {"\xC0\x80", U_FFFD U_FFFD},              // overlong
      {"\xE0\x80\x80", U_FFFD U_FFFD U_FFFD},   // overlong
      {"\xED\xA0\x80", U_FFFD U_FFFD U_FFFD},   // a surrogate
      {"\xED\x9F\xBF\xEE\x80\x80", "\xED\x9F\xBF\xEE\x80\x80"},
      {"\xE2\x82", U_FFFD},                     // one maximal part
      {"\xE2\x82z", U_FFFD "z"},
      {"\xE2\xE2\x82\xAC", U_FFFD "\xE2\x82\xAC"},
      {"\xF0\x9F\x98", U_FFFD},
      {"\xF0\x9F\x98\xF0\x9F\x98\x80", U_FFFD "\xF0\x9F\x98\x80"},
      {"\xF0\x8F\xBF\xBF", U_FFFD U_FFFD U_FFFD U_FFFD},
      {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
      {"\xF4\x90\x80\x80", U_FFFD U_FFFD U_FFFD U_FFFD},  // above U+10FFFF
      {"\xF5\xFF\xFE", U_FFFD U_FFFD U_FFFD},
  };
  return cases;
}

TEST(Utf8Test, RepairsAsPythonDoes) {
  for (const RepairCase& c : RepairCases()) {
    EXPECT_EQ(RepairUtf8(c.bytes), c.text);
    EXPECT_EQ(IsValidUtf8(c.bytes), c.bytes == c.text);
  }
}

TEST(Utf8Test, StreamGivesTheSameWhateverTheCuts) {
  std::string all, expected;
  for (const RepairCase& c : RepairCases()) {
    all += c.bytes + "|";
    expected += c.text + "|";
  }
  for (size_t step = 1; step < 12; ++step) {
    Utf8Stream stream;
    std::string out;
    for (size_t at = 0; at < all.size(); at += step) {
      stream.Push(std::string_view(all).substr(at, step), out);
      EXPECT_TRUE(IsValidUtf8(out));
      EXPECT_LE(stream.pending(), 3u);
    }
    stream.Finish(out);
    EXPECT_EQ(out, expected) << "step " << step;
  }
}

TEST(Utf8Test, StreamHoldsBackAndFlushes) {
  Utf8Stream stream;
  std::string out;
  stream.Push("a\xF0\x9F", out);
  EXPECT_EQ(out, "a");
  EXPECT_EQ(stream.pending(), 2u);
  stream.Push("\x98", out);
  stream.Push("\x80", out);
  EXPECT_EQ(out, "a\xF0\x9F\x98\x80");
  EXPECT_EQ(stream.pending(), 0u);
  stream.Push("\xE2\x82", out);
  stream.Finish(out);
  EXPECT_EQ(out, "a\xF0\x9F\x98\x80" U_FFFD);
  stream.Finish(out);
  EXPECT_EQ(out.size(), 8u);
}

TEST(Utf8Test, StreamAllocatesNothingInAReservedString) {
  std::string out;
  out.reserve(64);
  const char* const before = out.data();
  Utf8Stream stream;
  stream.Push("\xF0\x9F\x98", out);
  stream.Push("\x80 and more", out);
  stream.Finish(out);
  EXPECT_EQ(out.data(), before);
}

TEST(Utf8Test, RoundTripOfEveryCodePoint) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, text);
    const Utf8Char decoded = DecodeUtf8(text);
    ASSERT_TRUE(decoded.valid && decoded.code_point == c && decoded.bytes == text.size()) << uint32_t{c};
  }
}

}  // namespace
}  // namespace eyeshot
