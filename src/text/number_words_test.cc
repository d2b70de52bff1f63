#include "text/number_words.h"

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace eyeshot {
namespace {

TEST(NumberWordsTest, EveryNumberUpTo9999IsAsNum2wordsWritesIt) {
  EXPECT_EQ(NumberWords(0), "zero");
  EXPECT_EQ(NumberWords(64), "sixty-four");
  EXPECT_EQ(NumberWords(1001), "one thousand and one");
  EXPECT_EQ(NumberWords(1100), "one thousand, one hundred");
  EXPECT_EQ(NumberWords(2345), "two thousand, three hundred and forty-five");
  std::string all;
  for (size_t number = 0; number <= 9999; ++number) all += NumberWords(number) + "\n";
  // By num2words 0.5.14: hashlib.sha256("".join(num2words(i) + "\n" for i in range(10000)).encode()).hexdigest()
  EXPECT_EQ(Sha256Hex({reinterpret_cast<const uint8_t*>(all.data()), all.size()}),
            "3b956d6d79c8231eca750925f0542bf56553d07f91b6fad390c6124d10993a7c");
}

}  // namespace
}  // namespace eyeshot
