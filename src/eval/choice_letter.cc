#include "eval/choice_letter.h"

#include <algorithm>
#include <optional>

#include "eval/python_text.h"

namespace eyeshot::eval {
namespace {

constexpr char kNoChoice = 'Z';
// A letter counts only among so many of the last words: before, it is likely the article.
constexpr size_t kLastWords = 4;

bool IsRefusal(std::u32string_view answer) {
  constexpr std::u32string_view kRefusals[] = {
      U"Sorry, I can't help with images of people yet.", U"I can't process this file.",
      U"I'm sorry, but without the image provided", U"Cannot determine the answer"};
  return std::any_of(std::begin(kRefusals), std::end(kRefusals),
                     [&](std::u32string_view refusal) { return answer.find(refusal) != std::u32string_view::npos; });
}

// Skips what `\s+` or `\s*` matches; returns whether anything was skipped.
bool SkipSpace(std::u32string_view& text) {
  const size_t before = text.size();
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  return text.size() < before;
}

// The letter after "answer is", in any case, with stars around it.
std::optional<char> LetterAfterAnswerIs(std::u32string_view answer) {
  const std::u32string lower = Lower(answer);
  constexpr std::u32string_view kAnswer = U"answer";
  for (size_t at = lower.find(kAnswer); at != std::u32string::npos; at = lower.find(kAnswer, at + 1)) {
    std::u32string_view rest = std::u32string_view(lower).substr(at + kAnswer.size());
    if (!SkipSpace(rest) || !rest.starts_with(U"is")) continue;
    rest.remove_prefix(2);
    if (!SkipSpace(rest)) continue;
    while (!rest.empty() && rest.front() == U'*') rest.remove_prefix(1);
    if (!rest.empty() && rest.front() >= U'a' && rest.front() <= U'd') {
      return static_cast<char>('A' + (rest.front() - U'a'));
    }
  }
  return std::nullopt;
}

bool Has(const Choices& choices, char letter) {
  return std::any_of(choices.begin(), choices.end(), [&](const auto& choice) { return choice.first == letter; });
}

std::optional<char> LetterIn(std::u32string_view answer, const Choices& choices) {
  if (answer.find(U"Failed to obtain answer via API") != std::u32string_view::npos) return std::nullopt;
  if (IsRefusal(answer)) return kNoChoice;
  std::u32string spaced(answer);
  for (char32_t& c : spaced) {
    if (std::u32string_view(U".()[],:;!*#{}").find(c) != std::u32string_view::npos) c = U' ';
  }
  const std::vector<std::u32string> words = Words(spaced);
  const auto place = [&](char letter) {
    return std::find(words.begin(), words.end(), std::u32string(1, static_cast<char32_t>(letter)));
  };
  std::vector<char> named;
  for (const auto& choice : choices) {
    if (place(choice.first) != words.end()) named.push_back(choice.first);
  }
  if (named.size() == 1) {
    const auto index = static_cast<size_t>(place(named[0]) - words.begin());
    if (index + kLastWords >= words.size()) return named[0];
  } else if (named.empty() && place(kNoChoice) != words.end()) {
    return kNoChoice;
  }
  const std::optional<char> said = LetterAfterAnswerIs(answer);
  return said && Has(choices, *said) ? said : std::nullopt;
}

// The only choice whose text the answer holds. An answer more than twice as long as all choices is not searched.
std::optional<char> LetterOfText(std::u32string_view answer, const Choices& choices) {
  const std::u32string said = Lower(answer);
  size_t length = 0;
  std::vector<char> found;
  for (const auto& [letter, text] : choices) {
    const std::u32string choice = CodePoints(text);
    length += choice.size();
    if (said.find(Lower(choice)) != std::u32string::npos) found.push_back(letter);
  }
  if (said.size() > 2 * length || found.size() != 1) return std::nullopt;
  return found[0];
}

// Of the lines after a question's first: "A. a man runs", in the order of the letters.
Choices ChoicesOfLines(std::u32string_view question) {
  Choices choices;
  char letter = 'A';
  for (size_t end = question.find(U'\n'); end != std::u32string_view::npos; ++letter) {
    question.remove_prefix(end + 1);
    end = question.find(U'\n');
    std::u32string_view line = question.substr(0, end);
    const size_t mark = line.find(std::u32string{static_cast<char32_t>(letter), U'.'});
    if (mark == std::u32string_view::npos || letter > 'Z') continue;
    line.remove_prefix(mark + 2);
    const auto is_edge = [](char32_t c) { return c == U'.' || c == U' ' || c == U'\n'; };
    while (!line.empty() && is_edge(line.front())) line.remove_prefix(1);
    while (!line.empty() && is_edge(line.back())) line.remove_suffix(1);
    choices.emplace_back(letter, Utf8(line));
  }
  return choices;
}

}  // namespace

char ChosenLetter(std::string_view answer, const Choices& choices) {
  const std::u32string text = CodePoints(answer);
  if (const std::optional<char> letter = LetterIn(text, choices)) return *letter;
  return LetterOfText(text, choices).value_or(kNoChoice);
}

char ChosenLetterOfVideo(std::string_view answer, std::string_view question) {
  // The fifth and sixth are two openings each whose comma was forgotten: they match nothing, and "The best option is"
  // and "Best answer:" stay. Kept, so that scores are equal.
  constexpr std::u32string_view kOpenings[] = {U"The best answer is",
                                               U"The correct answer is",
                                               U"The answer is",
                                               U"The answer",
                                               U"The best option isThe correct option is",
                                               U"Best answer:Best option:",
                                               U"Answer:",
                                               U"Option:"};
  const std::u32string whole = CodePoints(answer);
  std::u32string text(Strip(whole));
  for (const std::u32string_view opening : kOpenings) text = Replaced(std::move(text), opening, U"");
  const size_t at = text.find_first_of(U"ABCD");
  if (at != std::u32string::npos) return static_cast<char>(text[at]);
  return ChosenLetter(answer, ChoicesOfLines(CodePoints(question)));
}

}  // namespace eyeshot::eval
