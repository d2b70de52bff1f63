// Any text as a table of VLMEvalKit, as lines of JSON, as a list as Python prints it, as base64 and as a file of
// results.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "eval/base64.h"
#include "eval/prompts.h"
#include "eval/python_text.h"
#include "eval/question_set.h"
#include "eval/result_file.h"
#include "eval/scorers.h"

namespace {

using eyeshot::eval::Question;

// What was read can be asked, and each scorer gives a share.
void Use(const std::vector<Question>& questions) {
  for (const Question& question : questions) {
    if (question.answers.empty()) std::abort();
    for (const auto& kind : eyeshot::eval::PromptKinds()) kind.build(question);
    const std::string answer = question.recorded.value_or(question.question).substr(0, 256);
    if (question.answers[0].size() > 256) continue;
    for (const auto& scorer : eyeshot::eval::Scorers()) {
      const double score = scorer.score(question, answer);
      if (!(score >= 0 && score <= 1) || (scorer.share && score != 0 && score != 1)) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto table = eyeshot::eval::ParseTable(text, "set.tsv"); table.ok()) Use(*table);
  if (const auto lines = eyeshot::eval::ParseJsonLines(text, "set.jsonl"); lines.ok()) Use(*lines);
  if (const auto bytes = eyeshot::eval::DecodeBase64(text, "x"); bytes.ok() && bytes->size() > size) std::abort();
  eyeshot::eval::ListItems(text);
  size_t whole = 0;
  const auto results = eyeshot::eval::ParseResults(text, "results.jsonl", &whole);
  if (results.ok() && whole > size) std::abort();
  return 0;
}
