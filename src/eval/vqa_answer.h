// Answers as VQA accuracy compares them.
#ifndef EYESHOT_EVAL_VQA_ANSWER_H_
#define EYESHOT_EVAL_VQA_ANSWER_H_

#include <string>
#include <string_view>

namespace eyeshot::eval {

// Small letters, no punctuation, no articles, number words as digits, contractions with their apostrophes:
// process_answer() of vlmeval/dataset/utils/vqa_eval.py, which follows the evaluation of the VQA data set (Antol et
// al., 2015, arXiv 1505.00468).
std::u32string VqaAnswer(std::string_view answer);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_VQA_ANSWER_H_
