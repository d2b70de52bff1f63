// Which choice an answer means, told without a judge: as VLMEvalKit's "exact matching" does.
#ifndef EYESHOT_EVAL_CHOICE_LETTER_H_
#define EYESHOT_EVAL_CHOICE_LETTER_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace eyeshot::eval {

using Choices = std::vector<std::pair<char, std::string>>;

// can_infer() of vlmeval/utils/matching_util.py: a letter that stands alone, else "answer is X", else the only choice
// whose text the answer holds. 'Z': none of them.
char ChosenLetter(std::string_view answer, const Choices& choices);

// extract_characters_regex() and extract_option() of vlmeval/dataset/utils/videomme.py: the first of A, B, C, D after
// some openings were cut out, else the choice (a line "A. ..." of the question) whose text the answer holds.
char ChosenLetterOfVideo(std::string_view answer, std::string_view question);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_CHOICE_LETTER_H_
