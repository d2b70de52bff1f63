// Text as Python treats it: the scorers of VLMEvalKit are Python, and a score that is to equal theirs hangs on what
// its str.lower(), str.split() and float() do.
#ifndef EYESHOT_EVAL_PYTHON_TEXT_H_
#define EYESHOT_EVAL_PYTHON_TEXT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eyeshot::eval {

// The code points of UTF-8; ill-formed parts become U+FFFD.
std::u32string CodePoints(std::string_view utf8);
std::string Utf8(std::u32string_view text);

// str.isspace of a character.
bool IsSpace(char32_t c);
// \d of a regular expression: the decimal digits of all scripts.
bool IsDigit(char32_t c);

// str.strip, str.lower, str.split and " ".join of the last.
std::u32string_view Strip(std::u32string_view text);
std::u32string Lower(std::u32string_view text);
std::vector<std::u32string> Words(std::u32string_view text);
std::u32string JoinedWords(std::u32string_view text);
// str.replace
std::u32string Replaced(std::u32string text, std::u32string_view from, std::u32string_view to);

// len(str.upper()): some letters have two or three capitals.
size_t UpperLength(std::u32string_view text);

// float(text); nullopt: Python would raise ValueError.
std::optional<double> Number(std::u32string_view text);

// The strings and numbers of a list as Python prints one: ['a', "b's", 3]; numbers as they are written. nullopt: `text`
// is no such list.
std::optional<std::vector<std::string>> ListItems(std::string_view text);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_PYTHON_TEXT_H_
