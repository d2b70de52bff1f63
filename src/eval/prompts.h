// What a model is asked: for known data sets, the words with which SmolVLM's published scores were made.
//
// The words are those of VLMEvalKit (snapshot e8e78f05): the data set's own (vlmeval/dataset/image_mcq.py,
// image_vqa.py, image_base.py, videomme.py) in SmolVLM2's frame (vlmeval/vlm/smolvlm.py, build_prompt_...).
#ifndef EYESHOT_EVAL_PROMPTS_H_
#define EYESHOT_EVAL_PROMPTS_H_

#include <span>
#include <string>
#include <string_view>

#include "eval/question.h"
#include "eyeshot/status.h"

namespace eyeshot::eval {

// What follows the pictures in the message, and what the answer begins with.
struct AskedText {
  std::string text;
  std::string answer_start;
};

struct PromptKind {
  std::string_view name;  // "plain", "mcq", ...
  AskedText (*build)(const Question& question);
};

std::span<const PromptKind> PromptKinds();
// Error: kInvalidArgument (lists the names).
Result<const PromptKind*> FindPromptKind(std::string_view name);

// How a set is asked and scored, told by its name, "MMStar", "20250101_samples_docvqa_val", or else by its questions:
// with choices "mcq" and "letter", else "plain" and "exact". Logs of other engines hold the question as it was asked.
struct SetKind {
  std::string_view data_set;  // "": unknown
  std::string_view prompt;
  std::string_view scorer;
};
SetKind KindOf(std::string_view set_name, std::span<const Question> questions);

}  // namespace eyeshot::eval

#endif  // EYESHOT_EVAL_PROMPTS_H_
