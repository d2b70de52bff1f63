#include "eval/scorers.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "eval/choice_letter.h"
#include "eval/python_text.h"
#include "eval/text_distance.h"
#include "eval/vqa_answer.h"

namespace eyeshot::eval {
namespace {

double One(bool right) { return right ? 1 : 0; }

template <typename Matches>
double AnyOf(const Question& question, Matches matches) {
  return One(std::any_of(question.answers.begin(), question.answers.end(), matches));
}

double Exact(const Question& question, std::string_view answer) {
  const std::u32string said = Normalized(answer);
  return AnyOf(question, [&](const std::string& truth) { return said == Normalized(truth); });
}

double Accuracy(const Question& question, std::string_view answer) {
  const auto plain = [](std::string_view text) { return Lower(Strip(CodePoints(text))); };
  const std::u32string said = plain(answer);
  return AnyOf(question, [&](const std::string& truth) { return said == plain(truth); });
}

// Average normalized Levenshtein similarity (Biten et al., 2019, arXiv 1905.13648), the best of all true answers.
double Anls(const Question& question, std::string_view answer) {
  constexpr double kThreshold = 0.5;
  const std::u32string said = CodePoints(answer);
  double nearest = 1;
  for (const std::string& reference : question.answers) {
    const std::u32string truth = CodePoints(reference);
    const size_t edits = EditDistance(JoinedWords(Lower(truth)), JoinedWords(Lower(said)));
    const size_t length = std::max(UpperLength(truth), UpperLength(said));
    nearest = std::min(nearest, length == 0 ? 0 : static_cast<double>(edits) / static_cast<double>(length));
  }
  return 1 - nearest < kThreshold ? 0 : 1 - nearest;
}

// OCRBench: whether the answer holds a true one. Of formulas, all spaces go and capitals stay.
double Substring(const Question& question, std::string_view answer) {
  const bool formula = question.task == "Handwritten Mathematical Expression Recognition";
  const auto plain = [&](std::string_view text) {
    const std::u32string whole = CodePoints(text);
    if (formula) return Replaced(Replaced(std::u32string(Strip(whole)), U"\n", U" "), U" ", U"");
    return Replaced(std::u32string(Strip(Lower(whole))), U"\n", U" ");
  };
  const std::u32string said = plain(answer);
  return AnyOf(question, [&](const std::string& truth) { return said.find(plain(truth)) != std::u32string::npos; });
}

double Letter(const Question& question, std::string_view answer) {
  return One(question.answers[0] == std::string(1, ChosenLetter(answer, question.choices)));
}

double LetterOfVideo(const Question& question, std::string_view answer) {
  return One(question.answers[0] == std::string(1, ChosenLetterOfVideo(answer, question.question)));
}

// Percent as a fraction.
std::optional<double> ChartNumber(std::u32string_view text) {
  if (!text.ends_with(U'%')) return Number(text);
  while (text.ends_with(U'%')) text.remove_suffix(1);
  const std::optional<double> percent = Number(text);
  return percent ? std::optional<double>(*percent / 100) : std::nullopt;
}

// ChartQA (Masry et al., 2022, arXiv 2203.10244, section 5.1): numbers may be 5 % off; all else must be equal.
double Relaxed(const Question& question, std::string_view answer) {
  constexpr double kMostOff = 0.05;
  const std::u32string whole = CodePoints(answer);
  const std::u32string_view said = Strip(whole);
  return AnyOf(question, [&](const std::string& reference) {
    const std::u32string truth = CodePoints(reference);
    const std::optional<double> got = ChartNumber(said);
    const std::optional<double> wanted = ChartNumber(truth);
    if (got && wanted && *wanted != 0) return std::abs(*got - *wanted) / std::abs(*wanted) <= kMostOff;
    return Lower(said) == Lower(truth);
  });
}

// VQA accuracy over ten people's answers: the mean, leaving out each in turn, of min(1, equal others / 3).
double Vqa(const Question& question, std::string_view answer) {
  constexpr double kEnough = 3;
  const std::u32string said = VqaAnswer(answer);
  std::vector<bool> equal;
  for (const std::string& truth : question.answers) equal.push_back(VqaAnswer(truth) == said);
  const auto all = std::count(equal.begin(), equal.end(), true);
  double sum = 0;
  for (const bool self : equal) sum += std::min(1.0, static_cast<double>(all - (self ? 1 : 0)) / kEnough);
  return sum / static_cast<double>(equal.size());
}

constexpr Scorer kScorers[] = {
    {"exact", "the true answer, white space collapsed", true, Exact},
    {"accuracy", "the true answer, in capitals or not (OCRVQA, GQA)", true, Accuracy},
    {"anls", "nearness by edit distance, 0 below a half (DocVQA, InfoVQA)", false, Anls},
    {"substring", "holds a true answer (OCRBench)", true, Substring},
    {"letter", "the letter or text of the right choice (MMStar, AI2D, ScienceQA, ...)", true, Letter},
    {"letter-video", "the same as Video-MME tells it", true, LetterOfVideo},
    {"relaxed", "a number within 5 %, or the same words (ChartQA)", true, Relaxed},
    {"vqa", "agreement with ten people (TextVQA)", false, Vqa},
};

}  // namespace

std::span<const Scorer> Scorers() { return kScorers; }

Result<const Scorer*> FindScorer(std::string_view name) {
  std::string names;
  for (const Scorer& scorer : kScorers) {
    if (scorer.name == name) return &scorer;
    names += (names.empty() ? "" : ", ") + std::string(scorer.name);
  }
  return InvalidArgumentError(fmt::format("there is no scorer '{}'", name), fmt::format("take one of {}", names));
}

}  // namespace eyeshot::eval
