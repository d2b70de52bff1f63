// Numbers in English words.
#ifndef EYESHOT_TEXT_NUMBER_WORDS_H_
#define EYESHOT_TEXT_NUMBER_WORDS_H_

#include <cstddef>
#include <string>

namespace eyeshot {

// As num2words writes them: "nine", "sixty-four", "one thousand and one", "two thousand, three hundred and forty-five".
// REQUIRES: number <= 9,999.
std::string NumberWords(size_t number);

}  // namespace eyeshot

#endif  // EYESHOT_TEXT_NUMBER_WORDS_H_
