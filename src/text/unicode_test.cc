#include "text/unicode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/testing.h"

namespace eyeshot {
namespace {

// Compares a class over all code points with what Hugging Face's tokenizers answered (tests/golden/tokenizer.py).
void CompareClass(const char* name, uint32_t bit) {
  const auto golden = nlohmann::json::parse(testing::ReadAll(testing::UnpackedPath("golden/tokenizer/classes.json")));
  std::vector<bool> expected(0x110000);
  for (const auto& range : golden.at(name)) {
    std::fill(expected.begin() + range.at(0).get<int>(), expected.begin() + range.at(1).get<int>() + 1, true);
  }
  for (char32_t c = 0; c < expected.size(); ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    ASSERT_EQ((CharClasses(c) & bit) != 0, expected[c]) << name << " U+" << std::hex << uint32_t{c};
  }
}

TEST(UnicodeTest, LettersAreThoseOfTokenizers) { CompareClass("letter", kLetter); }
TEST(UnicodeTest, NumbersAreThoseOfTokenizers) { CompareClass("number", kNumber); }
TEST(UnicodeTest, SpacesAreThoseOfTokenizers) { CompareClass("space", kSpace); }
TEST(UnicodeTest, DigitsAreThoseOfTokenizers) { CompareClass("digit", kNumeric); }

TEST(UnicodeTest, ClassesOfWordsExcludeEachOther) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    const uint32_t kinds = CharClasses(c) & (kLetter | kNumber | kSpace);
    ASSERT_EQ(kinds & (kinds - 1), 0u) << std::hex << uint32_t{c};
  }
}

TEST(UnicodeTest, WordCharacters) {
  for (const char32_t c : {U'a', U'Z', U'0', U'_', U'\u00e9', U'\u0301', U'\u200d', U'\u203f', U'\u2160', U'\u24b6'}) {
    EXPECT_NE(CharClasses(c) & kWordChar, 0u) << std::hex << uint32_t{c};
  }
  for (const char32_t c : {U' ', U'-', U'<', U'\u00bd', U'\u2460', U'\u2028', U'\U0001f600'}) {
    EXPECT_EQ(CharClasses(c) & kWordChar, 0u) << std::hex << uint32_t{c};
  }
}

TEST(UnicodeTest, NothingBeyondTheLastCodePoint) {
  EXPECT_EQ(CharClasses(0x110000), 0u);
  EXPECT_EQ(CharClasses(0xFFFFFFFF), 0u);
}

}  // namespace
}  // namespace eyeshot
