#include "text/number_words.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "base/check.h"

namespace eyeshot {

std::string NumberWords(size_t number) {
  constexpr std::array<std::string_view, 20> kSmall = {
      "zero", "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",    "nine",
      "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  constexpr std::array<std::string_view, 10> kTens = {"",      "",      "twenty",  "thirty", "forty",
                                                      "fifty", "sixty", "seventy", "eighty", "ninety"};
  EYESHOT_CHECK(number <= 9999);
  if (number >= 1000) {
    std::string thousands = fmt::format("{} thousand", kSmall[number / 1000]);
    const size_t rest = number % 1000;
    if (rest == 0) return thousands;
    return fmt::format("{}{}{}", thousands, rest < 100 ? " and " : ", ", NumberWords(rest));
  }
  if (number >= 100) {
    const std::string hundreds = fmt::format("{} hundred", kSmall[number / 100]);
    return number % 100 == 0 ? hundreds : fmt::format("{} and {}", hundreds, NumberWords(number % 100));
  }
  if (number < 20) return std::string(kSmall[number]);
  const std::string tens(kTens[number / 10]);
  return number % 10 == 0 ? tens : fmt::format("{}-{}", tens, kSmall[number % 10]);
}

}  // namespace eyeshot
