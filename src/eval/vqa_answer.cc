#include "eval/vqa_answer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "eval/python_text.h"

namespace eyeshot::eval {
namespace {

// Words that are written with one of their apostrophes missing become these.
constexpr std::u32string_view kContractions[] = {
    U"'ow's'at",       U"'twas",        U"ain't",        U"aren't",       U"can't",         U"could've",
    U"couldn't",       U"couldn't've",  U"didn't",       U"doesn't",      U"don't",         U"hadn't",
    U"hadn't've",      U"hasn't",       U"haven't",      U"he'd",         U"he'd've",       U"he's",
    U"how'd",          U"how'll",       U"how's",        U"isn't",        U"it'd",          U"it'd've",
    U"it'll",          U"ma'am",        U"might've",     U"mightn't",     U"mightn't've",   U"must've",
    U"mustn't",        U"needn't",      U"not've",       U"o'clock",      U"oughtn't",      U"shan't",
    U"she'd've",       U"should've",    U"shouldn't",    U"shouldn't've", U"somebody'd've", U"somebody'll",
    U"somebody's",     U"someone'd",    U"someone'd've", U"someone'll",   U"someone's",     U"something'd",
    U"something'd've", U"something'll", U"that's",       U"there'd",      U"there'd've",    U"there're",
    U"there's",        U"they'd",       U"they'd've",    U"they'll",      U"they're",       U"they've",
    U"wasn't",         U"we'd've",      U"we've",        U"weren't",      U"what'll",       U"what're",
    U"what's",         U"what've",      U"when's",       U"where'd",      U"where's",       U"where've",
    U"who'd",          U"who'd've",     U"who'll",       U"who's",        U"who've",        U"why'll",
    U"why're",         U"why's",        U"won't",        U"would've",     U"wouldn't",      U"wouldn't've",
    U"y'all",          U"y'all'd've",   U"y'all'll",     U"you'd",        U"you'd've",      U"you'll",
    U"you're",         U"you've"};

constexpr std::pair<std::u32string_view, std::u32string_view> kNumbers[] = {
    {U"none", U"0"}, {U"zero", U"0"}, {U"one", U"1"},   {U"two", U"2"},   {U"three", U"3"}, {U"four", U"4"},
    {U"five", U"5"}, {U"six", U"6"},  {U"seven", U"7"}, {U"eight", U"8"}, {U"nine", U"9"},  {U"ten", U"10"}};

// Periods that may go: the scorer passes a flag (re.UNICODE, 32) where the number of replacements is meant.
constexpr int kMostPeriods = 32;

bool HasThousandsSeparator(std::u32string_view text) {
  for (size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == U',' && IsDigit(text[i - 1]) && IsDigit(text[i + 1])) return true;
  }
  return false;
}

// Punctuation beside a space goes; else it becomes one, unless the text has a thousands separator.
std::u32string WithoutPunctuation(const std::u32string& text) {
  const bool thousands = HasThousandsSeparator(text);
  std::u32string out = text;
  for (const char32_t mark : std::u32string_view(U";/[]\"{}()=+\\_-><@`,?!")) {
    const bool goes =
        thousands || text.find({mark, U' '}) != std::u32string::npos || text.find({U' ', mark}) != std::u32string::npos;
    out = Replaced(std::move(out), std::u32string_view(&mark, 1), goes ? U"" : U" ");
  }
  return out;
}

// Periods that stand beside no digit.
std::u32string WithoutPeriods(std::u32string_view text) {
  std::u32string out;
  int removed = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool after_digit = i > 0 && IsDigit(text[i - 1]);
    const bool before_digit = i + 1 < text.size() && IsDigit(text[i + 1]);
    if (text[i] == U'.' && !after_digit && !before_digit && removed < kMostPeriods) {
      ++removed;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool MissesOneApostrophe(std::u32string_view word, std::u32string_view whole) {
  if (word.size() + 1 != whole.size()) return false;
  const size_t at = static_cast<size_t>(std::mismatch(word.begin(), word.end(), whole.begin()).second - whole.begin());
  // Of "y'all'll" any of several places may be the one; all that is left out must be one apostrophe.
  for (size_t i = 0; i <= at; ++i) {
    if (whole[i] == U'\'' && word.substr(0, i) == whole.substr(0, i) && word.substr(i) == whole.substr(i + 1))
      return true;
  }
  return false;
}

std::u32string Spelled(std::u32string word) {
  if (word == U"somebody'd") return U"somebodyd";  // sic
  for (const std::u32string_view whole : kContractions) {
    if (MissesOneApostrophe(word, whole)) return std::u32string(whole);
  }
  return word;
}

}  // namespace

std::u32string VqaAnswer(std::string_view answer) {
  std::u32string text = CodePoints(answer);
  std::replace_if(text.begin(), text.end(), [](char32_t c) { return c == U'\n' || c == U'\t'; }, U' ');
  text = WithoutPeriods(WithoutPunctuation(std::u32string(Strip(text))));
  std::u32string out;
  for (std::u32string& word : Words(Lower(text))) {
    for (const auto& [name, digits] : kNumbers) {
      if (word == name) word = digits;
    }
    if (word == U"a" || word == U"an" || word == U"the") continue;
    if (!out.empty()) out += U' ';
    out += Spelled(std::move(word));
  }
  return out;
}

}  // namespace eyeshot::eval
