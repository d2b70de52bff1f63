// How far an answer is from the expected one.
#ifndef EYESHOT_EVAL_TEXT_DISTANCE_H_
#define EYESHOT_EVAL_TEXT_DISTANCE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace eyeshot::eval {

// The code points of `text` with each run of white space as one space, none at the ends: what exact match and
// character error rate compare. Ill-formed bytes become U+FFFD.
std::u32string Normalized(std::string_view text);

// Levenshtein: insertions, deletions and replacements of code points, each counted as one.
size_t EditDistance(std::u32string_view a, std::u32string_view b);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_TEXT_DISTANCE_H_
